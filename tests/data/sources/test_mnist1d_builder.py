"""MNIST-1D: the published bits, the vectorised generator, and its TFDS form."""

import random
import re
import subprocess
import sys
from importlib import metadata

import mnist1d.data
import numpy as np
import pytest
from mnist1d.transform import transform

from shallow_mimic import errors
from shallow_mimic.data.sources import mnist1d_builder as builders
from shallow_mimic.data.sources import mnist1d_signals as signals


@pytest.fixture(name='published', scope='module')
def fixture_published():
  state = np.random.get_state()
  made = mnist1d.data.make_dataset(mnist1d.data.get_dataset_args())
  np.random.set_state(state)
  return made


@pytest.fixture(name='folder', scope='module')
def fixture_folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('mnist1d')
  builders.prepare_mnist1d(folder, 2500, 3)
  return folder


def test_prepared_splits_are_the_published_bits(published, folder):
  read = builders.read_mnist1d(folder, 2500, 3)
  assert list(read) == ['train', 'test', 'transfer']
  for split, suffix, rows in (('train', '', 4000), ('test', '_test', 1000)):
    assert read[split].x.shape == (rows, 40)
    assert read[split].x.dtype == np.float64
    assert read[split].x.tobytes() == published[f'x{suffix}'].tobytes()
    np.testing.assert_array_equal(read[split].y, published[f'y{suffix}'])


def test_without_a_transfer_split(published, tmp_path, monkeypatch):
  monkeypatch.setattr(signals, 'read_published', lambda: published)
  read = builders.read_mnist1d(tmp_path)
  assert list(read) == ['train', 'test']
  assert read['test'].x.tobytes() == published['x_test'].tobytes()


def test_global_generators_are_left_alone():
  random.seed(5)
  np.random.seed(5)
  expected = random.random(), np.random.rand()
  random.seed(5)
  np.random.seed(5)
  signals.read_published()
  assert (random.random(), np.random.rand()) == expected


