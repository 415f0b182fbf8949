"""Puts together what a family trains on, from a data set and logit caches."""

from __future__ import annotations

import gc
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from shallow_mimic import errors, losses
from shallow_mimic.data import mixtures
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.mixtures import Targets
from shallow_mimic.data.pools import (
  Beside,
  Pool,
  Stacked,
  as_stacked,
  join_pools,
)
from shallow_mimic.training import batches, family
from shallow_mimic.training.loss_specs import LossSpec

# Logits of more bytes are normalised some rows at a time.
_WHOLE_BYTES = 1 << 25
_ROWS = 4096


class FamilyData(NamedTuple):
  """What the members train on and are chosen by.

  Attributes:
    data: see `training.Data`.
    sets: names of the rows of `data.rows`, in order.
    teachers: names of the leading axis of `data.targets`.
    normalizers: logit normaliser by (teacher, set).
    dev: dev inputs; dev_labels: their labels.
    classes: number of classes, C.
  """

  data: batches.Data
  sets: tuple[str, ...]
  teachers: tuple[str, ...]
  normalizers: dict[tuple[str, str], losses.LogitNormalizer]
  dev: Pool
  dev_labels: np.ndarray
  classes: int


def gather_family_data(members: Sequence[family.Member], dataset: Dataset,
                  targets: Mapping[str, Targets],
                  memory: float = math.inf) -> FamilyData:
  """The rows that any member uses, once, with every teacher's logits.

  Args:
    members: the family.
    dataset: inputs and labels.
    targets: cached logits by the teacher's name.
    memory: inputs and targets of more than so many bytes are streamed from
      disk.

  Raises:
    UserError: a member's loss needs a teacher, and it has none.
  """
  for m in members:
    # Its targets would be zeros.
    if LossSpec.registry.find(m.objective.name).needs_teacher and not m.teacher:
      raise errors.UserError(
          f'{m.model} has no teacher; the loss {m.objective.name!r} needs one')
  # JAX lets go of the arrays of a family before this one when it is reminded.
  gc.collect()
  known = mixtures.set_sizes(dataset)
  sets = tuple(dict.fromkeys(m.mixture for m in members))
  layout = mixtures.end_utterances(mixtures.make_layout(sets, known), dataset)
  used = {m.teacher for m in members}
  targets = {name: theirs for name, theirs in targets.items() if name in used}
  aligned = _align(layout, targets)
  room = memory - (aligned.nbytes if aligned else 0)
  pool, labels = mixtures.gather(dataset, layout, room)
  rows = [mixtures.layout_rows(text, layout, dataset) for text in sets]
  table = np.zeros((len(rows), max(map(len, rows))), np.int32)
  for place, row in enumerate(rows):
    table[place, :len(row)] = row
  pairs = {(m.teacher, m.mixture) for m in members if m.objective.normalized}
  names = tuple(targets)
  return FamilyData(
      data=batches.Data(
          pool=pool, labels=labels, rows=table,
          targets=_place(aligned, pool.streamed, dataset.classes),
          sizes=np.array([len(row) for row in rows], np.int32),
      ),
      sets=sets,
      teachers=names,
      normalizers={
          (teacher, text): _fit(_line_up(layout, targets[teacher]),
                                rows[sets.index(text)])
          for teacher, text in sorted(pairs)
      },
      dev=join_pools([dataset.pool('dev')], [len(dataset.dev.y)]),
      dev_labels=np.asarray(dataset.dev.y),
      classes=dataset.classes,
  )


def fit_normalizer(member: family.Member, dataset: Dataset,
                   targets: Mapping[str, Targets]) -> losses.LogitNormalizer:
  """The normaliser of one member, as `gather_family_data` fits it, alone."""
  layout = mixtures.make_layout([member.mixture], mixtures.set_sizes(dataset))
  rows = mixtures.layout_rows(member.mixture, layout, dataset)
  return _fit(_line_up(layout, targets[member.teacher]), rows)


def _align(layout: mixtures.Layout,
           targets: Mapping[str, Targets]) -> Beside | None:
  """Logits [T, N, C] in the layout's order; None without a teacher."""
  if not targets:
    return None
  return Beside([_line_up(layout, theirs) for theirs in targets.values()])


def _line_up(layout: mixtures.Layout, theirs: Targets) -> Stacked:
  """A teacher's logits [N, C] in the layout's order; nothing is read yet.

  NaN where the teacher said nothing, so that a student that met such a row
  would show it.
  """
  parts: list[np.ndarray] = []
  classes = next(iter(theirs.values())).shape[1]
  # Of the narrowest type, and no memory.
  nothing = np.broadcast_to(np.float16(np.nan), (layout.rows, classes))
  for name, count in layout.sets:
    said = as_stacked(theirs.get(name, nothing[:0])).head(count)
    parts += [*said.parts, nothing[len(said):count]]
  return Stacked([part for part in parts if len(part)])


def _place(aligned: Beside | None, streamed: bool,
           classes: int) -> np.ndarray | Beside:
  """Targets in memory, or left on disk; a row of zeros without a teacher."""
  if aligned is None:
    return np.zeros((1, 1, classes), np.float32)
  return aligned if streamed else aligned.join()


def _fit(logits: Stacked, rows: np.ndarray) -> losses.LogitNormalizer:
  """The normaliser of some rows; of many, some at a time in double precision.

  The same wherever the logits are, and however many are in memory.
  """
  if len(rows) * logits.shape[1] * 4 <= _WHOLE_BYTES:
    return losses.LogitNormalizer.fit(logits[rows])

  def blocks():
    for start in range(0, len(rows), _ROWS):
      yield logits[rows[start:start + _ROWS]].astype(np.float64)

  mean: Any = sum(block.sum(0) for block in blocks()) / len(rows)
  squares: Any = sum(np.square(block - mean).sum(0) for block in blocks())
  std = np.sqrt(squares / len(rows)).astype(np.float32)
  one: Any = np.float32(1)
  return losses.LogitNormalizer(
      mean.astype(np.float32), np.where(std > 0, std, one))


def choose_normalizer(member: family.Member,
                      family_data: FamilyData) -> losses.LogitNormalizer:
  """The member's logit normaliser; identity unless it imitates logits."""
  if member.objective.normalized:
    return family_data.normalizers[member.teacher, member.mixture]
  return no_normalizer(family_data.classes)


def no_normalizer(classes: int) -> losses.LogitNormalizer:
  """The one that changes nothing; C classes."""
  # On the host, where it is no program to compile.
  zeros: Any = np.zeros(classes, np.float32)
  return losses.LogitNormalizer(zeros, zeros + 1)
