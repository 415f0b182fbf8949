"""Tests of the logit cache: whose it is, is it whole, does it resume, grow."""

import copy
import dataclasses
import json
import mmap

import numpy as np
import pytest

from shallow_mimic import errors, logits
from shallow_mimic.data.dataset import Dataset, Examples
from shallow_mimic.runs import files

TEACHER = {'space': 'logits', 'teachers': {'CNN:0': 'aa', 'CNN:1': 'bb'}}
ROWS = 13


def make_examples(rng, count):
  return Examples(rng.normal(size=(count, 2, 3)).astype(np.float32),
                  np.zeros(count, np.int32))


@pytest.fixture(name='dataset')
def make_dataset():
  rng = np.random.default_rng(0)
  part = make_examples(rng, 7)
  return Dataset(
      name='made', classes=4, train=part, dev=part, test=part,
      transfer={'more': make_examples(rng, 20)},
      preprocessing={'steps': ['standardise']}, digests={'train': 'f0'},
      fitted=None)


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
    # Row by row: the same bits in parts of any size.
    return np.stack([row.reshape(6) @ self.matrix for row in x])


def make_origin(**changes):
  return logits.make_origin(
      TEACHER, {'inputs': 'f0'},
      **{'set_name': 'more', 'classes': 4, **changes})


def write(directory, dataset, apply=None, rows=ROWS, part_rows=5, **changes):
  return logits.write_logits(
      directory, make_origin(**changes), rows, dataset, apply or Teacher(),
      part_rows=part_rows)


def read(directory, rows=ROWS, **changes):
  return logits.read_logits(directory, make_origin(**changes), rows).join()


def expected_logits(dataset, rows=ROWS):
  return Teacher()(dataset.transfer['more'].x[:rows], ())


def write_interrupted(directory, dataset, fail_at):
  with pytest.raises(KeyboardInterrupt):
    write(directory, dataset, Teacher(fail_at))


def read_files(directory):
  return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize('part_rows', [1, 5, 7, 13, 100])
def test_reads_what_the_teacher_said_row_for_row(tmp_path, dataset, part_rows):
  digests = write(tmp_path, dataset, part_rows=part_rows)
  expected = expected_logits(dataset)
  np.testing.assert_array_equal(read(tmp_path), expected)
  np.testing.assert_array_equal(read(tmp_path, rows=6), expected[:6])
  assert {*digests, logits.MANIFEST} == {
      path.name for path in tmp_path.iterdir()}
  assert digests['part-00000.npy'] == files.digest_array(expected[:part_rows])


def test_train_is_a_set_like_any_other(tmp_path, dataset):
  write(tmp_path, dataset, rows=7, set_name='train')
  np.testing.assert_array_equal(
      read(tmp_path, rows=7, set_name='train'),
      Teacher()(dataset.train.x, ()))


def test_many_inputs_are_labelled_some_at_a_time(tmp_path, monkeypatch,
                                                 dataset):
  monkeypatch.setattr(logits, '_BLOCK_ROWS', 2)
  monkeypatch.setattr(logits, '_BLOCK_BYTES', 2 * 2 * 6 * 4)
  teacher = Teacher()
  write(tmp_path / 'cut', dataset, teacher)
  assert teacher.rows == [4, 1, 4, 1, 3]
  monkeypatch.undo()
  write(tmp_path / 'whole', dataset)
  assert read_files(tmp_path / 'cut') == read_files(tmp_path / 'whole')


def test_parts_stay_on_disk_until_they_are_asked_for(tmp_path, dataset):
  write(tmp_path, dataset)
  found = logits.read_logits(tmp_path, make_origin(), 8)
  assert found.shape == (8, 4)
  assert [len(part) for part in found.parts] == [5, 3]
  for part in found.parts:
    while isinstance(part, np.ndarray):
      part = part.base  # noqa: PLW2901
    assert isinstance(part, mmap.mmap)


