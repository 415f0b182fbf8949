"""Sources of one's own: what they must say, and what is made of what they give.
"""

import dataclasses
import functools
import json
import os
import re
import subprocess
import sys

import numpy as np
import places
import pytest

import shallow_mimic
from shallow_mimic import configs, data, errors
from shallow_mimic.data.views import make_views
from shallow_mimic.runs import files

NAME = 'rings'


def make_part(rows, seed):
  x = np.random.default_rng(seed).normal(size=(rows, 4))
  return x, np.arange(rows) % 3


def make_parts(**changes):
  return {'train': make_part(60, 0), 'test': make_part(12, 1), **changes}


def make_source(parts=None, **changes):
  """The source `rings` of some parts; its functions can be replaced."""
  fields = {
      'name': NAME, 'version': '1',
      'read': lambda config, cache_dir: parts or make_parts(),
      'digest': lambda config: 'rings',
      'shapes': lambda config: data.Shapes((4,), 3, 60 - config.dev)}
  return data.Source(**(fields | changes))


@pytest.fixture(name='register')
def fixture_register():
  """Registers `make_source(…)` until the test ends."""
  return lambda *parts, **changes: shallow_mimic.register(
      make_source(*parts, **changes))


def make_config(**changes):
  config = configs.default_config().data
  config.update({'source': NAME, 'dev': 10, 'preprocessing': (), **changes})
  return config


def read(tmp_path, **changes):
  return data.read_source(make_config(**changes), cache_dir=tmp_path)


def refused(message):
  return pytest.raises(errors.UserError, match=f'^{re.escape(message)}$')


# What becomes of the parts ---------------------------------------------------


def test_the_same_data_as_from_an_npz(tmp_path, register):
  """Dev, limit, folds, views, pools, preprocessing: to the last bit."""
  (x, y), (x_test, y_test), (more, _) = (
      make_part(60, 0), make_part(12, 1), make_part(20, 2))
  more[:2] = x_test[:2]
  np.savez(tmp_path / 'a.npz', x_train=x, y_train=y, x_test=x_test,
           y_test=y_test, x_transfer=more)
  register(make_parts(transfer=more))
  common = {
      'limit_train': 30, 'seed': 3, 'folds': 3,
      'preprocessing': ('standardise', 'zca'), 'transfer': {
          'v': {'kind': 'views', 'copies': 2, 'noise': 0.1},
          't': {'kind': 'arrays', 'dtype': 'float16'}}}
  ours = read(tmp_path, source='arrays', path=str(tmp_path / 'a.npz'), **common)
  made = read(tmp_path, **common)
  assert made.fingerprint == ours.fingerprint
  assert (made.name, made.classes, len(made.train.y)) == (NAME, 3, 30)
  assert len(made.transfer['t'].y) == 18  # Two are in test.


def test_a_dev_split_and_pools_of_its_own(tmp_path, register):
  labels = np.arange(9) % 3
  register(make_parts(dev=make_part(7, 5), plain=make_part(8, 6)[0],
                      labelled=(make_part(9, 7)[0], labels)))
  made = read(tmp_path, transfer={
      'a': {'kind': 'arrays', 'pool': 'plain'},
      'b': {'kind': 'arrays', 'pool': 'labelled'},
      'v': {'kind': 'views', 'copies': 1, 'shift': 1}})
  assert [len(part.y) for part in made.splits.values()] == [
      60, 7, 12, 8, 9, 60]
  np.testing.assert_array_equal(made.transfer['a'].y, -1)
  np.testing.assert_array_equal(made.transfer['b'].y, labels)
  views = make_views(*make_part(60, 0), 1, 0, {'shift': 1})
  np.testing.assert_array_equal(
      made.transfer['v'].x, views.x.astype(np.float32))


def test_read_is_given_the_configuration_and_a_folder(tmp_path, register):
  def read_named(config, cache_dir):
    (cache_dir / 'made.txt').write_text('once', encoding='utf-8')
    assert (config.path, config.name, config.splits['a']) == ('p', 'n', 'b')
    return make_parts()

  register(read=read_named)
  read(tmp_path, path='p', name='n', splits={'a': 'b'})
  assert (tmp_path / 'made.txt').exists()


def test_classes_are_those_of_the_shapes_or_of_the_labels(tmp_path, register):
  register(shapes=lambda config: ((4,), 5, 0))
  assert read(tmp_path).classes == 5
  register(shapes=lambda config: None)
  assert read(tmp_path).classes == 3
  register(data.Raw('circles', 5, make_parts()), shapes=lambda config: None)
  made = read(tmp_path)
  assert (made.name, made.classes) == ('circles', 5)


