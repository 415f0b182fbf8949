"""Prepared copies: whole, made anew, or refused; nothing else is touched."""

import json
import os
import shutil

import numpy as np
import pytest
from machines import few_files

from shallow_mimic import errors
from shallow_mimic.data.sources import mnist1d_builder, mnist1d_signals
from shallow_mimic.data.sources import prepared as copies
from shallow_mimic.runs import files, refusals

SIZE = 40
INFO, FEATURES, RECORD = 'dataset_info.json', 'features.json', 'digests.json'
TRAIN, TEST = (f'mnist1d-{split}.array_record-00000-of-00001'
               for split in ('train', 'test'))


def make_published():
  """As many signals as make an experiment of MNIST-1D, but drawn in no time."""
  rng = np.random.default_rng(0)
  return {'x': rng.normal(size=(SIZE, 40)), 'y': np.arange(SIZE) % 10,
          'x_test': rng.normal(size=(20, 40)), 'y_test': np.arange(20) % 10}


@pytest.fixture(name='made')
def fixture_made(monkeypatch):
  """How often the signals were made."""
  made = []

  def read_published():
    made.append(1)
    return make_published()

  monkeypatch.setattr(mnist1d_signals, 'read_published', read_published)
  return made


@pytest.fixture(name='template', scope='module')
def fixture_template(tmp_path_factory):
  """Prepared copies of seeds 3 and 4, each with a thousand transfer signals."""
  root = tmp_path_factory.mktemp('template')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(mnist1d_signals, 'read_published', make_published)
    for seed in (3, 4):
      read(root, seed)
  return root


@pytest.fixture(name='folder')
def fixture_folder(template, made, tmp_path):
  """The folder of the copy of seed 3."""
  shutil.copytree(template / 'tfds', tmp_path / 'tfds')
  return tmp_path / 'tfds/mnist1d/transfer_1000_seed_3/1.0.0'


def read(root, seed=3):
  return mnist1d_builder.read_mnist1d(root / 'tfds', 1000, seed)


def check(root, seed=3):
  """What is read is what was published, and what this seed draws."""
  published, got = make_published(), read(root, seed)
  blocks = mnist1d_signals.make_transfer_blocks(1000, seed)
  want = {'train': published['x'], 'test': published['x_test'],
          'transfer': np.concatenate(list(blocks))}
  assert got.keys() == want.keys()
  for split, x in want.items():
    assert got[split].x.tobytes() == x.tobytes()
  np.testing.assert_array_equal(got['train'].y, published['y'])
  np.testing.assert_array_equal(got['test'].y, published['y_test'])


