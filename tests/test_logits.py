"""Tests of the logit cache: whose it is, is it whole, does it resume."""

import copy
import dataclasses
import json

import numpy as np
import pytest

from shallow_mimic import errors, logits
from shallow_mimic.data import mixtures
from shallow_mimic.data.dataset import Dataset, Examples

TEACHER = {'space': 'logits', 'teachers': {'CNN:0': 'aa', 'CNN:1': 'bb'}}
LAYOUT = mixtures.Layout((('train', 7), ('more', 6)))


def make_examples(rng, count):
  return Examples(rng.normal(size=(count, 2, 3)).astype(np.float32),
                  np.zeros(count, np.int32))


@pytest.fixture(name='dataset')
def make_dataset():
  rng = np.random.default_rng(0)
  part = make_examples(rng, 7)
  return Dataset(
      name='made', classes=4, train=part, dev=part, test=part,
      transfer={'more': make_examples(rng, 9)},
      preprocessing={'steps': ['standardise']}, digests={}, fitted=None)


class Teacher:
  """A linear teacher that counts its calls, and can fail at one of them."""

  def __init__(self, fail_at=0):
    rng = np.random.default_rng(1)
    self.matrix = rng.normal(size=(6, 4)).astype(np.float32)
    self.rows, self.fail_at, self.folds = [], fail_at, []

  def __call__(self, x, folds):
    self.folds += list(folds)
    self.rows.append(len(x))
    if len(self.rows) == self.fail_at:
      raise KeyboardInterrupt
    return x.reshape(len(x), 6) @ self.matrix


def make_origin(dataset, part_rows=5, **changes):
  return logits.make_origin(dataset, TEACHER, LAYOUT, part_rows=part_rows,
                            **changes)


def expected_logits(dataset):
  x = np.concatenate([dataset.train.x, dataset.transfer['more'].x[:6]])
  return x.reshape(13, 6) @ Teacher().matrix


def write_interrupted(directory, dataset, fail_at):
  with pytest.raises(KeyboardInterrupt):
    logits.write_logits(directory, make_origin(dataset), dataset,
                        Teacher(fail_at))


@pytest.mark.parametrize('part_rows', [1, 5, 7, 13, 100])
def test_reads_what_the_teacher_said_row_for_row(tmp_path, dataset, part_rows):
  origin = make_origin(dataset, part_rows)
  logits.write_logits(tmp_path, origin, dataset, Teacher())
  found = logits.read_logits(tmp_path, origin)
  assert found.layout == LAYOUT
  assert found.logits.dtype == np.float32
  np.testing.assert_allclose(found.logits, expected_logits(dataset), rtol=1e-5)


def test_float16_halves_the_cache_and_is_read_as_float32(tmp_path, dataset):
  origin = make_origin(dataset, dtype='float16')
  logits.write_logits(tmp_path, origin, dataset, Teacher())
  assert np.load(tmp_path / 'part-00000.npy').dtype == np.float16
  found = logits.read_logits(tmp_path, origin).logits
  assert found.dtype == np.float32
  whole = expected_logits(dataset)
  assert 0 < np.abs(found - whole).max()
  np.testing.assert_allclose(found, whole, rtol=2 ** -10, atol=1e-4)


def test_unknown_dtype(dataset):
  with pytest.raises(errors.UserError) as error:
    make_origin(dataset, dtype='float8')
  assert str(error.value) == (
      "logits.dtype 'float8' is unknown; known: float32, float16")


def change_teacher(origin):
  origin['teacher']['teachers']['CNN:1'] = 'cc'


def change_space(origin):
  origin['teacher']['space'] = 'probabilities'


def change_fingerprint(origin):
  origin['data']['fingerprint'] = 'f1'


def change_preprocessing(origin):
  origin['data']['preprocessing'] = {'steps': ['zca']}


def change_sets(origin):
  origin['sets'][1][1] = 5


def change_order(origin):
  origin['sets'].reverse()


@pytest.mark.parametrize('change, named', [
    (change_teacher, 'teacher.teachers.CNN:1'),
    (change_space, 'teacher.space'), (change_fingerprint, 'data.fingerprint'),
    (change_preprocessing, 'data.preprocessing.steps'),
    (change_sets, 'sets'), (change_order, 'sets'),
])
@pytest.mark.parametrize('interrupted', [False, True])
def test_another_origin_is_refused(tmp_path, dataset, change, named,
                                   interrupted):
  origin = make_origin(dataset)
  if interrupted:
    write_interrupted(tmp_path, dataset, 3)
  else:
    logits.write_logits(tmp_path, origin, dataset, Teacher())
  other = copy.deepcopy(origin)
  change(other)
  message = (f'the logit cache {tmp_path} is of another {named}; its targets'
             ' are wrong here: delete it to make it anew')
  with pytest.raises(errors.UserError) as error:
    logits.read_logits(tmp_path, other)
  assert str(error.value) == message
  with pytest.raises(errors.UserError) as error:
    logits.write_logits(tmp_path, other, dataset, Teacher())
  assert str(error.value) == message


@pytest.mark.parametrize('part', [0, 1, 2])
def test_a_flipped_bit_is_named(tmp_path, dataset, part):
  origin = make_origin(dataset)
  logits.write_logits(tmp_path, origin, dataset, Teacher())
  path = tmp_path / f'part-{part:05d}.npy'
  data = bytearray(path.read_bytes())
  data[-5] ^= 1
  path.write_bytes(data)
  with pytest.raises(errors.UserError) as error:
    logits.read_logits(tmp_path, origin)
  assert str(error.value) == (
      f'{path} is damaged: its SHA-256 is not the one it was written with;'
      f' delete {tmp_path} and run again to make it anew')