def test_vectorised_transform_gives_the_published_bits():
  args, templates = (mnist1d.data.get_dataset_args(),
                     mnist1d.data.get_templates())
  state = np.random.get_state()
  np.random.seed(42)
  one_by_one = np.stack([
      transform(templates['x'][index // 500], templates['t'], args)[0]
      for index in range(5000)])
  np.random.set_state(state)
  at_once = signals.make_signals(signals.published_draws())
  assert at_once.tobytes() == one_by_one.tobytes()


def test_published_moments(published):
  # The published set is scaled by them: undo, and the signals come back.
  mean, std = signals.published_moments()
  raw = signals.make_signals(signals.published_draws())
  scaled = np.concatenate([published['x'], published['x_test']])
  np.testing.assert_allclose(
      np.sort((scaled * std + mean).ravel()), np.sort(raw.ravel()), atol=1e-12)


def test_transfer_signals_are_distributed_as_the_published(published):
  """Per class: mean and covariance within sampling error of 500 signals."""
  x = np.concatenate([published['x'], published['x_test']])
  y = np.concatenate([published['y'], published['y_test']])
  mean, std = signals.published_moments()
  drawn = signals.draw(np.random.default_rng(0), 20_000)
  new = (signals.make_signals(drawn) - mean) / std
  for label in range(10):
    old_class, new_class = x[y == label], new[drawn.label == label]
    error = old_class.std(0) * np.sqrt(1 / 500 + 1 / len(new_class))
    assert (np.abs(old_class.mean(0) - new_class.mean(0)) < 5 * error).all()
    np.testing.assert_allclose(
        np.cov(new_class.T), np.cov(old_class.T), atol=0.3)


def test_draws_cover_their_ranges():
  drawn = signals.draw(np.random.default_rng(0), 20_000)
  assert set(drawn.label) == set(range(10))
  assert (drawn.padding.min(), drawn.padding.max()) == (36, 60)
  assert (drawn.shift.min(), drawn.shift.max()) == (0, 47)
  published = signals.published_draws()
  assert (published.padding.min(), published.padding.max()) == (36, 60)
  assert (published.shift.min(), published.shift.max()) == (0, 47)


def test_transfer_blocks_are_a_prefix_and_seeded():
  def make(size, seed):
    return np.concatenate(list(signals.make_transfer_blocks(size, seed)))

  assert make(2300, 1).shape == (2300, 40)
  np.testing.assert_array_equal(make(1200, 1), make(2300, 1)[:1200])
  assert (make(1200, 1) != make(1200, 2)).any()
  assert (make(2000, 1)[:1000] != make(2000, 1)[1000:]).any()


def test_transfer_split_is_stored_whole_and_unlabelled(folder, published):
  part = builders.read_mnist1d(folder, 2500, 3)['transfer']
  expected = np.concatenate(list(signals.make_transfer_blocks(2500, 3)))
  assert part.x.tobytes() == expected.tobytes()
  np.testing.assert_array_equal(part.y, np.full(2500, -1))
  assert part.x.mean() == pytest.approx(0, abs=0.03)
  assert part.x.std() == pytest.approx(1, abs=0.03)
  known = {row.tobytes() for row in published['x_test']}
  assert not known & {row.tobytes() for row in part.x}


def test_prepared_copy_is_used(folder, monkeypatch):
  def refuse():
    raise AssertionError('made anew')

  monkeypatch.setattr(signals, 'read_published', refuse)
  builders.read_mnist1d(folder, 2500, 3)


@pytest.mark.parametrize('damage', ['cut', 'flip', 'shard', 'info'])
def test_damaged_copy_is_made_anew(tmp_path, published, damage, monkeypatch):
  monkeypatch.setattr(signals, 'read_published', lambda: published)
  folder = builders.prepare_mnist1d(tmp_path).data_path
  record = folder / 'mnist1d-test.array_record-00000-of-00001'
  data = bytearray(record.read_bytes())
  if damage == 'cut':
    record.write_bytes(data[:70_000])
  elif damage == 'flip':
    data[150_000] ^= 1
    record.write_bytes(data)
  else:
    (record if damage == 'shard' else folder / 'dataset_info.json').unlink()
  read = builders.read_mnist1d(tmp_path)
  assert read['test'].x.tobytes() == published['x_test'].tobytes()


def test_folder_that_cannot_be_written(tmp_path):
  (tmp_path / 'file').write_text('', encoding='utf-8')
  with pytest.raises(errors.UserError, match=r'^cannot write .*file'):
    builders.prepare_mnist1d(tmp_path / 'file')


def test_full_disk_is_told_in_one_line(tmp_path, monkeypatch):
  def full(self):
    raise RuntimeError('write() failed: No space left on device; writing x\n')

  monkeypatch.setattr(builders.Mnist1d, 'download_and_prepare', full)
  message = (f'cannot write {tmp_path}: No space left on device; free some'
             ' space')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}[^\\n]*$'):
    builders.prepare_mnist1d(tmp_path)


def test_damage_that_comes_back_is_told(tmp_path, published, monkeypatch):
  monkeypatch.setattr(signals, 'read_published', lambda: published)
  def damaged(builder):
    raise RuntimeError('Corrupted file\nin many lines')

  monkeypatch.setattr(builders, '_read_splits', damaged)
  message = (f'cannot read back MNIST-1D from {tmp_path}: Corrupted file; check'
             ' that disk, or choose another folder')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    builders.read_mnist1d(tmp_path)


def test_without_the_package(monkeypatch):
  def missing(name):
    raise metadata.PackageNotFoundError(name)

  monkeypatch.setattr(metadata, 'version', missing)
  message = ('the MNIST-1D data are made by the package `mnist1d`, which is'
             ' not installed; run: pip install mnist1d')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    builders.mnist1d_version()


def test_needs_no_tensorflow_and_prints_nothing(tmp_path):
  program = (
      'import sys; from shallow_mimic.data.sources import mnist1d_builder as m;'
      f' m.read_mnist1d({str(tmp_path)!r}, 1000);'
      " assert 'tensorflow' not in sys.modules")
  done = subprocess.run(
      [sys.executable, '-c', program], capture_output=True, text=True,
      check=True)
  assert (done.stdout, done.stderr) == ('', '')
