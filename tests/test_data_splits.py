"""Stratified splits: exact quotas, seeds, and sizes out of range."""

import re

import numpy as np
import pytest

from shallow_mimic import errors
from shallow_mimic.data.splits import split_stratified


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