def test_float16_halves_the_cache(tmp_path, dataset):
  write(tmp_path, dataset, dtype='float16')
  found = read(tmp_path, dtype='float16')
  assert found.dtype == np.float16
  whole = expected_logits(dataset)
  assert 0 < np.abs(found - whole).max()
  np.testing.assert_allclose(found, whole, rtol=2 ** -10, atol=1e-4)


def test_unknown_dtype():
  with pytest.raises(errors.UserError) as error:
    make_origin(dtype='float8')
  assert str(error.value) == (
      "logits.dtype 'float8' is unknown; known: float32, float16")


def change_teacher(origin):
  origin['teacher']['teachers']['CNN:1'] = 'cc'


def change_space(origin):
  origin['teacher']['space'] = 'probabilities'


def change_data(origin):
  origin['data'] = {'inputs': 'f1'}


def change_set(origin):
  origin['set'] = 'train'


def change_dtype(origin):
  origin['dtype'] = 'float16'


@pytest.mark.parametrize('change, named', [
    (change_teacher, 'teacher'), (change_space, 'teacher'),
    (change_data, 'data'), (change_set, 'set'), (change_dtype, 'dtype'),
])
@pytest.mark.parametrize('interrupted', [False, True])
def test_another_origin_is_refused(tmp_path, dataset, change, named,
                                   interrupted):
  if interrupted:
    write_interrupted(tmp_path, dataset, 3)
  else:
    write(tmp_path, dataset)
  before, other = read_files(tmp_path), copy.deepcopy(make_origin())
  change(other)
  message = (f'the logit cache {tmp_path} is of another {named}; its targets'
             ' are wrong here: delete it to make it anew')
  with pytest.raises(errors.UserError) as error:
    logits.read_logits(tmp_path, other, ROWS)
  assert str(error.value) == message
  with pytest.raises(errors.UserError) as error:
    logits.write_logits(tmp_path, other, ROWS, dataset, Teacher(), part_rows=5)
  assert str(error.value) == message
  assert read_files(tmp_path) == before


@pytest.mark.parametrize('part', [0, 1, 2])
def test_a_flipped_bit_is_named(tmp_path, dataset, part):
  write(tmp_path, dataset)
  path = tmp_path / f'part-{part:05d}.npy'
  data = bytearray(path.read_bytes())
  data[-5] ^= 1
  path.write_bytes(data)
  with pytest.raises(errors.UserError) as error:
    read(tmp_path)
  assert str(error.value) == (
      f'{path} is damaged: its SHA-256 is not the one it was written with;'
      f' delete {tmp_path} and run again to make it anew')


def test_exchanged_and_missing_parts_are_named(tmp_path, dataset):
  write(tmp_path, dataset)
  first, second = (tmp_path / f'part-0000{i}.npy' for i in (0, 1))
  ours, theirs = first.read_bytes(), second.read_bytes()
  first.write_bytes(theirs)
  second.write_bytes(ours)
  with pytest.raises(errors.UserError, match=f'^{first} is damaged'):
    read(tmp_path)
  first.write_bytes(ours)
  second.unlink()
  with pytest.raises(errors.UserError, match=f'^cannot read {second}: '):
    read(tmp_path)


def leave_out(tree):
  del tree['rows']


def make_text(tree):
  tree['rows'] = '13'


def make_zero(tree):
  tree['part_rows'] = 0


def make_more(tree):
  tree['extra'] = 1


def make_fewer(tree):
  tree['parts'].pop()


def make_numbers(tree):
  tree['parts'] = [1, 2, 3]


def make_list(tree):
  tree['origin'] = ['more']


@pytest.mark.parametrize('change', [
    leave_out, make_text, make_zero, make_more, make_fewer, make_numbers,
    make_list])
