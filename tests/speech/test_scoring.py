"""Errors against a plain dynamic program and a worked example."""

import doctest

import numpy as np
import pytest

from shallow_mimic.speech import phones as phone_set
from shallow_mimic.speech import scoring

SCORED, FORGIVEN = scoring.CONVENTIONS


def _ids(text):
  return [phone_set.PHONES.index(name) for name in text.split()]


def _distance(a, b):
  """Fewest edits from a to b: the whole table, cell by cell."""
  table = np.zeros((len(a) + 1, len(b) + 1), int)
  table[:, 0], table[0] = range(len(a) + 1), range(len(b) + 1)
  for i, x in enumerate(a):
    for j, y in enumerate(b):
      table[i + 1, j + 1] = min(
          table[i, j] + (x != y), table[i, j + 1] + 1, table[i + 1, j] + 1)
  return table[-1, -1]


def _classes(sequence, convention):
  names = [phone_set.CLASSES[c] for c in
           (phone_set.CLASS_OF_PHONE[p] for p in sequence) if c >= 0]
  return [n for n in names if convention == SCORED or n != 'sil']


def _random_pairs(count=60, seed=0):
  rng = np.random.default_rng(seed)
  # Few phones, so that many fold together; with `q`, silences and both ends.
  some = _ids('h# q aa ao pau ix ih zh')

  def draw():
    return rng.choice(some, rng.integers(0, 15)).tolist()

  return [draw() for _ in range(count)], [draw() for _ in range(count)]


@pytest.mark.parametrize('convention', scoring.CONVENTIONS)
def test_totals_are_those_of_the_plain_program(convention):
  references, hypotheses = _random_pairs()
  errors = scoring.count_each(references, hypotheses, convention)
  for u, (reference, hypothesis) in enumerate(
      zip(references, hypotheses, strict=True)):
    a, b = (_classes(x, convention) for x in (reference, hypothesis))
    one = scoring.count_errors(reference, hypothesis, convention)
    assert one == tuple(part[u] for part in errors)
    assert one.total == errors.total[u] == _distance(a, b)
    assert one.phones == len(a)
    # Any alignment of the two holds this.
    assert len(b) == one.phones - one.deletions + one.insertions
  assert errors.rate == errors.total.sum() / errors.phones.sum()


@pytest.mark.parametrize('convention', scoring.CONVENTIONS)
def test_confusions_are_a_valid_alignment(convention):
  references, hypotheses = _random_pairs(seed=1)
  table = scoring.tabulate_confusions(references, hypotheses, convention)
  errors = scoring.count_each(references, hypotheses, convention)
  assert table.shape == (40, 40)
  inner = table[:39, :39]
  assert inner.sum() - np.trace(inner) == errors.substitutions.sum()
  assert table[:, 39].sum() == errors.deletions.sum()
  assert table[39].sum() == errors.insertions.sum()
  for axis, sequences in ((1, references), (0, hypotheses)):
    folded = [n for s in sequences for n in _classes(s, convention)]
    want = [folded.count(name) for name in phone_set.CLASSES]
    np.testing.assert_array_equal(table.sum(axis)[:39], want)


# h# and pau fold to sil, ao to aa, ix to ih; q goes.
EXAMPLE = 'h# dh ix q kcl k ao tcl h#', 'pau dh ih k aa pau s h#'


def test_worked_example():
  reference, hypothesis = map(_ids, EXAMPLE)
  # sil dh ih sil k aa sil ·  sil
  # sil dh ih  ·  k aa sil s  sil: kcl deleted, s inserted.
  assert scoring.count_errors(reference, hypothesis, SCORED) == (0, 1, 1, 8)
  # dh ih k aa · / dh ih k aa s: s inserted.
  assert scoring.count_errors(reference, hypothesis, FORGIVEN) == (0, 0, 1, 4)
  table = scoring.tabulate_confusions([reference], [hypothesis])
  name = phone_set.CLASSES.index
  assert table[name('sil'), 39] == 1
  assert table[39, name('s')] == 1
  assert table[name('sil'), name('sil')] == 3
  assert np.trace(table) == 7


