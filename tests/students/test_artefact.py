"""The artefact: what is in it, what runs it, and where it may be written."""

import hashlib
import json
import os
import re
import sys

import jax.export
import numpy as np
import pytest
from exported import FILES, check_close, run_alone
from safetensors import numpy as tensors

from shallow_mimic import errors, evaluation, losses, models
from shallow_mimic.data import pools
from shallow_mimic.data.preprocessing import (
  apply_preprocessing,
  fit_preprocessing,
)
from shallow_mimic.students import artefact, load

CLASSES = 5
def make_whole(architecture='4c3-p2-3L-20', shape=(8, 8, 3), dtype='uint8',
               steps=('gcn', 'zca', 'standardise'), normalized=True,
               **options):
  """A net with random parameters, 300 raw inputs, and its own outputs."""
  rng = np.random.default_rng(1)
  x = rng.integers(0, 256, (300, *shape), np.uint8)
  if dtype == 'float32':
    x = (x / 50).astype(np.float32)
  fitted = fit_preprocessing(steps, x)
  net = models.make_net(architecture, shape, CLASSES, **options)
  params = jax.tree.map(
      lambda a: np.float32(rng.normal(size=a.shape) * a.size ** -0.25),
      models.param_shapes(net))
  normalizer = losses.LogitNormalizer(
      np.float32(rng.normal(size=CLASSES)),
      np.float32(1 + rng.random(CLASSES))) if normalized else None
  outputs = evaluation.predict(net, params, apply_preprocessing(fitted, x))
  if normalizer:
    outputs = np.asarray(normalizer.denormalize(outputs))
  whole = artefact.Whole(net, params, dtype, fitted, 0, normalizer)
  return whole, x, outputs


@pytest.fixture(name='made', scope='module')
def make_artefact(tmp_path_factory):
  folder = tmp_path_factory.mktemp('made') / 'deep' / 'artefact'
  whole, x, outputs = make_whole()
  artefact.write_artefact(folder, whole, {'model': 'mine'})
  return folder, whole, x, outputs


def test_a_process_without_the_package_gives_the_same_outputs(made, tmp_path):
  folder, _, x, expected = made
  for ours, size in zip(run_alone(folder, x, tmp_path), (1, 7, 256),
                        strict=True):
    assert ours.shape == (size, CLASSES) and ours.dtype == np.float32
    check_close(ours, expected[:size])


@pytest.mark.parametrize('case', [
    dict(architecture='6-4L-7', shape=(9,), dtype='float32',
         steps=('standardise',), activation='gelu'),
    dict(architecture='4c-p2-6c-a', shape=(20,), dtype='float32', steps=(),
         normalized=False, norm='group', activation='tanh'),
], ids=lambda case: case['architecture'])
def test_exported_equals_its_own_net(case):
  whole, x, expected = make_whole(**case)
  whole = artefact.absorb(whole)
  run = jax.export.deserialize(artefact.export_apply(whole).serialize()).call
  for size in (1, 7):
    check_close(run(artefact.name_weights(whole), x[:size]), expected[:size])


def test_speech_takes_gathered_frames_that_are_not_normalised():
  maps, bands, reach = 3, 4, 2
  rng = np.random.default_rng(0)
  frames = np.float32(5 + 3 * rng.normal(size=(40, maps * bands)))
  fitted = fit_preprocessing(('standardise',), frames)
  net = models.make_net('6', (bands, 5 * maps), CLASSES)
  params = net.init(jax.random.key(0))

  def gather(x):
    pool = pools.make_pool(x.reshape(-1, maps, bands), np.array([40]), reach)
    return pools.take(pool, np.arange(40))

  expected = net.apply(params, gather(apply_preprocessing(fitted, frames)))
  whole = artefact.Whole(net, params, 'float32', fitted, 2 * reach + 1)
  run = artefact.export_apply(whole).call
  check_close(run(artefact.name_weights(whole), gather(frames)), expected)


def test_bottleneck_is_absorbed_and_weights_are_no_part_of_the_program(made):
  folder, whole, _, _ = made
  weights = tensors.load_file(folder / 'weights.safetensors')
  assert {name: array.shape for name, array in weights.items()} == {
      'net/convolution_0/kernel': (3, 3, 3, 4), 'net/convolution_0/bias': (4,),
      'net/hidden_0/kernel': (20, 64), 'net/hidden_0/bias': (20,),
      'net/output/kernel': (CLASSES, 20), 'net/output/bias': (CLASSES,),
      'normalizer/mean': (CLASSES,), 'normalizer/std': (CLASSES,),
      'preprocessing/1/mean': (192,), 'preprocessing/1/whiten': (192, 192),
      'preprocessing/2/mean': (3,), 'preprocessing/2/std': (3,)}
  product = np.dot(whole.params['hidden_0']['kernel'].astype(np.float64),
                   whole.params['bottleneck_0']['kernel'])
  np.testing.assert_allclose(weights['net/hidden_0/kernel'], product,
                             rtol=1e-5, atol=1e-6)
  assert (folder / 'model.stablehlo').stat().st_size < 20_000


