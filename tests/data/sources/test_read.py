"""From a configuration to a Dataset: order, seeds, transfer kinds, errors."""

import doctest
import io
import os
import re
import types
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from shallow_mimic import configs, errors
from shallow_mimic.data import mixtures, pools, store, views
from shallow_mimic.data.preprocessing import Preprocessing, fit_preprocessing
from shallow_mimic.data.sources import mnist1d_builder as mnist1d
from shallow_mimic.data.sources import read as reading
from shallow_mimic.data.sources import source, transfer
from shallow_mimic.data.sources import tfds_reader as tfds_source
from shallow_mimic.data.sources.read import read_source, source_digest


class InnerImages(tfds.core.GeneratorBasedBuilder):
  """Two rows of `train` are also in `test`, one in `validation`."""

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS: ClassVar = [
      tfds.core.BuilderConfig(name=name) for name in ('plain', 'validated')]

  def _info(self):
    return tfds.core.DatasetInfo(
        builder=self, disable_shuffling=True,
        supervised_keys=('image', 'label'),
        features=tfds.features.FeaturesDict({
            'image': tfds.features.Image(shape=(4, 4, 3)),
            'label': tfds.features.ClassLabel(num_classes=2)}))

  def _split_generators(self, dl_manager):
    splits = {'train': range(40), 'test': range(38, 50)}
    if self.builder_config.name == 'validated':
      splits['validation'] = range(37, 38)
    return {split: self._generate_examples(rows)
            for split, rows in splits.items()}

  def _generate_examples(self, rows):
    for row in rows:
      pixels = np.random.default_rng(row).integers(
          256, size=(4, 4, 3), dtype=np.uint8)
      buffer = io.BytesIO()
      Image.fromarray(pixels).save(buffer, format='png')
      yield row, {'image': buffer.getvalue(), 'label': row % 2}


@pytest.fixture(name='tfds_dir', scope='module')
def fixture_tfds_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tfds')
  for config in ('plain', 'validated'):
    builder = InnerImages(
        data_dir=folder, config=config, file_format='array_record')
    with tfds_source.quiet_tfds():
      builder.download_and_prepare()
  return folder


@pytest.fixture(name='cache', scope='module')
def fixture_cache(tmp_path_factory):
  return tmp_path_factory.mktemp('cache')


@pytest.fixture(name='npz')
def fixture_npz(tmp_path):
  rng = np.random.default_rng(0)
  path = tmp_path / 'mine.npz'
  arrays = {}
  for split, rows in (('train', 60), ('test', 12)):
    arrays[f'x_{split}'] = rng.normal(size=(rows, 5))
    arrays[f'y_{split}'] = np.arange(rows) % 3
  arrays['x_transfer'] = rng.normal(size=(30, 5))
  np.savez(path, **arrays)
  return path, arrays


def make_config(**changes):
  """The data configuration of arrays, without preprocessing, changed."""
  config = configs.default_config().data
  config.update({'source': 'arrays', 'dev': 10, 'preprocessing': (), **changes})
  return config


def read(cache, **changes):
  return read_source(make_config(**changes), cache_dir=cache)


def of_tfds(folder, **changes):
  return {'source': 'tfds', 'name': 'inner_images/plain',
          'data_dir': str(folder)} | changes


def rows_of(x):
  return {np.ascontiguousarray(row).tobytes() for row in x}


def test_mnist1d(cache):
  made = read(cache, source='mnist1d', dev=500, transfer={
      'new': {'kind': 'generated', 'size': 1500},
      'few': {'kind': 'generated', 'size': 200},
      'other': {'kind': 'generated', 'size': 100, 'seed': 8}})
  shapes = {split: part.x.shape for split, part in made.splits.items()}
  assert shapes == {
      'train': (3500, 40), 'dev': (500, 40), 'test': (1000, 40),
      'transfer.new': (1500, 40), 'transfer.few': (200, 40),
      'transfer.other': (100, 40)}
  published = mnist1d.read_mnist1d(cache, 1500, 0)
  np.testing.assert_array_equal(
      made.test.x, published['test'].x.astype(np.float32))
  assert rows_of(made.train.x) | rows_of(made.dev.x) == rows_of(
      published['train'].x.astype(np.float32))
  few, new, other = (made.transfer[key].x for key in ('few', 'new', 'other'))
  np.testing.assert_array_equal(few, new[:200])
  assert (other != new[:100]).any()
  assert (made.name, made.classes) == ('mnist1d', 10)
  assert made.raw_dtype == 'float32'


