"""Puts together what a family trains on, from a data set and logit caches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from shallow_mimic import errors, losses
from shallow_mimic.data import mixtures
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.mixtures import Targets
from shallow_mimic.data.pools import Pool
from shallow_mimic.training import batches, family
from shallow_mimic.training.loss_specs import LossSpec


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
    memory: inputs of more than so many bytes are streamed from disk.

  Raises:
    UserError: a member's loss needs a teacher, and it has none.
  """
  for m in members:
    # Its targets would be zeros.
    if LossSpec.registry.find(m.objective.name).needs_teacher and not m.teacher:
      raise errors.UserError(
          f'{m.model} has no teacher; the loss {m.objective.name!r} needs one')
  known = mixtures.set_sizes(dataset)
  sets = tuple(dict.fromkeys(m.mixture for m in members))
  layout = mixtures.end_utterances(mixtures.make_layout(sets, known), dataset)
  pool, labels = mixtures.gather(dataset, layout, memory)
  rows = [mixtures.layout_rows(text, layout, dataset) for text in sets]
  table = np.zeros((len(rows), max(map(len, rows))), np.int32)
  for place, row in enumerate(rows):
    table[place, :len(row)] = row
  logits = _align(layout, targets, dataset.classes)
  pairs = {(m.teacher, m.mixture) for m in members if m.objective.normalized}
  names = tuple(targets)
  return FamilyData(
      data=batches.Data(
          pool=pool, labels=labels, targets=logits, rows=table,
          sizes=np.array([len(row) for row in rows], np.int32),
      ),
      sets=sets,
      teachers=names,
      normalizers={
          (teacher, text): losses.LogitNormalizer.fit(
              logits[names.index(teacher), rows[sets.index(text)]])
          for teacher, text in sorted(pairs)
      },
      dev=dataset.pool('dev'),
      dev_labels=np.asarray(dataset.dev.y),
      classes=dataset.classes,
  )


def fit_normalizer(member: family.Member, dataset: Dataset,
                   targets: Mapping[str, Targets]) -> losses.LogitNormalizer:
  """The normaliser of one member, as `gather_family_data` fits it, alone."""
  layout = mixtures.make_layout([member.mixture], mixtures.set_sizes(dataset))
  rows = mixtures.layout_rows(member.mixture, layout, dataset)
  theirs = {member.teacher: targets[member.teacher]}
  logits = _align(layout, theirs, dataset.classes)
  return losses.LogitNormalizer.fit(logits[0, rows])


def _align(layout: mixtures.Layout, targets: Mapping[str, Targets],
           classes: int) -> np.ndarray:
  """Logits [T, N, C] in the layout's order; NaN where a teacher said nothing.

  NaN, so that a student that met such a row would show it.
  """
  if not targets:
    return np.zeros((1, layout.rows, classes), np.float32)
  out = np.full((len(targets), layout.rows, classes), np.nan, np.float32)
  for place, (theirs, logits) in enumerate(targets.values()):
    starts, start = {}, 0
    for name, count in theirs.sets:
      starts[name] = (start, count)
      start += count
    start = 0
    for name, count in layout.sets:
      if name in starts:
        first, there = starts[name]
        size = min(count, there)
        out[place, start:start + size] = logits[first:first + size]
      start += count
  return out


def choose_normalizer(member: family.Member,
                      family_data: FamilyData) -> losses.LogitNormalizer:
  """The member's logit normaliser; identity unless it imitates logits."""
  if member.objective.normalized:
    return family_data.normalizers[member.teacher, member.mixture]
  # On the host, where it is no program to compile.
  zeros: Any = np.zeros(family_data.classes, np.float32)
  return losses.LogitNormalizer(zeros, zeros + 1)


def count_inputs(member: family.Member, family_data: FamilyData) -> int:
  """How many inputs the member trains on."""
  return int(family_data.data.sizes[family_data.sets.index(member.mixture)])
