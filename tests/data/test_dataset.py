"""The Dataset type: what it refuses, and what its digests cover."""

import itertools
import re

import numpy as np
import pytest

from shallow_mimic import errors
from shallow_mimic.data import dataset
from shallow_mimic.data.dataset import Examples
from shallow_mimic.data.utterances import make_sequences


def part(rows=6, features=4, seed=0, classes=3):
  rng = np.random.default_rng(seed)
  return Examples(rng.normal(size=(rows, features)),
                  np.arange(rows) % classes)


def make(**changes):
  splits = {'train': part(), 'dev': part(seed=1), 'test': part(seed=2)}
  splits |= {'name': 'toy', 'classes': 3} | changes
  return dataset.make_dataset(**splits)


def with_value(examples, row, value):
  x = examples.x.copy()
  x[row, -1] = value
  return Examples(x, examples.y)


def test_types_shapes_and_names():
  made = make(transfer={'new-1': Examples(part().x, np.full(6, -1))})
  assert made.input_shape == (4,)
  assert list(made.splits) == ['train', 'dev', 'test', 'transfer.new-1']
  for examples in made.splits.values():
    assert examples.x.dtype == np.float32
    assert examples.y.dtype == np.int32
  np.testing.assert_array_equal(made.train.x, part().x.astype(np.float32))
  assert made.preprocessing == {'steps': []}


@pytest.mark.parametrize(('changes', 'message'), [
    ({'dev': Examples(np.zeros((0, 4)), np.zeros(0, int))},
     "split 'dev' is empty: x has shape (0, 4)"),
    ({'dev': Examples(np.zeros((2, 0)), np.zeros(2, int))},
     "split 'dev' is empty: x has shape (2, 0)"),
    ({'test': Examples(part().x, part().y[:5])},
     "split 'test': x has 6 rows and y has shape (5,); each row of x needs one"
     ' label'),
    ({'dev': part(features=3)},
     "split 'dev' has inputs of shape (3,), train has (4,); every split needs"
     ' inputs of one shape, of one axis or more'),
    ({'train': Examples(np.zeros(6), part().y)},
     "split 'train' has inputs of shape (), train has (); every split needs"
     ' inputs of one shape, of one axis or more'),
    ({'train': with_value(part(), 3, np.nan)},
     "split 'train': row 3 of x holds a value that is not a finite float32"
     ' number; repair or remove that row'),
    ({'test': with_value(part(), 5, -np.inf)},
     "split 'test': row 5 of x holds a value that is not a finite float32"
     ' number; repair or remove that row'),
    ({'test': with_value(part(), 2, 1e300)},
     "split 'test': row 2 of x holds a value that is not a finite float32"
     ' number; repair or remove that row'),
    ({'train': Examples(part().x, np.array([0, 1, 2, 3, 0, 7]))},
     "split 'train': row 3 has label 3, outside 0..2"),
    ({'dev': Examples(part().x, np.array([0, -1, 2, 3, 0, 7]))},
     "split 'dev': row 1 has label -1, outside 0..2"),
    ({'dev': Examples(part().x, np.array([0, 1, 2, 2**32, 0, 1]))},
     "split 'dev': row 3 has label 4294967296, outside 0..2"),
    ({'transfer': {'t': Examples(part().x, np.full(6, -2))}},
     "split 'transfer.t': row 0 has label -2, outside -1..2"),
    ({'transfer': {'a/b': part()}},
     "transfer set 'a/b': use letters, digits, - and _ in its name"),
    ({'dev': Examples(part().x, part().y * 1.0)},
     "split 'dev': x of type float64 and y of type float64; x must hold real"
     ' numbers and y integers'),
    ({'dev': Examples(part().x.astype(str), part().y)},
     "split 'dev': x of type <U32 and y of type int64; x must hold real"
     ' numbers and y integers'),
])
def test_refuses(changes, message):
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    make(**changes)


def test_finds_a_bad_row_beyond_the_first_chunk():
  big = part(rows=5000)
  with pytest.raises(errors.UserError, match='row 4999 of x'):
    make(train=with_value(big, 4999, np.nan))