# What is refused -------------------------------------------------------------


def spoilt(split, row, **changes):
  x, y = make_parts()[split]
  for name, value in changes.items():
    {'x': x, 'y': y}[name][row] = value
  return make_parts(**{split: (x, y)})


@pytest.mark.parametrize(('parts', 'message'), [
    ({'train': make_part(60, 0)}, "gives no 'test'; its `read` must give"
     " {'train': (x, y), 'test': (x, y)}"),
    ([1], "gives no 'train'; its `read` must give"
     " {'train': (x, y), 'test': (x, y)}"),
    (make_parts(train=make_part(60, 0)[0]), "gives 'train' as ndarray; it must"
     ' be a pair of arrays (x, y)'),
    (make_parts(dev=None), "gives 'dev' as NoneType; it must be a pair of"
     ' arrays (x, y)'),
    (make_parts(test=(3.0, 3)), "gives 'test' as tuple; it must be a pair of"
     ' arrays (x, y)'),
    (make_parts(test=([[1.0], [1.0, 2.0]], [0, 1])), "gives 'test' as tuple; it"
     ' must be a pair of arrays (x, y)'),
    (make_parts(pool=3.0), "gives 'pool' as float; it must be an array x or a"
     ' pair of arrays (x, y)'),
    (spoilt('train', 4, y=2 ** 31), ': train has the label 2147483648; number'
     ' the classes from 0'),
    (make_parts(train=(np.zeros((60, 5)), np.arange(60) % 3)), 'says that'
     ' inputs have the shape (4,) and 3 classes, but reads inputs of shape'
     ' (5,) and 3 classes'),
    (data.Raw('circles', 2, make_parts()), 'says that inputs have the shape'
     ' (4,) and 3 classes, but reads inputs of shape (4,) and 2 classes'),
])
def test_parts_that_are_none(tmp_path, register, parts, message):
  register(parts)
  space = '' if message.startswith(':') else ' '
  with refused(f"the data source 'rings'{space}{message}"):
    read(tmp_path)


@pytest.mark.parametrize(('parts', 'message'), [
    (spoilt('train', 7, x=np.nan), "split 'train': row 7 of x holds a value"
     ' that is not a finite float32 number; repair or remove that row'),
    (spoilt('test', 2, y=3), "split 'test': row 2 has label 3, outside 0..2"),
    (make_parts(test=make_part(0, 0)),
     "split 'test' is empty: x has shape (0, 4)"),
    (make_parts(test=(np.zeros((12, 3)), np.zeros(12, int))), "split 'test' has"
     ' inputs of shape (3,), train has (4,); every split needs inputs of one'
     ' shape, of one axis or more'),
    (make_parts(dev=(np.zeros((4, 4)), np.zeros(3, int))), "split 'dev': x has"
     ' 4 rows and y has shape (3,); each row of x needs one label'),
    (make_parts(train=(make_part(60, 0)[0], np.zeros(60))), "split 'train': x"
     ' of type float64 and y of type float64; x must hold real numbers and y'
     ' integers'),
    (make_parts(unused=np.array(['a', 'b'])), "split 'unused': x of type <U1"
     ' and y of type int64; x must hold real numbers and y integers'),
    (make_parts(test=(np.zeros((12, 4), np.uint8), np.zeros(12, int))),
     "split 'test' is of type uint8, train of float64: only uint8 is scaled to"
     ' [0, 1]; give all inputs in one type'),
])
def test_parts_are_checked_as_ours_are(tmp_path, register, parts, message):
  register(parts)
  with refused(message):
    read(tmp_path)


@pytest.mark.parametrize(('spec', 'message'), [
    ({'kind': 'arrays'}, "the data source 'rings' gives no 'transfer', which an"
     ' .npz has as the array x_transfer; it gives train, test, dev'),
    ({'kind': 'arrays', 'pool': 'test'}, 'all of its inputs are in dev or test,'
     ' which the teacher must not label for a student'),
    ({'kind': 'split', 'split': 'train'}, "the data source 'rings' has the"
     " kinds 'views' and 'tfds' and 'arrays', not 'split'"),
])
def test_transfer_sets_that_it_cannot_give(tmp_path, register, spec, message):
  register()
  with refused(f"transfer set 't': {message}"):
    read(tmp_path, transfer={'t': spec})