@pytest.mark.parametrize('sealed', [False, True])
def test_a_manifest_of_another_shape_is_one_line(tmp_path, dataset, change,
                                                 sealed):
  write(tmp_path, dataset)
  path = tmp_path / logits.MANIFEST
  tree = json.loads(path.read_text(encoding='utf-8'))
  change(tree)
  if sealed:
    del tree['sha256']
    files.write_sealed(path, tree)
  else:
    files.write_json(path, tree)
  for use in (read, write):
    with pytest.raises(errors.UserError) as error:
      use(tmp_path, *[dataset] * (use is write))
    assert str(error.value).startswith(f'{path} is damaged')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('text', ['', '[]', '{}', '3', 'null', '{"sha256": 1}'])
def test_what_is_no_manifest_is_one_line(tmp_path, dataset, text):
  write(tmp_path, dataset)
  path = tmp_path / logits.MANIFEST
  path.write_text(text, encoding='utf-8')
  with pytest.raises(errors.UserError, match=f'{path}'):
    read(tmp_path)


@pytest.mark.parametrize('fail_at, left', [
    (1, [5, 5, 3]), (2, [5, 3]), (3, [3]),
])
def test_an_interrupted_write_computes_only_what_is_missing(
    tmp_path, dataset, fail_at, left):
  write(tmp_path / 'whole', dataset)
  write_interrupted(tmp_path / 'cut', dataset, fail_at)
  teacher = Teacher()
  write(tmp_path / 'cut', dataset, teacher)
  assert teacher.rows == left
  assert read_files(tmp_path / 'whole') == read_files(tmp_path / 'cut')


@pytest.mark.parametrize('finished', [False, True])
@pytest.mark.parametrize('cut', [False, True])
def test_a_damaged_part_is_computed_again(tmp_path, dataset, cut, finished):
  if finished:
    write(tmp_path, dataset)
  else:
    write_interrupted(tmp_path, dataset, 3)
  path = tmp_path / 'part-00001.npy'
  if cut:
    path.write_bytes(path.read_bytes()[:7])
  else:
    np.save(path, np.load(path) + 1)
  teacher = Teacher()
  write(tmp_path, dataset, teacher)
  assert teacher.rows == [5, 3]
  np.testing.assert_array_equal(read(tmp_path), expected_logits(dataset))


def test_a_part_that_the_manifest_does_not_know_is_not_trusted(
    tmp_path, dataset):
  """Killed between a part and the manifest."""
  write_interrupted(tmp_path, dataset, 2)
  np.save(tmp_path / 'part-00001.npy', np.zeros((5, 4), np.float32))
  teacher = Teacher()
  write(tmp_path, dataset, teacher)
  assert teacher.rows == [5, 3]
  np.testing.assert_array_equal(read(tmp_path), expected_logits(dataset))
  # The next run may have wanted fewer.
  np.save(tmp_path / 'part-00003.npy', np.zeros((5, 4), np.float32))
  assert len(write(tmp_path, dataset)) == 3
  assert not (tmp_path / 'part-00003.npy').exists()


def test_an_unfinished_cache_is_not_read(tmp_path, dataset):
  write_interrupted(tmp_path, dataset, 3)
  with pytest.raises(errors.UserError) as error:
    read(tmp_path)
  assert str(error.value) == (
      f'{tmp_path} is not finished: it has 10 of 13 rows; run the stage'
      ' `logits` to go on with it')
  np.testing.assert_array_equal(
      read(tmp_path, rows=10), expected_logits(dataset, 10))


@pytest.mark.parametrize('before, left', [
    (10, [5, 4]), (12, [5, 4]), (3, [5, 5, 5, 4]), (19, []), (20, [])])
def test_a_cache_grows_by_what_is_missing(tmp_path, dataset, before, left):
  """Whole leading parts are kept; it ends as if it were written at once."""
  write(tmp_path / 'grown', dataset, rows=before)
  teacher = Teacher()
  write(tmp_path / 'grown', dataset, teacher, rows=19)
  assert teacher.rows == left
  np.testing.assert_array_equal(
      read(tmp_path / 'grown', rows=19), expected_logits(dataset, 19))
  # What is there is not taken away.
  write(tmp_path / 'whole', dataset, rows=max(before, 19))
  assert read_files(tmp_path / 'grown') == read_files(tmp_path / 'whole')