def test_fingerprint_is_of_the_content():
  assert make().fingerprint == make().fingerprint
  # Names are for reports; the same data under another name are the same.
  assert make(name='other').fingerprint == make().fingerprint


@pytest.mark.parametrize('changes', [
    {'train': part(seed=9)},
    {'dev': with_value(part(seed=1), 0, 7)},
    {'test': Examples(part(seed=2).x, part().y[::-1])},
    {'dev': part(seed=2), 'test': part(seed=1)},
    {'transfer': {'t': part()}},
    {'classes': 4},
])
def test_fingerprint_changes_with(changes):
  assert make(**changes).fingerprint != make().fingerprint


# Each set by itself ----------------------------------------------------------


SETS = {'a': part(seed=3), 'b': part(rows=9, seed=4), 'c': part(seed=5)}


def speech(**changes):
  """Utterances of all splits; those of train with `changes`."""
  given = {'lengths': [2, 4], 'phones': [np.array([1, 2]), np.array([3])],
           'names': ['f/a', 'f/b']}
  return {'train': make_sequences(**(given | changes)),
          **dict.fromkeys(('dev', 'test'), make_sequences(**given))}


@pytest.mark.parametrize('names', [*itertools.permutations(SETS)])
def test_a_further_set_changes_no_other(names):
  """Whatever sets there are, in whatever order: each has its one digest."""
  alone = {name: make(transfer={name: SETS[name]}).digests for name in SETS}
  made, before = make(), None
  for count in range(len(names) + 1):
    before, made = made, make(
        transfer={name: SETS[name] for name in names[:count]},
        folds={'train': np.arange(6) % 2} if count == 2 else {})
    shared = before.digests.keys() & made.digests.keys()
    assert {'train', 'dev', 'test'} <= shared
    assert all(made.digests[key] == before.digests[key] for key in shared)
  assert all(made.digests[f'transfer.{name}'] == alone[name][f'transfer.{name}']
             for name in names)
  assert len(set(made.digests.values())) == 6


def test_a_digest_is_of_the_content():
  """Equal inputs and labels have equal digests, whatever they are called."""
  made = make(transfer={'a': part(), 'b': part(), 'half': Examples(
      part().x.astype(np.float16), part().y)})
  assert made.digests['transfer.a'] == made.digests['transfer.b'] == (
      made.digests['train'])
  assert made.digests['transfer.half'] != made.digests['train']


@pytest.mark.parametrize(('changes', 'key'), [
    ({'train': part(seed=9)}, 'train'),
    ({'dev': with_value(part(seed=1), 0, 7)}, 'dev'),
    ({'test': Examples(part(seed=2).x, part().y[::-1])}, 'test'),
    ({'transfer': {'a': part(seed=9)}}, 'transfer.a'),
    ({'folds': {'train': np.arange(6) % 3, 'transfer.a': np.arange(6) % 2}},
     'folds.train'),
    ({'folds': {'train': np.arange(6) % 2, 'transfer.a': np.arange(6) % 3}},
     'folds.transfer.a'),
    ({'sequences': speech(lengths=[3, 3])}, 'train'),
    ({'sequences': speech(names=['f/a', 'f/c'])}, 'train'),
    ({'sequences': speech(phones=[np.array([1, 3]), np.array([3])])}, 'train'),
    ({'sequences': speech(phones=[np.array([1]), np.array([2, 3])])}, 'train'),
])
def test_a_change_is_of_one_digest(changes, key):
  base = {'transfer': {'a': SETS['a']}, 'sequences': speech(), 'folds': {
      'train': np.arange(6) % 2, 'transfer.a': np.arange(6) % 2}}
  before, after = make(**base).digests, make(**(base | changes)).digests
  assert before.keys() == after.keys()
  assert [name for name in before if before[name] != after[name]] == [key]


def test_the_neighbours_are_part_of_every_set_of_frames():
  given = {'sequences': speech(), 'transfer': {'a': SETS['a']}}
  before, after = (make(reach=reach, **given).digests for reach in (1, 2))
  assert {key for key in before if before[key] != after[key]} == {
      'train', 'dev', 'test'}
