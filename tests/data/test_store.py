"""A Dataset on disk: round trip, digests, and every kind of damage."""

import json
import re

import numpy as np
import pytest

from shallow_mimic import errors
from shallow_mimic.data import dataset, preprocessing, store
from shallow_mimic.data.dataset import Examples
from shallow_mimic.runs import files, kept


@pytest.fixture(name='made')
def fixture_made():
  rng = np.random.default_rng(0)

  def part(rows):
    return Examples(rng.normal(size=(rows, 5)), np.arange(rows) % 3)

  train = part(20)
  fitted = preprocessing.fit_preprocessing(
      ('standardise', ('zca', {'eps': 0.5})), train.x)
  return dataset.make_dataset(
      name='toy', classes=3, train=train, dev=part(7), test=part(8),
      transfer={'views': part(9)}, fitted=fitted, raw_dtype='uint8')


def test_round_trip_and_mapped(made, tmp_path):
  store.write_dataset(tmp_path, made)
  read = store.read_dataset(tmp_path)
  assert list(read.splits) == list(made.splits)
  for split, examples in made.splits.items():
    np.testing.assert_array_equal(read.splits[split].x, examples.x)
    np.testing.assert_array_equal(read.splits[split].y, examples.y)
    assert isinstance(read.splits[split].x, np.memmap)
  assert (read.name, read.classes, read.digests, read.preprocessing) == (
      made.name, made.classes, made.digests, made.preprocessing)
  assert dataset.digest_splits(read.splits) == made.digests
  assert read.fingerprint == made.fingerprint
  assert read.raw_dtype == 'uint8'


def test_fitted_preprocessing_comes_back(made, tmp_path):
  store.write_dataset(tmp_path, made)
  read = store.read_dataset(tmp_path)
  assert read.fitted.record == made.fitted.record
  x = np.random.default_rng(1).normal(size=(4, 5))
  np.testing.assert_array_equal(
      preprocessing.apply_preprocessing(read.fitted, x),
      preprocessing.apply_preprocessing(made.fitted, x))


def write_once(folder, made):
  names = store.write_dataset(folder, made)
  kept.finish(folder, {}, made.fingerprint, names)


def test_flipped_bit_is_found_and_named(made, tmp_path):
  write_once(tmp_path, made)
  path = tmp_path / 'transfer.views.x.npy'
  data = bytearray(path.read_bytes())
  data[-3] ^= 1
  path.write_bytes(data)
  store.read_dataset(tmp_path)  # Not looked at unless asked for.
  message = (f'{path} is damaged: its SHA-256 is not the one it was written'
             f' with; delete {tmp_path} and run again to make it anew')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    kept.verify(tmp_path)


def test_missing_file_is_named(made, tmp_path):
  write_once(tmp_path, made)
  path = tmp_path / 'preprocessing.1.whiten.npy'
  path.unlink()
  message = (f'{path} is missing; delete {tmp_path} and run again to make it'
             ' anew')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    kept.verify(tmp_path)
  with pytest.raises(errors.UserError, match=re.escape(f'cannot read {path}')):
    store.read_dataset(tmp_path)


@pytest.mark.parametrize('size', [0, 50, 200])
def test_cut_off_file_is_named(made, tmp_path, size):
  store.write_dataset(tmp_path, made)
  path = tmp_path / 'train.x.npy'
  path.write_bytes(path.read_bytes()[:size])
  with pytest.raises(errors.UserError, match=re.escape(f'cannot read {path}')):
    store.read_dataset(tmp_path)


FIELDS = ('name', 'classes', 'transfer', 'preprocessing', 'digests',
          'raw_dtype', 'reach', 'folds', 'utterances')
# Well-formed JSON that none of these fields can be.
SHAPES = {
    'name': [None, 3, []], 'raw_dtype': [None, 3, ['uint8']],
    'classes': [None, 0, -1, 3.0, True, '3', [3]],
    'reach': [None, -1, 1.5, True, '1'],
    'transfer': [None, 'views', ['../x'], ['a/b'], ['a/../../x'], ['train'],
                 [''], [3], [None], [['views']], {'views': 1}, ['views', 'new'],
                 ['..'], []],
    'folds': [None, 'train', ['../x'], ['dev'], ['train'], [['train']], [1]],
    'utterances': [None, [], {'../x': []}, {'train': 'a'}, {'train': [1]},
                   {'new': ['f/a']}],
    'digests': [None, [], {}, {'train': 'a'}, {'train': 1},
                {'train': 'a', 'dev': 'b', 'test': 'c', '../x': 'd'},
                {'train': 'a', 'dev': 'b', 'test': 'c', 'transfer.views': 4}],
    'preprocessing': [
        None, [], {}, {'steps': None}, {'steps': 3}, {'steps': {}},
        {'steps': [3]}, {'steps': [[]]}, {'steps': [{}]},
        *({'steps': [{'name': 'standardise', 'options': {}, 'arrays': {
            'mean': 'a', 'std': 'b'}} | changes]} for changes in (
                {'name': 'none'}, {'name': ['gcn']}, {'options': None},
                {'options': {'eps': 1.0}}, {'arrays': None}, {'arrays': {}},
                {'arrays': {'../../x': 'a', 'std': 'b'}},
                {'arrays': {'mean': 'a', 'std': 'b', 'whiten': 'c'}}))],
}


