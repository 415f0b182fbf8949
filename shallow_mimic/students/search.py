"""The search of learning rates: short runs of all, the best on dev chosen."""

from __future__ import annotations

import collections
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from shallow_mimic import errors, training
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.mixtures import Targets
from shallow_mimic.evaluation.describe import make_record
from shallow_mimic.evaluation.records import write_records
from shallow_mimic.runs import workdir
from shallow_mimic.training import family, fit, gather_family_data


def write_search(directory: os.PathLike | str, members: Sequence[family.Member],
                 dataset: Dataset, targets: Mapping[str, Targets],
                 settings: training.Settings) -> None:
  """Searches learning rates; writes what dev says and what it chose."""
  directory = pathlib.Path(directory)
  family_data = gather_family_data(members, dataset, targets, settings.memory)
  fitted = fit.fit(members, family_data, settings, directory / 'checkpoints',
                   stage='students search')
  scores = collections.defaultdict(list)
  for member, result in zip(members, fitted, strict=True):
    value = -1.0 if result.diverged else result.accuracy
    scores[_curve_key(member), _rate_key(member)].append(value)
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
  records = []
  for member, result in zip(members, fitted, strict=True):
    net = family.member_net(member, dataset.input_shape, dataset.classes)
    picked = chosen[_curve_key(member)][1] == _rate_key(member)
    records.append(make_record(
        member, result, net, 'student', {'dev': {'accuracy': result.accuracy}},
        inputs_count=training.count_inputs(member, family_data), phase='search',
        selected=picked,
    ))
  write_records(directory / 'records.json', records)
  workdir.write_identity(directory, [
      [name, width, *rate] for (name, width), (_, rate)
      in sorted(chosen.items())
  ])


def read_rates(
    directory: os.PathLike | str,
) -> dict[tuple[str, int], tuple[float, float]]:
  """(learning rate, weight decay) chosen for each (curve, width)."""
  return {(name, width): (rate, decay) for name, width, rate, decay
          in workdir.read_identity(directory)}


def _curve_key(member):
  return member.model, member.width


def _rate_key(member):
  return member.learning_rate, member.weight_decay