def test_what_is_mended_is_as_large_as_it_was(tmp_path, dataset):
  """Also for a run that wants less of it."""
  write(tmp_path, dataset, rows=19)
  before = read_files(tmp_path)
  (tmp_path / 'part-00001.npy').unlink()
  write(tmp_path, dataset, rows=7)
  assert read_files(tmp_path) == before


@pytest.mark.parametrize('fail_at', [1, 2])
def test_killed_while_growing_ends_as_if_it_were_written_at_once(
    tmp_path, dataset, fail_at):
  write(tmp_path / 'grown', dataset, rows=12)
  with pytest.raises(KeyboardInterrupt):
    write(tmp_path / 'grown', dataset, Teacher(fail_at), rows=19)
  # The short part that was there may be written over by now: it is not read.
  with pytest.raises(errors.UserError, match=r'is not finished: it has 1[05] '):
    read(tmp_path / 'grown', rows=16)
  write(tmp_path / 'grown', dataset, rows=19)
  write(tmp_path / 'whole', dataset, rows=19)
  assert read_files(tmp_path / 'grown') == read_files(tmp_path / 'whole')


@pytest.mark.parametrize('part_rows', [2, 5, 100])
def test_a_cache_in_parts_of_another_size_is_as_good(tmp_path, dataset,
                                                     part_rows):
  write(tmp_path, dataset)
  before, teacher = read_files(tmp_path), Teacher()
  write(tmp_path, dataset, teacher, part_rows=part_rows)
  assert teacher.rows == [] and read_files(tmp_path) == before
  # It goes on in parts of its own size.
  write(tmp_path, dataset, teacher, rows=18, part_rows=part_rows)
  assert teacher.rows == [5, 3]
  np.testing.assert_array_equal(
      read(tmp_path, rows=18), expected_logits(dataset, 18))


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused(tmp_path, dataset, bad):
  def apply(x, folds):
    block = Teacher()(x, folds)
    # Row 2 of the second part.
    block[2, 1] = bad if np.array_equal(
        x[0], dataset.transfer['more'].x[5]) else 0
    return block

  with pytest.raises(errors.UserError) as error:
    write(tmp_path, dataset, apply)
  assert str(error.value) == (
      'the teacher gives logits that are not finite, first for row 7; lower'
      ' its learning rate')
  assert not (tmp_path / 'part-00001.npy').exists()
  assert len(read(tmp_path, rows=5)) == 5


def test_logits_beyond_float16_are_refused(tmp_path, dataset):
  def apply(x, folds):
    return np.full((len(x), 4), 1e5, np.float32)

  with pytest.raises(errors.UserError) as error:
    write(tmp_path, dataset, apply, dtype='float16')
  assert str(error.value) == (
      'the teacher gives logits that are not within float16, first for row 0;'
      ' set logits.dtype to float32')


def test_the_teacher_is_told_which_fold_an_input_comes_from(tmp_path, dataset):
  folds = np.array([2, 0, 1, 2, 0, 1, 1], np.int32)
  dataset = dataclasses.replace(dataset, folds={'train': folds})
  teacher = Teacher()
  write(tmp_path / 'train', dataset, teacher, rows=7, set_name='train')
  write(tmp_path / 'more', dataset, teacher)
  assert teacher.folds == [*folds, *[-1] * 13]


def test_the_manifest_says_who_labelled_what():
  teacher = TEACHER | {'held_out': {'CNN:0': 1}}
  origin = logits.make_origin(teacher, 'f0', set_name='train', classes=4)
  assert origin['labelled_by'] == {
      'fold 1': ['CNN:0'], 'others': ['CNN:0', 'CNN:1']}
  assert make_origin()['labelled_by'] == {'others': ['CNN:0', 'CNN:1']}
