"""Trained students judged on dev, on test, and on a part of train.

Each is compared to its teacher, and to an independent one if there is any
(Stanton et al. 2021, arXiv 2106.05945): a student may agree with its teacher
because it learned from it, or because both are right.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shallow_mimic import losses, models
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.mixtures import Targets
from shallow_mimic.data.pools import Beside
from shallow_mimic.evaluation import metrics, nets
from shallow_mimic.training import family

# Enough for a share to ± half a point; all of CIFAR-10 would cost minutes.
TRAIN_ROWS = 10_000


class Bench(NamedTuple):
  """What students are judged on.

  Attributes:
    splits: by name, each with the logits of all teachers.
    teachers: names of the leading axis of those logits; students of labels
      are compared to the first.
    unknown: teachers whose logits on train nobody kept.
    independent: by the name of a student's teacher ('' for labels), a teacher
      that has nothing in common with it.
  """

  splits: dict[str, nets.Split]
  teachers: tuple[str, ...]
  unknown: frozenset[str]
  independent: Mapping[str, str]


def make_bench(
    dataset: Dataset, targets: Mapping[str, Targets],
    teacher_logits: Mapping[str, Mapping[str, np.ndarray]],
    independent: Mapping[str, str], seed: int,
) -> Bench:
  """Puts the splits together.

  Args:
    dataset: inputs and labels.
    targets: cached logits by the teacher's name, for train.
    teacher_logits: logits [N, C] by split ('dev', 'test') and teacher; the
      first is the one that students of labels are compared to.
    independent: see `Bench`.
    seed: which rows of train, where they are more than `TRAIN_ROWS`.
  """
  names = tuple(teacher_logits['dev'])
  splits = {
      split: nets.Split(
          dataset.pool(split), np.asarray(dataset.splits[split].y),
          Beside([theirs[name] for name in names]))
      for split, theirs in teacher_logits.items()}
  count = len(dataset.train.y)
  cached = {name: targets.get(name, {}).get('train') for name in names}
  known = {name: theirs for name, theirs in cached.items()
           if theirs is not None and len(theirs) == count}
  nothing = np.broadcast_to(np.float32(np.nan), (count, dataset.classes))
  splits['train'] = nets.Split(
      dataset.pool('train'), np.asarray(dataset.train.y),
      Beside([known.get(name, nothing) for name in names]),
      choose_rows(count, seed))
  return Bench(splits, names, frozenset(names) - known.keys(), independent)


def choose_rows(count: int, seed: int) -> np.ndarray:
  """Which training rows are judged: all, or `TRAIN_ROWS` by the seed."""
  if count <= TRAIN_ROWS:
    return np.arange(count)
  rng = np.random.default_rng(seed)
  return np.sort(rng.choice(count, TRAIN_ROWS, replace=False))


def judge(
    net: models.Net, params: Any, members: Sequence[family.Member],
    normalizers: Sequence[losses.LogitNormalizer], bench: Bench,
) -> tuple[list[dict[str, dict[str, float]]], list[metrics.CalibrationBins]]:
  """Metrics by split of each member of one shape, and bins on test.

  Args:
    net: the shape.
    params: theirs, [S, …].
    members: S of them.
    normalizers: of the logits of each.
    bench: what they are judged on.
  """
  known = tuple(dict.fromkeys(m.objective for m in members))

  def place(name):
    return bench.teachers.index(name) if name else 0

  judged = nets.Judged(
      params, jax.tree.map(lambda *leaves: jnp.stack(leaves), *normalizers),
      jnp.array([known.index(m.objective) for m in members]),
      jnp.array([place(m.teacher) for m in members]),
      jnp.array([place(bench.independent.get(m.teacher, ''))
                 for m in members]) if bench.independent else None)
  sums = {split: nets.measure(net, known, judged, examples)
          for split, examples in bench.splits.items()}
  values = {split: nets.read_values(each) for split, each in sums.items()}
  bins = jax.device_get(sums['test']['ece'])
  return (
      [{split: {metric: float(column[i]) for metric, column in table.items()
                if _is_known(metric, split, member, bench)}
        for split, table in values.items()}
       for i, member in enumerate(members)],
      [jax.tree.map(operator.itemgetter(i), bins)
       for i in range(len(members))])


def _is_known(metric, split, member, bench):
  """Whether the logits that a metric compares to are there and are fair."""
  if metric.endswith('_independent'):
    other = bench.independent.get(member.teacher)
    return other is not None and (split, other) not in [
        ('train', name) for name in bench.unknown]
  teacher = member.teacher or bench.teachers[0]
  needs_teacher = ('agreement', 'kl') + ('loss',) * bool(member.teacher)
  return not (split == 'train' and teacher in bench.unknown
              and metric in needs_teacher)
