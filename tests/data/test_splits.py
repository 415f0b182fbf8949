"""Stratified splits: exact quotas, seeds, and sizes out of range."""

import re

import numpy as np
import pytest

from shallow_mimic import errors
from shallow_mimic.data.splits import assign_folds, split_stratified


def split(labels, size, seed=0):
  return split_stratified(labels, size, seed, wanted_for='dev')


def test_partition_in_ascending_order():
  labels = np.random.default_rng(0).integers(5, size=300)
  rest, chosen = split(labels, 70)
  assert len(chosen) == 70
  assert (np.diff(rest) > 0).all()
  assert (np.diff(chosen) > 0).all()
  assert sorted([*rest, *chosen]) == list(range(300))


@pytest.mark.parametrize(('counts', 'size', 'quotas'), [
    ((50, 30, 20), 10, (5, 3, 2)),
    ((50, 30, 20), 11, (6, 3, 2)),  # 5.5, 3.3, 2.2
    ((50, 30, 20), 13, (6, 4, 3)),  # 6.5, 3.9, 2.6
    ((10, 10, 10), 2, (1, 1, 0)),  # Equal remainders: lower classes first.
    ((97, 2, 1), 50, (49, 1, 0)),  # 48.5, 1, 0.5
    ((3, 3), 5, (3, 2)),
])
def test_quotas(counts, size, quotas):
  labels = np.random.default_rng(1).permutation(
      np.repeat(np.arange(len(counts)), counts))
  _, chosen = split(labels, size)
  np.testing.assert_array_equal(
      np.bincount(labels[chosen], minlength=len(counts)), quotas)


def test_seed_decides():
  labels = np.arange(200) % 4
  first, again, other = (split(labels, 40, seed)[1] for seed in (3, 3, 4))
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()


@pytest.mark.parametrize('size', [-1, 0, 20, 21])
def test_refuses_size(size):
  message = (f'dev: cannot choose {size} of 20 training examples; give a'
             ' number from 1 to 19')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    split(np.arange(20) % 4, size)


@pytest.mark.parametrize('count', [2, 3, 7])
def test_folds_are_even_overall_and_in_every_class(count):
  labels = np.random.default_rng(0).permutation(
      np.repeat([0, 1, 2], (50, 9, 3)))
  folds = assign_folds(labels, count, 4)
  assert folds.dtype == np.int32
  sizes = np.bincount(folds, minlength=count)
  assert sizes.max() - sizes.min() <= 1
  for label in range(3):
    sizes = np.bincount(folds[labels == label], minlength=count)
    assert sizes.max() - sizes.min() <= 1
  np.testing.assert_array_equal(folds, assign_folds(labels, count, 4))
  assert (folds != assign_folds(labels, count, 5)).any()


@pytest.mark.parametrize('count', [-1, 1, 5])
def test_folds_that_cannot_be(count):
  with pytest.raises(errors.UserError) as error:
    assign_folds(np.zeros(4, int), count, 0)
  assert str(error.value) == (
      f'folds: cannot cut 4 training examples into {count}; give a number from'
      ' 2 to 4')
