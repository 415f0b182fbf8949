"""Means over seeds: the numbers behind the report's tables and figures.

The score of a net is its accuracy in per cent, or 100 − PER where records hold
the metric `per`; metrics in records are fractions. Members that diverged are
left out of every mean, and counted.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shallow_mimic.evaluation.records import (
  Record,
  choose_metric,
  read_metric,
  record_order,
  score,
)


class Spread(NamedTuple):
  """Mean and sample standard deviation (nan for fewer than 2 values)."""

  mean: float
  sd: float
  count: int  # type: ignore[assignment]


@dataclasses.dataclass(frozen=True)
class Summary:
  """One model at one width: its final records over seeds.

  Attributes:
    model, role, objective, mixture, teacher, width: as in the records.
    parameters: the largest true count of its records.
    dev, test: the score, per cent.
    metric: what the score is made of, 'accuracy' or 'per'.
    members: records that trained to the end, by seed.
    diverged: those that did not.
    main_teacher: of the run that it is a part of, '' if nobody said.
  """

  model: str
  role: str
  objective: str
  mixture: str
  teacher: str
  width: int
  parameters: int
  dev: Spread
  test: Spread
  metric: str
  members: tuple[Record, ...]
  diverged: tuple[Record, ...]
  main_teacher: str = ''

  @property
  def net(self) -> tuple[int, str]:
    """Width and architecture: what has to be equal in a fair comparison."""
    return self.width, ', '.join(self.values('architecture'))

  @property
  def is_main(self) -> bool:
    """Whether the name holds no '/', which marks a control."""
    return '/' not in self.model

  def spread(self, split: str, metric: str) -> Spread:
    """Mean ± sd of any metric, as it stands in the records."""
    return spread(read_metric(r, split, metric) for r in self.members)

  def values(self, field: str) -> list:
    """The distinct values of a record's fact over all seeds, in order."""
    found = {r.fact(field) for r in self.members + self.diverged}
    return sorted(found - {None})


def spread(values: Iterable[float]) -> Spread:
  """Mean ± sd of the finite values."""
  values = [value for value in values if math.isfinite(value)]
  return Spread(
      statistics.fmean(values) if values else math.nan,
      statistics.stdev(values) if len(values) > 1 else math.nan, len(values))


def times(value: Spread, factor: float) -> Spread:
  """A spread in another unit."""
  return Spread(value.mean * factor, value.sd * factor, value.count)


def difference(a: Spread, b: Spread) -> Spread:
  """The difference a − b of independent values: sd √(sd_a² + sd_b²)."""
  return Spread(a.mean - b.mean, math.hypot(a.sd, b.sd), min(a.count, b.count))


def shorten(number: float) -> str:
  """1500 as '1.5k', 2e6 as '2M'."""
  for size, letter in ((1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
    if number >= size:
      return f'{number / size:.3g}{letter}'
  return f'{number:.3g}'


def summarise(records: Sequence[Record], metric: str = '', *,
              main_teacher: str = '') -> list[Summary]:
  """Final records over seeds: teachers, ensembles, then students by width."""
  metric = metric or choose_metric(records)
  groups = defaultdict(list)
  for r in sorted(records, key=record_order):
    if r.phase == 'final':
      key = r.model, r.role, r.objective, r.mixture, r.teacher, r.width
      groups[key].append(r)
  return [_summarise(group, metric, main_teacher) for group in groups.values()]


def find_best(points: Sequence[Summary]) -> Summary:
  """The one with the highest mean score on dev."""
  return max(points, key=lambda s: (s.dev.count > 0, s.dev.mean))


def main_teacher(summaries: Sequence[Summary]) -> str:
  """The ensemble that all else is compared to, as the configuration has it.

  Of records that came without: the teacher of most mimics.
  """
  told = next((s.main_teacher for s in summaries if s.main_teacher), '')
  counts = Counter(s.teacher for s in summaries if s.teacher)
  return told or max(counts, key=lambda t: (counts[t], t), default='')


def _summarise(group: list[Record], metric: str, main_teacher: str) -> Summary:
  first = group[0]
  members = tuple(r for r in group if not _is_lost(r, metric))
  return Summary(
      first.model, first.role, first.objective, first.mixture, first.teacher,
      first.width, parameters=max(r.parameters for r in group),
      dev=spread(score(r, 'dev', metric) for r in members),
      test=spread(score(r, 'test', metric) for r in members),
      metric=metric, members=members,
      diverged=tuple(r for r in group if _is_lost(r, metric)),
      main_teacher=main_teacher)


def _is_lost(record: Record, metric: str) -> bool:
  """Whether it diverged, by its flag or by a score that is not finite."""
  return bool(record.diverged) or not all(
      math.isfinite(read_metric(record, split, metric))
      for split, metrics in record.metrics.items() if metric in metrics)