def flip(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 4
  path.write_bytes(data)


def cut(path):
  path.write_bytes(path.read_bytes()[:-20])


def empty(path):
  path.write_bytes(b'')


def exchange(path):
  """Another file of the copy, whole in itself."""
  other = TEST if 'train' in path.name else TRAIN
  path.write_bytes(path.with_name(
      INFO if path.suffix == '.json' and path.name != INFO else
      FEATURES if path.name == INFO else other).read_bytes())


def reshape(path):
  path.write_text('[{"a": 1}]', encoding='utf-8')


def lengthen(path):
  path.write_bytes(path.read_bytes() + b'x')


DAMAGES = (flip, cut, empty, exchange, reshape, lengthen, os.unlink)


def test_a_whole_copy_is_used(folder, tmp_path, made):
  assert sorted(os.listdir(folder)) == sorted(
      (INFO, FEATURES, RECORD, TRAIN, TEST,
       'mnist1d-transfer.array_record-00000-of-00001'))
  check(tmp_path)
  assert not made
  assert os.listdir(tmp_path / 'tfds') == ['mnist1d']


@pytest.mark.parametrize('name', [INFO, FEATURES, RECORD, TRAIN, TEST])
@pytest.mark.parametrize('damage', DAMAGES)
def test_damage_is_found(folder, name, damage):
  origin = files.read_sealed(folder / RECORD)['origin']
  assert copies._is_whole(folder, origin)
  damage(folder / name)
  assert not copies._is_whole(folder, origin)


@pytest.mark.parametrize(('damage', 'name'), [
    (flip, TRAIN), (cut, INFO), (reshape, INFO), (empty, TEST),
    (exchange, TRAIN), (os.unlink, TEST), (os.unlink, RECORD)])
def test_a_damaged_copy_is_made_anew(folder, tmp_path, made, damage, name):
  damage(folder / name)
  check(tmp_path)
  assert made == [1]
  check(tmp_path)
  assert made == [1]


@pytest.mark.parametrize('tree', [
    {}, {'origin': None}, {'files': {}}, {'files': None}, {'files': [1]},
    {'files': {'../x': 'a'}}, {'origin': {'size': 1000, 'seed': 4}}])
def test_a_record_of_another_shape(folder, tree):
  """Sealed, as only a stranger would."""
  said = files.read_sealed(folder / RECORD)
  files.write_sealed(folder / RECORD, {**said, **tree} if tree else {})
  assert not copies._is_whole(folder, said['origin'])


@pytest.mark.parametrize('name', ['train', 'files'])
def test_a_copy_of_another_seed_is_not_taken_for_it(
    folder, tmp_path, made, name):
  other = folder.parents[1] / 'transfer_1000_seed_4/1.0.0'
  if name == 'files':  # The whole folder, its record too.
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
  else:
    for path in folder.glob('*transfer*'):
      shutil.copyfile(other / path.name, path)
  check(tmp_path)
  assert made == [1]


def test_another_version_of_the_package_makes_it_anew(
    folder, tmp_path, made, monkeypatch):
  monkeypatch.setattr(mnist1d_builder.metadata, 'version', lambda name: '9.9')
  check(tmp_path)
  assert made == [1]


def refuse(root, place):
  with pytest.raises(errors.UserError) as error:
    read(root)
  message = str(error.value)
  assert message.startswith(f'{place} is not ') and '\n' not in message
  assert message.endswith('; move it away')


@pytest.mark.parametrize('name', ['notes.txt', 'x.npy', '.hidden', 'folder'])
@pytest.mark.parametrize('damaged', [False, True])
def test_a_foreign_file_is_refused_and_stays(folder, tmp_path, name, damaged):
  if name == 'folder':
    (folder / name).mkdir()
  else:
    (folder / name).write_text('mine', encoding='utf-8')
  if damaged:
    flip(folder / TRAIN)
  before = sorted(os.listdir(folder))
  refuse(tmp_path, folder / name)
  assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize('name', [TRAIN, INFO])
def test_a_file_that_is_a_folder_is_refused(folder, tmp_path, name):
  (folder / name).unlink()
  (folder / name).mkdir()
  refuse(tmp_path, folder / name)


@pytest.mark.parametrize('level', range(3))
@pytest.mark.parametrize('kind', ['link', 'broken link', 'file'])
def test_nothing_is_written_through_a_link(folder, tmp_path, level, kind):
  """What is there is another's, and stays as it is."""
  place = [folder, *folder.parents][level]
  away = tmp_path / 'away'
  place.rename(away)
  if kind == 'file':
    place.write_text('mine', encoding='utf-8')
  else:
    place.symlink_to(away if kind == 'link' else tmp_path / 'none')
    for path in away.rglob(TRAIN):
      flip(path)
  before = {path: path.read_bytes() for path in away.rglob('*.*_record*')}
  refuse(tmp_path, place)
  assert {path: path.read_bytes()
          for path in away.rglob('*.*_record*')} == before
  assert not (tmp_path / 'none').exists()


def test_an_interrupted_making_leaves_no_copy(tmp_path, made, monkeypatch):
  write = files.write_sealed

  def killed(path, tree):
    raise KeyboardInterrupt

  monkeypatch.setattr(files, 'write_sealed', killed)
  with pytest.raises(KeyboardInterrupt):
    read(tmp_path)
  assert os.listdir(tmp_path / 'tfds') == []
  monkeypatch.setattr(files, 'write_sealed', write)
  check(tmp_path)
  assert made == [1, 1]


def test_the_folder_above_is_not_made(tmp_path, made):
  """It was deleted while the program ran."""
  with pytest.raises(errors.UserError, match=r'^cannot write [^\n]*$'):
    read(tmp_path / 'gone')
  assert not (tmp_path / 'gone').exists() and not made


def test_every_flipped_byte_of_the_description_is_found(folder, tmp_path):
  path = folder / RECORD
  data = path.read_bytes()
  origin = json.loads(data)['origin']
  for place in range(len(data)):
    changed = bytearray(data)
    changed[place] ^= 1
    path.write_bytes(changed)
    try:  # Other white space is the same record.
      same = json.loads(changed) == json.loads(data)
    except ValueError:
      same = False
    assert copies._is_whole(folder, origin) == same


def test_a_copy_that_cannot_be_opened_now_stays(folder, made, tmp_path):
  """It may be whole: it is neither deleted nor made again."""
  before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
  refused = 0
  for count in range(99):
    try:
      with few_files(count):
        read(tmp_path)
    except (refusals.RefusedError, OSError) as error:
      assert 'Too many open files' in str(error)
      refused += 1
    else:
      break
  assert refused
  assert not made
  assert before == {
      path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_a_record_that_cannot_be_opened_is_not_damage(
    folder, made, tmp_path, monkeypatch):
  def refuse(path):
    raise refusals.RefusedError(f'cannot read {path}')

  monkeypatch.setattr(files, 'read_sealed', refuse)
  with pytest.raises(refusals.RefusedError, match=f'^cannot read {folder}'):
    read(tmp_path)
  assert not made


@pytest.mark.parametrize('error', [
    MemoryError('no'), RuntimeError("can't start new thread")])
def test_a_machine_without_memory_or_threads_is_told_as_that(
    tmp_path, monkeypatch, error):
  def refuse(*args):
    raise error

  monkeypatch.setattr(
      mnist1d_builder.Mnist1d, 'download_and_prepare', refuse)
  with pytest.raises(type(error), match=str(error)):
    read(tmp_path)
  monkeypatch.undo()
  monkeypatch.setattr(mnist1d_builder, '_read_splits', refuse)
  monkeypatch.setattr(mnist1d_signals, 'read_published', make_published)
  with pytest.raises(type(error), match=str(error)):
    read(tmp_path)
