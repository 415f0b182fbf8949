"""Records: what the report learns of one net."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from shallow_mimic import models
from shallow_mimic.evaluation import metrics
from shallow_mimic.runs import files
from shallow_mimic.training import objectives

Record = dict[str, Any]

_ROLES = ('teacher', 'ensemble', 'student')


def ensemble_sizes(nets: Sequence[models.Net]) -> dict[str, Any]:
  """The architecture of an ensemble in words, and its sizes in all."""
  sizes = [model_sizes(net) for net in nets]
  total = {key: sum(size[key] for size in sizes) for key in sizes[0]}
  # The members run side by side: the longest counts.
  total['sequential_depth'] = max(size['sequential_depth'] for size in sizes)
  architectures = dict.fromkeys(str(net.architecture) for net in nets)
  return {'architecture': f'{len(nets)} × {", ".join(architectures)}', **total}


def make_ensemble_record(name, teachers, values):
  """What the report learns of an ensemble of `ensembles.Teacher`s."""
  nets = [one.net for one in teachers if not one.mirrored]
  sizes = ensemble_sizes(nets)
  if len(nets) < len(teachers):
    sizes['architecture'] += ' (+ mirror images)'
    sizes['multiply_adds'] *= 2
  return {
      'model': name, 'role': 'ensemble', 'objective': 'cross_entropy',
      'inputs': '', 'teacher': '', 'width': 0, 'seed': 0,
      'learning_rate': None, **sizes, 'phase': 'final',
      'selected': True, 'best_step': 0, 'diverged': False,
      'metrics': values, 'history': {},
  }


def make_record(member: Any, result: Any, net: models.Net, role: str,
                values: dict[str, dict[str, float]], *, inputs_count: int,
                phase: str = 'final', selected: bool = True,
                calibration: metrics.CalibrationBins | None = None,
                ) -> dict[str, Any]:
  """What the report learns of one trained member, as a JSON tree.

  Args:
    member: a `family.Member`.
    result: its `fit.Fitted`.
    net: the member's own net, for its true sizes.
    role: 'teacher' or 'student'.
    values: metrics by split.
    inputs_count: how many inputs it trained on.
    phase: 'final', or 'search' of the learning rate.
    selected: whether it was chosen on dev.
    calibration: its bins on test, if they are to be kept.
  """
  kept = {} if calibration is None else {
      'calibration': describe_bins(calibration)}
  return {
      'model': member.model, 'role': role, 'objective': member.objective.name,
      'inputs': member.inputs, 'inputs_count': inputs_count,
      'teacher': member.teacher,
      'architecture': str(net.architecture), 'width': member.width,
      'seed': member.seed, 'learning_rate': member.learning_rate,
      'weight_decay': member.weight_decay,
      'constants': objectives.find_constants(member.objective),
      **model_sizes(net),
      'phase': phase, 'selected': selected, 'best_step': result.best_step,
      'diverged': result.diverged, 'metrics': values,
      'history': {'step': result.steps, 'dev_accuracy': result.dev_accuracy,
                  'train_loss': result.train_loss},
      **kept,
  }


def describe_bins(bins: metrics.CalibrationBins) -> dict[str, list[float]]:
  """Sums of calibration bins as a JSON tree."""
  return {name: np.asarray(part, float).tolist()
          for name, part in bins._asdict().items()}


def model_sizes(net: models.Net) -> dict[str, int]:
  """True parameters, factored and absorbed, multiply-adds, units, depth."""
  return {
      'parameters': models.count_parameters(net),
      'parameters_absorbed': models.count_absorbed(net),
      'multiply_adds': models.count_multiply_adds(net),
      'hidden_units': models.count_hidden_units(net),
      'sequential_depth': models.sequential_depth(net),
  }


def read_records(folders: Iterable[pathlib.Path]) -> list[Record]:
  """The records that finished stages left in their folders, in order."""
  return [record for folder in folders
          for record in files.read_json(folder / 'records.json')]


def read_metric(record: Record, split: str, metric: str) -> float:
  """A metric as it stands in the record; nan where it is null or absent."""
  value = record['metrics'].get(split, {}).get(metric)
  return math.nan if value is None else float(value)


def score(record: Record, split: str, metric: str) -> float:
  """Per cent right: 100 · accuracy or 100 · (1 − per); nan where unknown."""
  value = read_metric(record, split, metric)
  return 100 * (1 - value if metric == 'per' else value)


def choose_metric(records: Iterable[Record]) -> str:
  """'per' where any record has it (speech), else 'accuracy'."""
  return 'per' if any(
      'per' in metrics for record in records
      for metrics in record['metrics'].values()) else 'accuracy'


def record_order(record: Record) -> tuple:
  """Sort key: role, plain models before those with '/', width, rate, seed."""
  role, model = record['role'], record['model']
  rank = _ROLES.index(role) if role in _ROLES else len(_ROLES)
  return (rank, role, '/' in model, model.casefold(), model,
          record['objective'], record['inputs'], record['teacher'],
          record['width'], record['phase'],
          record['learning_rate'] or 0.0, record['seed'])