def test_exchanged_and_missing_parts_are_named(tmp_path, dataset):
  origin = make_origin(dataset)
  logits.write_logits(tmp_path, origin, dataset, Teacher())
  first, second = (tmp_path / f'part-0000{i}.npy' for i in (0, 1))
  ours, theirs = first.read_bytes(), second.read_bytes()
  first.write_bytes(theirs)
  second.write_bytes(ours)
  with pytest.raises(errors.UserError, match=f'^{first} is damaged'):
    logits.read_logits(tmp_path, origin)
  first.write_bytes(ours)
  second.unlink()
  with pytest.raises(errors.UserError, match=f'^cannot read {second}: '):
    logits.read_logits(tmp_path, origin)


@pytest.mark.parametrize('fail_at, left', [
    (1, [5, 5, 3]), (2, [5, 3]), (3, [3]),
])
def test_an_interrupted_write_computes_only_what_is_missing(
    tmp_path, dataset, fail_at, left):
  origin, whole = make_origin(dataset), tmp_path / 'whole'
  logits.write_logits(whole, origin, dataset, Teacher())
  write_interrupted(tmp_path / 'cut', dataset, fail_at)
  teacher = Teacher()
  logits.write_logits(tmp_path / 'cut', origin, dataset, teacher)
  assert teacher.rows == left
  assert ({path.name: path.read_bytes() for path in whole.iterdir()}
          == {path.name: path.read_bytes()
              for path in (tmp_path / 'cut').iterdir()})


@pytest.mark.parametrize('cut', [False, True])
def test_a_damaged_part_of_an_interrupted_write_is_computed_again(
    tmp_path, dataset, cut):
  write_interrupted(tmp_path, dataset, 3)
  path = tmp_path / 'part-00001.npy'
  if cut:
    path.write_bytes(path.read_bytes()[:7])
  else:
    np.save(path, np.load(path) + 1)
  teacher, origin = Teacher(), make_origin(dataset)
  logits.write_logits(tmp_path, origin, dataset, teacher)
  assert teacher.rows == [5, 3]
  np.testing.assert_allclose(logits.read_logits(tmp_path, origin).logits,
                             expected_logits(dataset), rtol=1e-5)


def test_a_part_that_the_manifest_does_not_know_is_not_trusted(
    tmp_path, dataset):
  """Killed between a part and the manifest."""
  write_interrupted(tmp_path, dataset, 2)
  np.save(tmp_path / 'part-00001.npy', np.zeros((5, 4), np.float32))
  teacher, origin = Teacher(), make_origin(dataset)
  logits.write_logits(tmp_path, origin, dataset, teacher)
  assert teacher.rows == [5, 3]
  np.testing.assert_allclose(logits.read_logits(tmp_path, origin).logits,
                             expected_logits(dataset), rtol=1e-5)


def test_an_unfinished_cache_is_not_read(tmp_path, dataset):
  write_interrupted(tmp_path, dataset, 3)
  with pytest.raises(errors.UserError) as error:
    logits.read_logits(tmp_path, make_origin(dataset))
  assert str(error.value) == (
      f'{tmp_path} is not finished; run the stage `logits` to go on with it')


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused(tmp_path, dataset, bad):
  def apply(x, folds):
    block = Teacher()(x, folds)
    # Row 2 of the second part.
    block[2, 1] = bad if np.array_equal(x[0], dataset.train.x[5]) else 0
    return block

  with pytest.raises(errors.UserError) as error:
    logits.write_logits(tmp_path, make_origin(dataset), dataset, apply)
  assert str(error.value) == (
      'the teacher gives logits that are not finite, first for row 7; lower'
      ' its learning rate')
  assert not (tmp_path / 'part-00001.npy').exists()
  assert not json.loads((tmp_path / 'manifest.json').read_text(
      encoding='utf-8'))['complete']


def test_logits_beyond_float16_are_refused(tmp_path, dataset):
  def apply(x, folds):
    return np.full((len(x), 4), 1e5, np.float32)

  with pytest.raises(errors.UserError) as error:
    logits.write_logits(
        tmp_path, make_origin(dataset, dtype='float16'), dataset, apply)
  assert str(error.value) == (
      'the teacher gives logits that are not within float16, first for row 0;'
      ' set logits.dtype to float32')


def test_the_teacher_is_told_which_fold_an_input_comes_from(tmp_path, dataset):
  folds = np.array([2, 0, 1, 2, 0, 1, 1], np.int32)
  dataset = dataclasses.replace(dataset, folds={'train': folds})
  teacher = Teacher()
  logits.write_logits(tmp_path, make_origin(dataset), dataset, teacher)
  assert teacher.folds == [*folds, *[-1] * 6]


def test_the_manifest_says_who_labelled_what(dataset):
  teacher = TEACHER | {'held_out': {'CNN:0': 1}}
  origin = logits.make_origin(dataset, teacher, LAYOUT, part_rows=5)
  assert origin['labelled_by'] == {
      'fold 1': ['CNN:0'], 'others': ['CNN:0', 'CNN:1']}
  assert make_origin(dataset)['labelled_by'] == {
      'others': ['CNN:0', 'CNN:1']}