def refuse_record(folder, record, monkeypatch):
  """The one line; no file outside of the folder may be looked at."""
  opened, read = [], np.load

  def load(path, **options):
    opened.append(path)
    return read(path, **options)

  monkeypatch.setattr(np, 'load', load)
  path = folder / 'dataset.json'
  path.write_text(json.dumps(record), encoding='utf-8')
  with pytest.raises(errors.UserError) as error:
    store.read_dataset(folder)
  assert not opened
  message = str(error.value)
  assert message.startswith(f'{path} is damaged: ') and '\n' not in message
  assert message.endswith(f'; delete {folder} and run again to make it anew')
  return message


@pytest.mark.parametrize('key', FIELDS)
def test_record_without_a_field(made, tmp_path, key, monkeypatch):
  store.write_dataset(tmp_path, made)
  record = files.read_json(tmp_path / 'dataset.json')
  del record[key]
  assert f"'{key}' is not what was written" in refuse_record(
      tmp_path, record, monkeypatch)


@pytest.mark.parametrize(('key', 'value'), [
    (key, value) for key in FIELDS for value in SHAPES[key]], ids=str)
def test_record_of_another_shape(made, tmp_path, key, value, monkeypatch):
  store.write_dataset(tmp_path / 'data', made)
  for name in ('x.npy', 'x.x.npy', 'x.y.npy', 'x.folds.npy', 'x.stops.npy'):
    np.save(tmp_path / name, np.zeros((3, 5)))
  record = files.read_json(tmp_path / 'data/dataset.json')
  refuse_record(tmp_path / 'data', record | {key: value}, monkeypatch)


@pytest.mark.parametrize(('key', 'value', 'digest'), [
    ('transfer', ['views', 'a/../../x'], 'transfer.a/../../x'),
    ('transfer', ['views', ''], 'transfer.'), ('folds', ['../x'], 'folds.../x'),
    ('folds', ['dev'], 'folds.dev')])
def test_record_of_a_stranger(
    made, tmp_path, key, value, digest, monkeypatch):
  """All of it goes together; it only leads elsewhere."""
  store.write_dataset(tmp_path, made)
  record = files.read_json(tmp_path / 'dataset.json')
  record[key] = value
  record['digests'][digest] = 'a'
  refuse_record(tmp_path, record, monkeypatch)


@pytest.mark.parametrize('record', [
    [], [[]], 3, 'a', None, True, {}, {'name': 'toy'}, [{'name': 'toy'}]])
def test_another_record(made, tmp_path, record, monkeypatch):
  store.write_dataset(tmp_path, made)
  assert 'is not what was written' in refuse_record(
      tmp_path, record, monkeypatch)


@pytest.mark.parametrize('text', ['{', '[]', ''])
def test_broken_record(made, tmp_path, text):
  store.write_dataset(tmp_path, made)
  (tmp_path / 'dataset.json').write_text(text, encoding='utf-8')
  with pytest.raises(errors.UserError, match=r'dataset\.json'):
    store.read_dataset(tmp_path)


def test_interrupted_write_leaves_no_record(made, tmp_path, monkeypatch):
  store.write_dataset(tmp_path, made)
  write_array, written = files.write_array, []

  def stop_at_the_third(path, array):
    written.append(path)
    if len(written) == 3:
      raise KeyboardInterrupt
    write_array(path, array)

  monkeypatch.setattr(files, 'write_array', stop_at_the_third)
  with pytest.raises(KeyboardInterrupt):
    store.write_dataset(tmp_path, made)
  assert not (tmp_path / 'dataset.json').exists()
  with pytest.raises(errors.UserError, match=r'dataset\.json'):
    store.read_dataset(tmp_path)


def test_equal_data_make_equal_bytes(made, tmp_path):
  store.write_dataset(tmp_path / 'a', made)
  store.write_dataset(tmp_path / 'b', made)
  for path in (tmp_path / 'a').iterdir():
    assert path.read_bytes() == (tmp_path / 'b' / path.name).read_bytes()