@pytest.mark.parametrize(('reference', 'hypothesis', 'scored', 'forgiven'), [
    ('h# aa h#', 'aa', (0, 2, 0, 3), (0, 0, 0, 1)),
    ('aa', 'h# aa pau', (0, 0, 2, 1), (0, 0, 0, 1)),
    ('aa h#', 'aa s', (1, 0, 0, 2), (0, 0, 1, 1)),
    # A hypothesis of silence alone is not let off.
    ('aa s', 'h# h#', (2, 0, 0, 2), (0, 2, 0, 2)),
    # Neighbours that fold to one class are not merged.
    ('pcl pau', 'h#', (0, 1, 0, 2), (0, 0, 0, 0)),
    ('aa ao', 'aa', (0, 1, 0, 2), (0, 1, 0, 2)),
    ('q', '', (0, 0, 0, 0), (0, 0, 0, 0)),
    ('aa', 'q aa q', (0, 0, 0, 1), (0, 0, 0, 1)),
    ('', 'zh', (0, 0, 1, 0), (0, 0, 1, 0))])
def test_conventions(reference, hypothesis, scored, forgiven):
  pair = _ids(reference), _ids(hypothesis)
  assert scoring.count_errors(*pair) == scored
  assert scoring.count_errors(*pair, SCORED) == scored
  assert scoring.count_errors(*pair, FORGIVEN) == forgiven


def test_rate_is_over_the_sum_and_not_a_mean_of_rates():
  one, two = scoring.Errors(1, 0, 0, 1), scoring.Errors(0, 1, 1, 9)
  assert (one + two).rate == 0.3
  assert tuple(one + two) == (1, 1, 1, 10)
  assert np.isnan(scoring.Errors(0, 0, 1, 0).rate)


def test_no_utterances():
  errors = scoring.count_each([], [])
  assert [part.shape for part in errors] == [(0,)] * 4


def test_faults():
  for count in (scoring.count_each, scoring.tabulate_confusions):
    with pytest.raises(ValueError, match=r'^1 hypotheses for 2 references$'):
      count([[0], [1]], [[0]])
  with pytest.raises(
      ValueError, match=r"^convention must be one of \('silence scored',"
      r" 'silence forgiven'\), got 'kaldi'$"):
    scoring.count_errors([0], [0], 'kaldi')


# The bootstrap --------------------------------------------------------------


def _bootstrap(a, b, n, **how):
  return scoring.paired_bootstrap(a, b, n, **{'seed': 0, 'draws': 2000, **how})


def test_equal_systems_do_not_differ():
  rng = np.random.default_rng(0)
  errors, n = rng.integers(0, 10, 50), rng.integers(20, 60, 50)
  assert _bootstrap(errors, errors, n) == (0, 0, 0, 1)


def test_a_system_that_is_worse_everywhere_differs():
  rng = np.random.default_rng(0)
  errors, n = rng.integers(0, 10, 50), rng.integers(20, 60, 50)
  found = _bootstrap(errors + 3, errors, n)
  assert found.difference == 150 / n.sum()
  assert 0 < found.low < found.difference < found.high
  assert found.p == 2 / 2001
  swapped = _bootstrap(errors, errors + 3, n)
  np.testing.assert_allclose(
      swapped[:3], [-found.difference, -found.high, -found.low])
  assert swapped.p == found.p


def test_interval_is_that_of_the_normal_approximation():
  rng = np.random.default_rng(1)
  a, b = rng.poisson(8, 400), rng.poisson(8, 400)
  found = _bootstrap(a, b, np.full(400, 40), draws=4000)
  half = 1.96 * np.std(a - b) / np.sqrt(400) / 40
  np.testing.assert_allclose(found.high - found.low, 2 * half, rtol=0.08)
  np.testing.assert_allclose((found.high + found.low) / 2, found.difference,
                             atol=0.1 * half)


def test_systems_of_one_quality_are_rarely_told_apart():
  rng = np.random.default_rng(2)
  values = [_bootstrap(rng.poisson(8, 60), rng.poisson(8, 60), np.full(60, 40),
                       draws=300).p for _ in range(150)]
  assert 0.0 < np.mean(np.array(values) < 0.1) < 0.2


def test_a_seed_gives_its_draws_again():
  rng = np.random.default_rng(0)
  a, b, n = rng.integers(0, 10, (3, 30)) + np.array([[0], [0], [20]])
  assert _bootstrap(a, b, n) == _bootstrap(a, b, n)
  assert _bootstrap(a, b, n) != _bootstrap(a, b, n, seed=1)


@pytest.mark.parametrize(('a', 'b', 'n'), [
    ([1], [1, 2], [3, 4]), ([1, 2], [1, 2], [3]), ([1], [1], [0]),
    ([[1]], [[1]], [[2]])])
def test_counts_that_do_not_fit(a, b, n):
  with pytest.raises(
      ValueError,
      match=r'^errors_a, errors_b and phones must be .U. with phones, got '):
    scoring.paired_bootstrap(a, b, n, seed=0)


def test_docstring_examples():
  result = doctest.testmod(scoring)
  assert result.attempted >= 1
  assert result.failed == 0
