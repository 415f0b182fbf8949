"""Records: what the report knows of one net, and the files that hold them."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shallow_mimic import errors
from shallow_mimic.runs import files

RECORD = 'record.json'
_ROLES = ('teacher', 'ensemble', 'student')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
  """What the report knows of one net.

  Attributes:
    model: its name; one with '/' marks a control, kept out of figure 1.
    role: 'teacher', 'ensemble' or 'student'.
    objective: the name of its loss; '' for an ensemble, which minimises
      nothing.
    mixture: the sets trained on, as text; '' for an ensemble.
    teacher: the ensemble whose logits it learned from; '' for labels.
    architecture: in words.
    width: non-linear hidden units; 0 for teachers and ensembles.
    seed: of its weights and batches.
    learning_rate: None for an ensemble.
    parameters: the true count, as trained.
    parameters_absorbed: the same with linear bottlenecks multiplied out.
    multiply_adds: for one input.
    hidden_units: non-linear ones.
    sequential_depth: layers that wait for each other.
    phase: 'search' of the learning rate, or 'final'.
    selected: whether dev chose it.
    best_step: the training step with the best accuracy on dev.
    diverged: whether its training left the finite numbers.
    metrics: split → metric → value: fractions, not per cent, and nats; null
      or absent where not known.
    history: equally long lists `step`, `dev_accuracy` and `train_loss`; {}
      for an ensemble.
    inputs_count: how many inputs the sets are; None for an ensemble.
    weight_decay: None for an ensemble.
    constants: those of its loss by name, as `temperature`.
    held_out: the fold that a teacher did not train on; None for none.
    calibration: bins on test: lists `counts`, `confidences`, `corrects`;
      None where they were not kept.
    language_weight: of the decoder that dev chose; None but for speech, as
      the three that follow.
    insertion_penalty: likewise.
    prior_scale: likewise.
    confusions: [reference, hypothesis, count] of phones on test, the most
      frequent first; '' for nothing: ['s', '', 3] are deletions.
    latency_ms_1: milliseconds for one input; None where nothing was timed,
      as in the four that follow.
    latency_ms_1_factored: with its linear bottleneck in two factors.
    latency_ms_256: for a batch of 256.
    latency_ms_256_factored: likewise.
    latency_device: what it was timed on.
  """

  model: str
  role: str
  objective: str
  mixture: str
  teacher: str
  architecture: str
  width: int
  seed: int
  learning_rate: float | None
  parameters: int
  parameters_absorbed: int
  multiply_adds: int
  hidden_units: int
  sequential_depth: int
  phase: str
  selected: bool
  best_step: int
  diverged: bool
  metrics: Mapping[str, Mapping[str, float | None]]
  history: Mapping[str, Sequence[float | None]]
  inputs_count: int | None = None
  weight_decay: float | None = None
  constants: Mapping[str, float] = dataclasses.field(default_factory=dict)
  held_out: int | None = None
  calibration: Mapping[str, Sequence[float]] | None = None
  language_weight: float | None = None
  insertion_penalty: float | None = None
  prior_scale: float | None = None
  confusions: Sequence[Sequence[Any]] | None = None
  latency_ms_1: float | None = None
  latency_ms_1_factored: float | None = None
  latency_ms_256: float | None = None
  latency_ms_256_factored: float | None = None
  latency_device: str | None = None

  @property
  def identity(self) -> dict[str, Any]:
    """What tells it from other nets, and whether it can be used."""
    return {
        'model': self.model, 'role': self.role, 'objective': self.objective,
        'mixture': self.mixture, 'teacher': self.teacher,
        'architecture': self.architecture, 'width': self.width,
        'seed': self.seed, 'diverged': self.diverged}

  def fact(self, name: str) -> Any:
    """A field, or a constant of its loss; None where it has none."""
    return getattr(self, name, self.constants.get(name))

  def to_json(self) -> dict[str, Any]:
    """A JSON tree, without the optional fields that say nothing."""
    tree = {field.name: value for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) is not None
            or field.default is dataclasses.MISSING}
    if not self.constants:
      del tree['constants']
    if self.role == 'teacher':  # Says of each whether a fold was held out.
      tree['held_out'] = self.held_out
    return tree

  @classmethod
  def from_json(cls, tree: Any) -> Record:
    """The record of a JSON tree.

    Raises:
      ValueError: it lacks a field, or has one that no record has.
    """
    if not isinstance(tree, Mapping):
      raise ValueError(f'it is no record but {tree!r}')
    known = {field.name: field for field in dataclasses.fields(cls)}
    missing = [name for name, field in known.items()
               if field.default is field.default_factory is dataclasses.MISSING
               and name not in tree]
    for names, said in ((missing, 'it lacks'),
                        (sorted(tree.keys() - known), 'it has the unknown')):
      if names:
        raise ValueError(f'{said} {", ".join(map(repr, names))}')
    return cls(**tree)


def read_record(folder: os.PathLike | str) -> Record:
  """The record that is kept in a folder.

  Raises:
    UserError: the file is damaged, or holds other fields than records have.
  """
  path = pathlib.Path(folder) / RECORD
  try:
    return Record.from_json(files.read_json(path))
  except (TypeError, ValueError) as error:
    raise errors.UserError(
        f'cannot read {path}: {error}; another version of shallow_mimic wrote'
        f' it: use that one, or delete {path.parent} and run again to make it'
        ' anew') from error


def read_metric(record: Record, split: str, metric: str) -> float:
  """A metric as it stands in the record; nan where it is null or absent."""
  value = record.metrics.get(split, {}).get(metric)
  return math.nan if value is None else float(value)


def score(record: Record, split: str, metric: str) -> float:
  """Per cent right: 100 · accuracy or 100 · (1 − per); nan where unknown."""
  value = read_metric(record, split, metric)
  return 100 * (1 - value if metric == 'per' else value)


def choose_metric(records: Iterable[Record]) -> str:
  """'per' where any record has it (speech), else 'accuracy'."""
  return 'per' if any(
      'per' in metrics for record in records
      for metrics in record.metrics.values()) else 'accuracy'


def record_order(record: Record) -> tuple:
  """Sort key: role, plain models before those with '/', width, rate, seed."""
  role, model = record.role, record.model
  rank = _ROLES.index(role) if role in _ROLES else len(_ROLES)
  return (rank, role, '/' in model, model.casefold(), model,
          record.objective, record.mixture, record.teacher,
          record.width, record.phase, record.learning_rate or 0.0, record.seed)
