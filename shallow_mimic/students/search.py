"""The search of learning rates: short runs of all, the best on dev chosen."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shallow_mimic import errors, training
from shallow_mimic.data import mixtures
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.evaluation import records
from shallow_mimic.evaluation.describe import make_record
from shallow_mimic.evaluation.records import Record
from shallow_mimic.students.train import ReadTargets, gather
from shallow_mimic.training import family, fit, rounds
from shallow_mimic.training.kept_nets import Wanted

Rates = dict[tuple[str, int], tuple[float, float]]


def plan_search(dataset: Dataset, read_targets: ReadTargets,
                settings: training.Settings) -> rounds.Work:
  """How students are trained for the search; their records alone are kept."""
  def judge(nets: Sequence[Wanted],
            trained: Sequence[fit.Fitted]) -> list[dict[str, Any]]:
    return [{records.RECORD: _make_record(net.member, result, dataset).to_json()
             } for net, result in zip(nets, trained, strict=True)]

  return rounds.plan_work('students search', functools.partial(
      gather, dataset, read_targets, settings.memory), settings, judge,
                          with_params=False)


def _make_record(member, result, dataset):
  net = family.member_net(member, dataset.input_shape, dataset.classes)
  return make_record(
      member, result, net, 'student', {'dev': {'accuracy': result.accuracy}},
      inputs_count=mixtures.count_inputs(member.mixture, dataset),
      phase='search', selected=False)


def choose_rates(found: Sequence[Record]) -> Rates:
  """(learning rate, weight decay) for each (curve, width): the best on dev.

  Args:
    found: the records of a search; those of a curve and width come with all
      their seeds.

  Raises:
    UserError: all students of a curve and width diverged.
  """
  scores = collections.defaultdict(list)
  for record in found:
    value = -1.0 if record.diverged else records.read_metric(
        record, 'dev', 'accuracy')
    scores[_curve_key(record), _rate_key(record)].append(value)
  chosen: dict[tuple[str, int], tuple[float, tuple[float, float]]] = {}
  for (curve, rate), values in scores.items():
    best = chosen.get(curve)
    if best is None or np.mean(values) > best[0]:
      chosen[curve] = (float(np.mean(values)), rate)
  for name, width in chosen:
    if all(max(values) < 0 for (curve, _), values in scores.items()
           if curve == (name, width)):
      raise errors.UserError(
          f'{name} of width {width} diverges at every learning rate of'
          ' students.learning_rates; add smaller ones'
      )
  return {curve: rate for curve, (_, rate) in chosen.items()}


def mark_selected(found: Sequence[Record], rates: Mapping) -> list[Record]:
  """The records of a search; those of the chosen rates are selected."""
  return [dataclasses.replace(
      record, selected=rates[_curve_key(record)] == _rate_key(record))
          for record in found]


def _curve_key(record):
  return record.model, record.width


def _rate_key(record):
  return record.learning_rate, record.weight_decay
