"""Nets described: their sizes, and records of what was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shallow_mimic import models
from shallow_mimic.data import mixtures
from shallow_mimic.evaluation import metrics
from shallow_mimic.evaluation.records import Record
from shallow_mimic.training import objectives

Values = Mapping[str, Mapping[str, float]]


def model_sizes(net: models.Net) -> dict[str, Any]:
  """True parameters, factored and absorbed, multiply-adds, units, depth."""
  return {
      'parameters': models.count_parameters(net),
      'parameters_absorbed': models.count_absorbed(net),
      'multiply_adds': models.count_multiply_adds(net),
      'hidden_units': models.count_hidden_units(net),
      'sequential_depth': models.sequential_depth(net),
  }


def ensemble_sizes(nets: Sequence[models.Net]) -> dict[str, Any]:
  """The architecture of an ensemble in words, and its sizes in all."""
  sizes = [model_sizes(net) for net in nets]
  total = {key: sum(size[key] for size in sizes) for key in sizes[0]}
  # The members run side by side: the longest counts.
  total['sequential_depth'] = max(size['sequential_depth'] for size in sizes)
  architectures = dict.fromkeys(str(net.architecture) for net in nets)
  return {'architecture': f'{len(nets)} × {", ".join(architectures)}', **total}


def make_ensemble_record(name: str, teachers: Sequence[Any], values: Values,
                         calibration: metrics.CalibrationBins) -> Record:
  """What the report learns of an ensemble.

  Args:
    name: its own.
    teachers: its members, each an `ensembles.Teacher`.
    values: metrics by split.
    calibration: its bins on test.
  """
  nets = [one.net for one in teachers if not one.mirrored]
  sizes = ensemble_sizes(nets)
  if len(nets) < len(teachers):
    sizes['architecture'] += ' (+ mirror images)'
    sizes['multiply_adds'] *= 2
  return Record(
      model=name, role='ensemble', objective='', mixture='', teacher='',
      width=0, seed=0, learning_rate=None, **sizes, phase='final',
      selected=True, best_step=0, diverged=False, metrics=values, history={},
      calibration=_describe_bins(calibration))


def make_record(member: Any, result: Any, net: models.Net, role: str,
                values: Values, *, inputs_count: int, phase: str = 'final',
                selected: bool = True,
                calibration: metrics.CalibrationBins | None = None) -> Record:
  """What the report learns of one trained member.

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
  mixture, held_out = member.mixture, None
  if role == 'teacher':
    # Members of one group are one model, whichever fold each left out.
    mixture, held_out = mixtures.split_fold(mixture)
  return Record(
      model=member.model, role=role, objective=member.objective.name,
      mixture=mixture, held_out=held_out, inputs_count=inputs_count,
      teacher=member.teacher, architecture=str(net.architecture),
      width=member.width, seed=member.seed,
      learning_rate=member.learning_rate, weight_decay=member.weight_decay,
      constants=objectives.find_constants(member.objective),
      **model_sizes(net), phase=phase, selected=selected,
      best_step=result.best_step, diverged=result.diverged, metrics=values,
      history={'step': result.steps, 'dev_accuracy': result.dev_accuracy,
               'train_loss': result.train_loss},
      calibration=None if calibration is None else _describe_bins(calibration))


def _describe_bins(bins: metrics.CalibrationBins) -> dict[str, list[float]]:
  """Sums of calibration bins as a JSON tree."""
  return {name: np.asarray(part, float).tolist()
          for name, part in vars(bins).items()}
