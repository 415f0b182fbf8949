"""Phone error rate: hypothesis against reference, both folded to 39 classes.

Folding comes before aligning, on both sides; `q` is deleted. Classes that are
equal and adjacent after folding (as of `pcl pau`) stay two, as in NIST's
scoring: nothing is merged. The alignment is one of the fewest
substitutions, deletions and insertions, at a cost of 1 each.

Conventions, by name:
  'silence scored'    primary: silence counts like any phone.
  'silence forgiven'  silence is deleted from both sides before they are
    aligned. So a silence missed, made up or mistaken for another silence costs
    nothing and N counts no silence; but a phone taken for silence is still
    deleted, and a phone put into a silence still inserted. (Forgiving those
    too would give a hypothesis of nothing but silence no errors.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from shallow_mimic.speech import phones as phone_set

# Phones 0 to 60 of one utterance, in order.
Phones = Sequence[int] | np.ndarray
CONVENTIONS = ('silence scored', 'silence forgiven')


@dataclasses.dataclass(frozen=True)
class Errors:
  """Counts, integers or one per utterance [U]; `phones` is N, the reference's.

  >>> print((Errors(1, 0, 1, 5) + Errors(0, 0, 0, 3)).rate)  # 2 of 8
  0.25
  """

  substitutions: int | np.ndarray
  deletions: int | np.ndarray
  insertions: int | np.ndarray
  phones: int | np.ndarray

  def __add__(self, other: Errors) -> Errors:
    """Joins two counts."""
    return Errors(
        self.substitutions + other.substitutions,
        self.deletions + other.deletions, self.insertions + other.insertions,
        self.phones + other.phones)

  @property
  def total(self) -> int | np.ndarray:
    """S + D + I, of the utterance or of each one [U]."""
    return self.substitutions + self.deletions + self.insertions

  @property
  def rate(self) -> float:
    """(S + D + I) / N as a fraction, sums over the set; NaN if N is 0."""
    phones = np.sum(self.phones)
    return float(np.sum(self.total) / phones) if phones else float('nan')


class Difference(NamedTuple):
  """PER of a − PER of b, its 95 % interval, two-sided p of no difference."""

  difference: float
  low: float
  high: float
  p: float


def fold_for(phones: Phones,
         convention: str = CONVENTIONS[0]) -> list[int]:
  """Classes 0 to 38 of phones 0 to 60, without those that do not count."""
  if convention not in CONVENTIONS:
    raise ValueError(
        f'convention must be one of {CONVENTIONS}, got {convention!r}')
  classes = phone_set.fold(np.asarray(phones, int))
  if convention == 'silence forgiven':
    classes = classes[classes != phone_set.SILENCE]
  return classes.tolist()


def count_errors(reference: Phones, hypothesis: Phones,
                 convention: str = CONVENTIONS[0]) -> Errors:
  """Errors of one utterance, from phones 0 to 60 of both sides.

  Raises: ValueError for an unknown convention.
  """
  from rapidfuzz.distance import Levenshtein  # noqa: PLC0415  (an extra)

  reference = fold_for(reference, convention)
  edits = Levenshtein.editops(reference, fold_for(hypothesis, convention))
  tags = [edit.tag for edit in edits]
  return Errors(tags.count('replace'), tags.count('delete'),
                tags.count('insert'), len(reference))


def count_each(references: Sequence[Phones],
               hypotheses: Sequence[Phones],
               convention: str = CONVENTIONS[0]) -> Errors:
  """`count_errors` of each utterance: an `Errors` of arrays [U].

  Raises: ValueError where there are not as many hypotheses as references.
  """
  counts = [count_errors(reference, hypothesis, convention)
            for reference, hypothesis in _pair(references, hypotheses)]
  return Errors(*np.array(counts, int).reshape(-1, 4).T)


def tabulate_confusions(references: Sequence[Phones],
                        hypotheses: Sequence[Phones],
                        convention: str = CONVENTIONS[0]) -> np.ndarray:
  """How often class i was recognised as j: int [40, 40] over all utterances.

  Row 39 holds insertions and column 39 deletions, the diagonal what is right;
  sums off the diagonal are those of `count_each`.
  """
  from rapidfuzz.distance import Levenshtein  # noqa: PLC0415  (an extra)

  nothing = len(phone_set.CLASSES)
  table = np.zeros((nothing + 1, nothing + 1), int)
  for reference, hypothesis in _pair(references, hypotheses):
    source = fold_for(reference, convention)
    target = fold_for(hypothesis, convention)
    for op in Levenshtein.opcodes(source, target):
      rows = (nothing if op.tag == 'insert'
              else source[op.src_start:op.src_end])
      columns = (nothing if op.tag == 'delete'
                 else target[op.dest_start:op.dest_end])
      np.add.at(table, (rows, columns), 1)
  return table


def paired_bootstrap(errors_a: ArrayLike, errors_b: ArrayLike,
                     phones: ArrayLike, *, seed: int,
                     draws: int = 10_000) -> Difference:
  """Is a's PER another than b's? Utterances drawn anew, with replacement.

  p is twice the smaller share of draws in which the difference is not above,
  or not below, 0, at most 1. Utterances of one speaker are alike: pass sums
  per speaker for an interval over speakers.

  Args:
    errors_a: [U] S + D + I of each utterance under a.
    errors_b: [U] under b.
    phones: [U] N of each utterance, above 0 in sum.
    seed: of NumPy's generator.
    draws: how many resampled sets.

  Returns: `Difference`, fractions, p not below 2 / (draws + 1).

  Raises: ValueError where shapes differ or no utterance has a phone.

  Reference: Bisani & Ney 2004, "Bootstrap estimates for confidence intervals
  in ASR performance evaluation".
  """
  gaps, phones = np.subtract(errors_a, errors_b), np.asarray(phones)
  if (np.shape(errors_a) != np.shape(errors_b) or gaps.shape != phones.shape
      or phones.ndim != 1 or not phones.sum()):
    raise ValueError(
        'errors_a, errors_b and phones must be [U] with phones, got'
        f' {np.shape(errors_a)}, {np.shape(errors_b)} and {phones.shape}')
  counts = np.stack([gaps, phones])
  rng = np.random.default_rng(seed)
  sums = np.stack([counts[:, rng.integers(0, len(phones), len(phones))].sum(1)
                   for _ in range(draws)])
  rates = sums[:, 0] / np.maximum(sums[:, 1], 1)
  tail = min(np.sum(rates <= 0), np.sum(rates >= 0)) + 1
  low, high = np.quantile(rates, (0.025, 0.975))
  return Difference(float(gaps.sum() / phones.sum()), float(low), float(high),
                    float(min(1, 2 * tail / (draws + 1))))


def _pair(references, hypotheses):
  if len(references) != len(hypotheses):
    raise ValueError(f'{len(hypotheses)} hypotheses for {len(references)}'
                     ' references')
  return zip(references, hypotheses, strict=True)