def test_kinds_are_those_that_it_offers(tmp_path, register):
  register(kinds=())
  with refused("transfer set 't': the data source 'rings' has the kinds 'views'"
               " and 'tfds', not 'arrays'"):
    read(tmp_path, transfer={'t': {'kind': 'arrays'}})
  register(make_parts(**{'generated.7': make_part(9, 2)[0]}),
           kinds=('generated',))
  made = read(tmp_path, transfer={
      't': {'kind': 'generated', 'size': 5, 'seed': 7}})
  assert len(made.transfer['t'].y) == 5


@pytest.mark.parametrize('missing', ['read', 'digest', 'shapes'])
def test_what_is_forgotten_fails_aloud(missing):
  fields = dataclasses.asdict(make_source())
  with refused(f"the data source 'rings': {missing} is None; it must be a"
               ' function'):
    data.Source(**(fields | {missing: None}))
  del fields[missing]
  with pytest.raises(TypeError, match=f"argument: '{missing}'"):
    data.Source(**fields)


def test_speech_that_is_no_data_set(tmp_path, register):
  register(speech=True, kinds=())
  with refused("the data source 'rings' is of speech: its `read` must give a"
               ' data.Dataset, not dict'):
    read(tmp_path)


@pytest.mark.parametrize('found', [
    None, '', b'raw', {'a': {1, 2}}, [float('nan')], {1: 2, 'a': 3}])
def test_a_digest_that_is_none(register, found):
  register(digest=lambda config: found)
  with refused(f"the data source 'rings' has the digest {found!r}; it must be"
               ' text, or lists and mappings of text and finite numbers'):
    data.source_digest(make_config())


@pytest.mark.parametrize('given', [
    3, (), ((4,), 3), ((), 3, 5), ((4.0,), 3, 5), ((0,), 3, 5), ((4,), 0, 5),
    ((4,), 3, -1), ((4,), 3, '5'), '4', ('4', 3, 5), (None, 3, 5)])
def test_shapes_that_are_none(register, given):
  register(shapes=lambda config: given)
  with refused(f"the data source 'rings' has the shapes {given!r}; they must be"
               ' data.Shapes(input_shape, classes, examples), as in'
               ' Shapes((28, 28, 1), 10, 60000), or None'):
    data.find_shapes(make_config())


# What it is known by ---------------------------------------------------------


def test_the_digest_follows_content_and_version(register):
  digests = []
  for changes in ({}, {'version': '2'}, {'digest': lambda config: ['rings']}):
    register(**changes)
    digests.append(data.source_digest(make_config()))
  assert len(set(digests)) == 3
  register()
  assert data.source_digest(make_config(dev=5)) == digests[0]


def _say(text, config):
  del config
  return text


@pytest.mark.parametrize('name', ['source', 'digest', 'transfer'])
def test_no_name_hides_version_or_digest(name):
  digests = set()
  for version, said in (('1', 'a'), ('2', 'a'), ('1', 'b')):
    shallow_mimic.register(make_source(
        name=name, version=version, digest=functools.partial(_say, said)))
    digests.add(data.source_digest(make_config(source=name)))
  assert len(digests) == 3


def test_ours_are_known_by_their_content_alone(tmp_path):
  """As they always were: what was made with an earlier version still fits."""
  (tmp_path / 'a.npz').write_bytes(b'a')
  config = make_config(source='arrays', path=str(tmp_path / 'a.npz'))
  assert data.source_digest(config) == files.digest_json({
      'source': 'arrays', 'arrays': files.digest_file(tmp_path / 'a.npz')})


def test_what_is_registered_is_found(register):
  assert data.find_registered(make_config(source='mnist1d')) == {}
  with refused("unknown data source 'rings'; known: mnist1d, tfds, arrays,"
               ' timit'):
    data.find_registered(make_config())
  register(version='2b')
  assert data.find_registered(make_config()) == {'rings': '2b'}


def test_every_source_of_ours_says_all_of_it():
  assert list(data.Source.registry) == [one.name for one in data.SOURCES]
  assert not any(one.version for one in data.SOURCES)
  assert data.say_speech_sources() == "'timit'"


def test_the_room_is_light_to_import():
  code = ('import sys, json; import shallow_mimic.data;'
          ' print(json.dumps(sorted(sys.modules)))')
  done = subprocess.run(
      [sys.executable, '-c', code], cwd=places.ROOT, check=True, text=True,
      stdout=subprocess.PIPE,
      env={**os.environ, 'PYTHONPATH': str(places.ROOT)})
  loaded = set(json.loads(done.stdout))
  assert 'shallow_mimic.data.sources.timit' in loaded
  assert not loaded & {
      'tensorflow_datasets', 'mnist1d', 'scipy', 'flax', 'tqdm',
      'ml_collections', 'kaldi_native_fbank', 'soundfile', 'soxr', 'matplotlib'}