def test_manifest_says_what_it_is(made):
  folder, *_ = made
  assert sorted(path.name for path in folder.iterdir()) == FILES
  said = json.loads((folder / 'manifest.json').read_text(encoding='utf-8'))
  assert said['model'] == 'mine'
  assert (said['architecture'], said['classes']) == ('4c3-p2-20', CLASSES)
  assert said['parameters'] == 3 * 3 * 3 * 4 + 4 + 64 * 20 + 20 + 20 * 5 + 5
  assert said['input']['shape'] == ['B', 8, 8, 3]
  assert said['input']['dtype'] == 'uint8'
  assert [s['name'] for s in said['preprocessing']] == [
      'gcn', 'zca', 'standardise']
  assert said['files'] == {
      name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
      for name in FILES[2:]}


def test_program_names_platforms_and_no_path_of_this_machine(made):
  data = (made[0] / 'model.stablehlo').read_bytes()
  program = jax.export.deserialize(bytearray(data))
  assert program.platforms == artefact.PLATFORMS
  assert not re.search(rb'[\w/]+\.py', data)


def test_equal_nets_give_equal_bytes(made, tmp_path):
  artefact.write_artefact(tmp_path / 'again', make_whole()[0],
                           {'model': 'mine'})
  for name in FILES:
    assert (tmp_path / 'again' / name).read_bytes() == (
        made[0] / name).read_bytes()


def test_inputs_of_another_type_or_shape_are_refused(made):
  program = jax.export.deserialize(
      bytearray((made[0] / 'model.stablehlo').read_bytes()))
  weights = tensors.load_file(made[0] / 'weights.safetensors')
  for x in (np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 8, 8), np.uint8)):
    with pytest.raises(ValueError):
      program.call(weights, x)


def test_damage_is_found(made, tmp_path, monkeypatch):
  folder = tmp_path / 'copy'
  folder.mkdir()
  for name in FILES:
    data = bytearray((made[0] / name).read_bytes())
    if name.startswith('weights'):
      data[-5] ^= 1
    (folder / name).write_bytes(data)
  monkeypatch.syspath_prepend(str(folder))
  monkeypatch.delitem(sys.modules, 'load', raising=False)
  import load  # noqa: PLC0415
  with pytest.raises(ValueError, match=r'weights.safetensors is damaged'):
    load.load(folder)
  monkeypatch.delitem(sys.modules, 'load')


def test_full_folders_and_files_are_no_targets(tmp_path):
  whole, *_ = make_whole('6', (9,), 'float32', ())
  (tmp_path / 'file').write_text('', encoding='utf-8')
  for target, problem in ((tmp_path, 'is not empty; empty it or choose'),
                          (tmp_path / 'file', 'is a file; choose')):
    with pytest.raises(errors.UserError) as error:
      artefact.write_artefact(target, whole, {})
    assert str(error.value).startswith(f'{target} {problem} ')
  (tmp_path / 'empty').mkdir()
  artefact.write_artefact(tmp_path / 'empty', whole, {})
  assert sorted(p.name for p in (tmp_path / 'empty').iterdir()) == FILES
  assert not [p for p in tmp_path.iterdir() if p.name.endswith('.tmp')]


def test_an_empty_folder_stays_the_same_one(tmp_path):
  whole, *_ = make_whole('6', (9,), 'float32', ())
  (tmp_path / 'real').mkdir(mode=0o750)
  before = (tmp_path / 'real').stat()
  (tmp_path / 'link').symlink_to(tmp_path / 'real')
  artefact.write_artefact(tmp_path / 'link', whole, {})
  assert sorted(p.name for p in (tmp_path / 'real').iterdir()) == FILES
  after = (tmp_path / 'real').stat()
  assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.parametrize('dtype', [
    'int64', 'int8', 'uint16', 'float16', 'float64', 'bool'])
def test_numbers_of_any_type_are_taken_where_numbers_are_meant(
    tmp_path, dtype):
  whole, *_ = make_whole('6', (9,), 'float32', ())
  artefact.write_artefact(tmp_path / 'made', whole, {})
  x = np.random.default_rng(0).integers(0, 2, (3, 9)).astype(dtype)
  run = load.load(tmp_path / 'made')
  np.testing.assert_array_equal(run(x), run(x.astype(np.float32)))
  with pytest.raises(ValueError, match='Dtype mismatch'):
    run(x.astype(np.uint8))  # They would be scaled.


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
  whole, *_ = make_whole('6', (9,), 'float32', ())

  def fail(source, target):
    if str(target).endswith('manifest.json'):
      raise OSError(28, 'No space left on device')
    return replace(source, target)

  replace = os.replace
  monkeypatch.setattr(os, 'replace', fail)
  with pytest.raises(errors.UserError, match='No space left on device'):
    artefact.write_artefact(tmp_path / 'artefact', whole, {})
  assert list(tmp_path.iterdir()) == []
  (tmp_path / 'artefact').mkdir()
  with pytest.raises(errors.UserError, match='No space left on device'):
    artefact.write_artefact(tmp_path / 'artefact', whole, {})
  assert [p.name for p in tmp_path.rglob('*')] == ['artefact']