def test_generated_sizes_are_the_largest_of_each_seed():
  sizes = {'a': (30, 1), 'b': (10, 1), 'c': (20, 2), 'd': (40, 2)}
  config = make_config(source='mnist1d', transfer={
      name: {'kind': 'generated', 'size': size, 'seed': seed}
      for name, (size, seed) in sizes.items()})
  assert transfer.generated_sizes(config) == {1: 30, 2: 40}


def test_mnist1d_in_a_folder_of_its_own(cache, tmp_path):
  read(cache / 'unused', source='mnist1d', data_dir=str(tmp_path), dev=500)
  assert (tmp_path / 'mnist1d').is_dir()
  assert not (cache / 'unused').exists()


def test_dev_is_stratified_seeded_and_out_of_train(cache, npz):
  path, arrays = npz
  made = read(cache, path=str(path), dev=12)
  np.testing.assert_array_equal(np.bincount(made.dev.y), [4, 4, 4])
  assert not rows_of(made.dev.x) & rows_of(made.train.x)
  assert rows_of(made.dev.x) | rows_of(made.train.x) == rows_of(
      arrays['x_train'].astype(np.float32))
  assert read(cache, path=str(path), dev=12).fingerprint == made.fingerprint
  other = read(cache, path=str(path), dev=12, seed=1)
  assert rows_of(other.dev.x) != rows_of(made.dev.x)


def test_given_dev_is_used_and_train_left_whole(cache, npz):
  path, arrays = npz
  np.savez(path, **arrays, x_dev=arrays['x_test'] + 1, y_dev=arrays['y_test'])
  made = read(cache, path=str(path), dev=0)
  np.testing.assert_array_equal(
      made.dev.x, (arrays['x_test'] + 1).astype(np.float32))
  assert len(made.train.x) == 60


def test_limit_leaves_dev_and_test_alone(cache, npz):
  path, _ = npz
  whole = read(cache, path=str(path))
  some = read(cache, path=str(path), limit_train=9)
  np.testing.assert_array_equal(np.bincount(some.train.y), [3, 3, 3])
  assert rows_of(some.train.x) < rows_of(whole.train.x)
  np.testing.assert_array_equal(some.dev.x, whole.dev.x)
  np.testing.assert_array_equal(some.test.x, whole.test.x)
  assert len(read(cache, path=str(path), limit_train=50).train.x) == 50


def test_preprocessing_is_fitted_on_train_alone(cache, npz):
  path, _ = npz
  raw = read(cache, path=str(path), transfer={'t': {'kind': 'arrays'}})
  made = read(cache, path=str(path), preprocessing=('standardise',),
              transfer={'t': {'kind': 'arrays'}})
  mean, std = raw.train.x.mean(0), raw.train.x.std(0)
  for split, part in made.splits.items():
    np.testing.assert_allclose(
        part.x, (raw.splits[split].x - mean) / std, rtol=1e-4, atol=1e-5)
  assert made.preprocessing['steps'][0]['name'] == 'standardise'
  assert made.fingerprint != raw.fingerprint


def test_views_are_of_raw_train_after_dev_is_out(cache, npz):
  path, _ = npz
  options = {'shift': 1, 'noise': 0.1}
  spec = {'kind': 'views', 'copies': 2, **options}
  made = read(cache, path=str(path), preprocessing=('standardise',), seed=4,
              transfer={'v': spec, 'w': {**spec, 'seed': 9}})
  with np.load(path) as arrays:
    raw = read(cache, path=str(path), seed=4)
    order = [list(arrays['x_train'].astype(np.float32)[:, 0]).index(value)
             for value in raw.train.x[:, 0]]
    expected = views.make_views(
        arrays['x_train'][order], raw.train.y, 2, 4, options)
  step = made.fitted.steps[0].arrays
  np.testing.assert_allclose(
      made.transfer['v'].x, (expected.x - step['mean']) / step['std'],
      rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(made.transfer['v'].y, np.tile(raw.train.y, 2))
  assert (made.transfer['w'].x != made.transfer['v'].x).any()


def read_into(folder, cache, path, **changes):
  return read_source(make_config(
      path=str(path), **{'preprocessing': ('zca',), 'transfer': {
          'v': {'kind': 'views', 'copies': 3, 'noise': 0.1},
          't': {'kind': 'arrays'}}, **changes}),
      cache_dir=cache, directory=folder)


def test_on_disk_the_data_are_those_in_memory(cache, npz, tmp_path):
  path, _ = npz
  folder = tmp_path / 'data'
  made = read_into(folder, cache, path)
  assert made.fingerprint == read_into(None, cache, path).fingerprint
  assert all(isinstance(part.x, np.memmap) for part in made.splits.values())
  before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
  store.write_dataset(folder, made)
  for name, then in before.items():  # Not written a second time.
    assert (folder / name).stat().st_mtime_ns == then
  again = store.read_dataset(folder)
  assert again.fingerprint == made.fingerprint
  assert again.transfer['v'].x.shape == (150, 5)


class KilledError(Exception):
  """What stands for a kill."""


@pytest.fixture(name='begun')
def fixture_begun(cache, npz, tmp_path, monkeypatch):
  """Data of which five parts of seven are written; logs those made since."""
  path, _ = npz
  made, make = [], store._cast

  def cast(maker, dtype):
    made.append(maker)
    if len(made) == 6:
      raise KilledError
    yield from make(maker, dtype)

  monkeypatch.setattr(store, '_cast', cast)
  with pytest.raises(KilledError):
    read_into(tmp_path / 'data', cache, path)
  since = []
  monkeypatch.setattr(store, '_cast', lambda maker, dtype: make(
      since.append(maker) or maker, dtype))
  return path, tmp_path / 'data', since


def test_data_of_the_same_origin_are_gone_on_with(cache, begun, tmp_path):
  path, folder, made = begun
  moved = path.rename(tmp_path / 'moved.npz')  # The same, in another place.
  got = read_into(folder, cache, moved)
  assert len(made) == 2
  assert got.digests == read_into(None, cache, moved).digests


@pytest.mark.parametrize('change', ['settings', 'source', 'machine'])
def test_data_of_another_origin_are_made_anew(
    cache, npz, begun, change, monkeypatch):
  """Arrays of the same shape: nothing of them says what they were made of."""
  (path, arrays), (_, folder, made), changes = npz, begun, {}
  if change == 'settings':
    changes['transfer'] = {
        'v': {'kind': 'views', 'copies': 3, 'noise': 0.1, 'seed': 7},
        't': {'kind': 'arrays'}}
  elif change == 'source':  # Whitening tells nothing of it.
    np.savez(path, **{**arrays, 'x_transfer': arrays['x_transfer'] + 1})
  else:
    step, = fit_preprocessing(('zca',), arrays['x_train']).steps
    step.arrays['mean'] = np.nextafter(step.arrays['mean'], np.float32(9))
    monkeypatch.setattr(
        reading, 'fit_preprocessing', lambda *_: Preprocessing((step,)))
  got = read_into(folder, cache, path, **changes)
  assert len(made) == 7
  assert got.digests == read_into(None, cache, path, **changes).digests


def test_a_further_transfer_set_changes_no_other(cache, npz):
  path, _ = npz
  sets = {'v': {'kind': 'views', 'copies': 2, 'noise': 0.1},
          't': {'kind': 'arrays'}, 'w': {'kind': 'views', 'copies': 1}}
  whole = read(cache, path=str(path), transfer=sets).digests
  for name in sets:
    fewer = read(cache, path=str(path), transfer={
        key: spec for key, spec in sets.items() if key != name}).digests
    assert whole.items() > fewer.items()
    assert whole.keys() - fewer.keys() == {f'transfer.{name}'}
  folded = read(cache, path=str(path), transfer=sets, folds=3).digests
  assert folded.items() > whole.items()


def test_transfer_sets_in_half_precision(cache, npz, tmp_path):
  """Half the bytes; used in single precision, streamed or not."""
  path, _ = npz
  half = {name: {**spec, 'dtype': 'float16'} for name, spec in (
      ('v', {'kind': 'views', 'copies': 3, 'noise': 0.1}),
      ('t', {'kind': 'arrays'}))}
  single = read_into(None, cache, path)
  made = read_into(tmp_path / 'data', cache, path, transfer=half)
  store.write_dataset(tmp_path / 'data', made)
  made = store.read_dataset(tmp_path / 'data')
  assert made.fingerprint != single.fingerprint
  layout = mixtures.make_layout(['train+v+t'], mixtures.set_sizes(made))
  want = mixtures.gather(single, layout)[0].x
  streamed = mixtures.gather(made, layout, memory=0)[0]
  whole = mixtures.gather(made, layout, memory=want.nbytes)[0]
  assert streamed.streamed and not whole.streamed
  for name in half:
    assert made.transfer[name].x.dtype == np.float16
    alone = pools.take(made.pool(f'transfer.{name}'), np.arange(5))
    assert alone.dtype == np.float32
    np.testing.assert_array_equal(
        alone, single.transfer[name].x[:5].astype(np.float16))
  rows = np.arange(len(want))
  got = pools.take(streamed, rows)
  assert got.dtype == np.float32
  np.testing.assert_array_equal(got, pools.take(whole, rows))
  np.testing.assert_array_equal(got[:50], want[:50])
  np.testing.assert_allclose(got, want, rtol=2 ** -11, atol=2 ** -24)


def test_what_half_precision_cannot_hold_is_named(cache, npz):
  path, arrays = npz
  arrays['x_transfer'][9, 2] = 1e5
  np.savez(path, **arrays)
  with pytest.raises(errors.UserError, match=(
      r"^split 'transfer\.t': row 9 of x holds a value that is not a finite"
      r' float16 number')):
    read(cache, path=str(path),
         transfer={'t': {'kind': 'arrays', 'dtype': 'float16'}})


def test_killed_while_views_are_written(cache, npz, tmp_path, monkeypatch):
  """The end is the same, and views that were finished are not made again."""
  path, _ = npz
  want = read_into(tmp_path / 'whole', cache, path)
  original, made, killed = views.Views.chunks, [], []

  def chunks(self, copy):
    made.append(copy)
    for rows in original(self, copy):
      yield rows[:20]
      if copy == 1 and not killed:
        killed.append(copy)
        raise KeyboardInterrupt
      yield rows[20:]

  monkeypatch.setattr(views.Views, 'chunks', chunks)
  with pytest.raises(KeyboardInterrupt):
    read_into(tmp_path / 'data', cache, path)
  got = read_into(tmp_path / 'data', cache, path)
  assert made == [0, 1, 1, 2]
  np.testing.assert_array_equal(got.transfer['v'].x, want.transfer['v'].x)
  assert got.fingerprint == want.fingerprint
  for file in (tmp_path / 'whole').iterdir():
    assert file.read_bytes() == (tmp_path / 'data' / file.name).read_bytes()


def test_mixes_have_no_label_and_the_fold_of_both_their_examples(cache, npz):
  path, _ = npz
  made = read(cache, path=str(path), folds=2, preprocessing=(), transfer={
      'm': {'kind': 'views', 'copies': 1, 'mixup': 1.0}})
  np.testing.assert_array_equal(made.transfer['m'].y, -1)
  folds = made.folds['train']
  np.testing.assert_array_equal(made.folds['transfer.m'], folds)
  expected = views.make_views(*made.train, 1, 0, {'mixup': 1.0}, folds)
  np.testing.assert_array_equal(made.transfer['m'].x, expected.x)


def test_tfds_images(cache, tfds_dir):
  made = read(cache, **of_tfds(tfds_dir))
  assert (made.name, made.classes) == ('inner_images', 2)
  assert made.train.x.shape == (30, 4, 4, 3)
  assert 0 <= made.train.x.min() < 0.1
  assert 0.9 < made.train.x.max() <= 1


def test_tfds_validation_split_is_dev(cache, tfds_dir):
  made = read(cache, **of_tfds(tfds_dir, name='inner_images/validated', dev=0))
  assert [len(part.x) for part in made.splits.values()] == [40, 1, 12]


def test_tfds_splits_of_ones_own(cache, tfds_dir):
  made = read(cache, **of_tfds(
      tfds_dir, dev=0,
      splits={'train': 'train[:20]', 'dev': 'train[20:25]', 'test': 'test'}))
  assert [len(part.x) for part in made.splits.values()] == [20, 5, 12]


def test_no_transfer_input_is_in_dev_or_test(cache, tfds_dir, caplog):
  made = read(cache, **of_tfds(tfds_dir, transfer={
      'same': {'kind': 'split', 'split': 'train'},
      'again': {'kind': 'tfds', 'name': 'inner_images/plain', 'size': 39}}))
  held_out = rows_of(made.dev.x) | rows_of(made.test.x)
  whole = rows_of(made.train.x) | rows_of(made.dev.x)  # 40 rows of train
  same, again = made.transfer['same'], made.transfer['again']
  assert rows_of(same.x) == whole - held_out
  assert rows_of(again.x) <= rows_of(same.x)
  assert len(same.y) < 30
  assert (same.y >= 0).all()
  assert (again.y == -1).all()
  assert (f"transfer set 'same': {40 - len(same.y)} of its 40 inputs are also"
          in caplog.text)


def test_transfer_inside_test_is_refused(cache, tfds_dir):
  message = ("transfer set 't': all of its inputs are in dev or test, which"
             ' the teacher must not label for a student')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    read(cache, **of_tfds(
        tfds_dir, transfer={'t': {'kind': 'split', 'split': 'test'}}))


def test_transfer_of_another_shape_is_refused(cache, npz, tfds_dir):
  path, _ = npz
  message = ("split 'transfer.t' has inputs of shape (4, 4, 3), train has"
             ' (5,); every split needs inputs of one shape, of one axis or'
             ' more')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    read(cache, path=str(path), preprocessing=('standardise',), transfer={'t': {
        'kind': 'tfds', 'name': 'inner_images/plain',
        'data_dir': str(tfds_dir)}})


@pytest.mark.parametrize('split', ['train', 'test'])
def test_bad_raw_row_is_named_before_it_spreads(cache, npz, split):
  path, arrays = npz
  arrays[f'x_{split}'][7, 2] = np.nan
  np.savez(path, **arrays)
  message = (f"split '{split}': row 7 of x holds a value that is not a finite"
             ' float32 number; repair or remove that row')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    read(cache, path=str(path), preprocessing=('gcn', 'standardise'))


def test_bad_row_of_a_transfer_set_is_named(cache, npz):
  path, arrays = npz
  arrays['x_transfer'][9] = np.inf
  np.savez(path, **arrays)
  with pytest.raises(errors.UserError, match=r"^split 'transfer\.t': row 9"):
    read(cache, path=str(path), preprocessing=('standardise',),
         transfer={'t': {'kind': 'arrays'}})


@pytest.mark.parametrize(('changes', 'message'), [
    ({'source': 'imagenet'},
     "unknown data source 'imagenet'; known: mnist1d, tfds, arrays,"
     ' timit'),
    ({'dev': 0},
     'dev split, which this source does not give (dev = …): cannot choose 0 of'
     ' 60 training examples; give a number from 1 to 59'),
    ({'limit_train': 51},
     'limit_train: cannot choose 51 of 50 training examples; give a number'
     ' from 1 to 49'),
    ({'preprocessing': ('standardize',)},
     "unknown preprocessing step 'standardize'; known: standardise, gcn, zca"),
    ({'transfer': {'t': {'kind': 'crops'}}},
     "transfer set 't': unknown kind 'crops'; known: generated, views, tfds,"
     ' split, arrays, waveforms, wavs'),
    ({'transfer': {'t': {'copies': 3}}},
     "transfer set 't': unknown kind None; known: generated, views, tfds,"
     ' split, arrays, waveforms, wavs'),
    ({'transfer': {'t': {'kind': 'generated', 'size': 10}}},
     "transfer set 't': the data source 'arrays' has the kinds 'views' and"
     " 'tfds' and 'arrays', not 'generated'"),
    ({'transfer': {'t': {'kind': 'views', 'copys': 3}}},
     "transfer set 't': kind 'views' has no option 'copys'; its options:"
     ' copies, seed, dtype, shift, crop, padding, flip, colour, mixup,'
     ' scale, noise, jitter'),
    ({'transfer': {'t': {'kind': 'arrays', 'size': 3}}},
     "transfer set 't': kind 'arrays' has no option 'size'; its options:"
     ' pool, dtype'),
    ({'transfer': {'t': {'kind': 'views', 'noise': 0.1}}},
     "transfer set 't': kind 'views' needs copies"),
    ({'transfer': {'t': {'kind': 'tfds'}}},
     "transfer set 't': kind 'tfds' needs name"),
    ({'transfer': {'train': {'kind': 'views', 'copies': 1}}},
     "transfer set 'train': that name is the training inputs'; choose"
     ' another'),
    ({'transfer': {'t': {'kind': 'views', 'copies': -1}}},
     "transfer set 't': copies = -1 must be a whole number, not negative"),
    ({'transfer': {'t': {'kind': 'views', 'copies': 2.0}}},
     "transfer set 't': copies = 2.0 must be a whole number, not negative"),
    ({'transfer': {'t': {'kind': 'arrays', 'dtype': 'bytes'}}},
     "transfer set 't': dtype is 'bytes'; it must be one of float32, float16"),
    ({'transfer': {'t': {'kind': 'views', 'copies': 1, 'crop': 1}}},
     'views: crop does not apply to inputs of shape (5,)'),
])
def test_refuses(cache, npz, changes, message):
  path, _ = npz
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    read(cache, **{'path': str(path), **changes})


def test_configuration_is_checked_before_anything_is_read(cache):
  for changes, message in (
      ({'preprocessing': ('whiten',)}, "^unknown preprocessing step 'whiten'"),
      ({'transfer': {'t': {'kind': 'x'}}}, "^transfer set 't': unknown kind")):
    with pytest.raises(errors.UserError, match=message):
      read(cache, path='absent.npz', **changes)


@pytest.mark.parametrize('array', ['x_test', 'x_transfer'])
def test_bytes_among_real_numbers_are_refused(cache, npz, array):
  path, arrays = npz
  arrays[array] = arrays[array].astype(np.uint8)
  np.savez(path, **arrays)
  split = {'x_test': 'test', 'x_transfer': 'transfer.t'}[array]
  with pytest.raises(errors.UserError, match=(
      f"^split '{split}' is of type uint8, train of float64: only uint8 is"
      r' scaled to \[0, 1\]; give all inputs in one type$')):
    read(cache, path=str(path), transfer={'t': {'kind': 'arrays'}})


def test_transfer_array_that_is_not_there(cache, npz):
  path, arrays = npz
  del arrays['x_transfer']
  np.savez(path, **arrays)
  message = ("transfer set 't': the data source 'arrays' gives no 'transfer',"
             ' which an .npz has as the array x_transfer; it gives train, test,'
             ' dev')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    read(cache, path=str(path), transfer={'t': {'kind': 'arrays'}})


def test_mnist1d_digest_follows_the_package(cache, monkeypatch):
  config = make_config(source='mnist1d')
  before = source_digest(config)
  assert source_digest(config) == before
  monkeypatch.setattr(mnist1d.metadata, 'version', lambda name: '9.9')
  assert source_digest(config) != before


def test_arrays_digest_is_of_the_content(npz, tmp_path):
  path, _ = npz
  before = source_digest(make_config(path=str(path)))
  moved = tmp_path / 'deep' / 'other.npz'
  moved.parent.mkdir()
  moved.write_bytes(path.read_bytes())
  os.utime(moved, ns=(1, 1))
  path.unlink()
  assert source_digest(make_config(path=str(moved))) == before
  data = bytearray(moved.read_bytes())
  data[-400] ^= 1  # Neither its size nor its time says so.
  moved.write_bytes(data)
  os.utime(moved, ns=(1, 1))
  assert source_digest(make_config(path=str(moved))) != before


def test_arrays_digest_follows_the_file(cache, npz):
  path, arrays = npz
  config = make_config(path=str(path))
  before = source_digest(config)
  arrays['x_train'][0, 0] += 1
  np.savez(path, **arrays)
  assert source_digest(config) != before
  path.unlink()
  with pytest.raises(errors.MissingError,
                     match=f'^cannot read {path}: No such'):
    source_digest(config)


def test_tfds_digest_follows_the_files(cache, npz, tmp_path):
  path, _ = npz
  folder = tmp_path / 'tfds'
  builder = InnerImages(
      data_dir=folder, config='plain', file_format='array_record')
  with tfds_source.quiet_tfds():
    builder.download_and_prepare()
  config = make_config(**of_tfds(folder))
  indirect = make_config(path=str(path), transfer={'t': {
      'kind': 'tfds', 'name': 'inner_images/plain',
      'data_dir': str(folder)}})
  before = [source_digest(each) for each in (config, indirect)]
  record = next(builder.data_path.glob('*test*'))
  record.write_bytes(record.read_bytes() + b'0')
  after = [source_digest(each) for each in (config, indirect)]
  assert all(old != new for old, new in zip(before, after, strict=True))
  moved = make_config(**of_tfds(folder.rename(tmp_path / 'moved')))
  assert source_digest(moved) == after[0]
  for each in (config, indirect):
    with pytest.raises(errors.MissingError,
                       match="'inner_images/plain' is not ready in"):
      source_digest(each)


def test_examples_of_the_docstrings():
  assert doctest.testmod(source).failed == 0


def test_plain_objects_and_options_of_steps(cache, npz):
  config = types.SimpleNamespace(**make_config(path=str(npz[0])).to_dict() | {
      'preprocessing': ('standardise', ('zca', {'eps': 0.5})),
      'transfer': {'absent': None, 'v': {
          'kind': 'views', 'copies': 2, 'seed': None}}})
  made = read_source(config, cache_dir=cache)
  assert made.preprocessing['steps'][1]['options'] == {'eps': 0.5}
  assert {name: len(part.y) for name, part in made.transfer.items()} == {
      'v': 100}
