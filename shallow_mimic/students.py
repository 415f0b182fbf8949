"""Stage 4: the family of shallow students, on cached logits and on labels.

Widths × seeds × curves train in one program. The learning rate (and weight
decay) of every curve and width is first searched in a shorter run, in one
program too, and chosen on dev.
"""

from __future__ import annotations

import collections
import itertools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from shallow_mimic import errors, evaluation, models, training, widths
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.mixtures import Targets
from shallow_mimic.evaluation import fidelity, recognition
from shallow_mimic.evaluation.records import make_record
from shallow_mimic.runs import checkpoints, files, workdir
from shallow_mimic.training import family, fit, gather_inputs, objectives


def make_members(config: Any, input_shape: tuple[int, ...], classes: int, *,
                 seeds: int,
                 rates: Mapping[tuple[str, int], tuple[float, float]] | None
                 = None) -> list[family.Member]:
  """The family that a configuration describes.

  Args:
    config: `config.students`.
    input_shape: shape of one input.
    classes: number of classes, C.
    seeds: how many seeds of each.
    rates: the (learning rate, weight decay) chosen for each (curve, width);
      None for all that are to be searched.
  """
  members = []
  for name, curve in sorted(config.curves.items()):
    for width in widths.find_widths(config, name, input_shape, classes,
                                    **_net_options(config, curve)):
      if rates is None:
        grid = itertools.product(
            widths.scale_rates(
                curve.learning_rates or config.learning_rates,
                config.rate_width, width),
            curve.weight_decays)
      else:
        grid = [rates[name, width]]
      for (rate, decay), seed in itertools.product(grid, range(seeds)):
        members.append(_make_member(config, name, curve, width, seed, rate,
                                    decay))
  return members


def _net_options(config, curve):
  return {'activation': config.activation, 'bias_spread': config.bias_spread,
          'dropout_input': curve.dropout_input,
          'dropout_hidden': curve.dropout_hidden}


def _make_member(config, name, curve, width, seed, rate, decay):
  return family.Member(
      model=name, architecture=curve.architecture or config.architecture,
      width=width, seed=seed, learning_rate=rate, weight_decay=decay,
      objective=objectives.Objective(
          curve.objective, curve.temperature, curve.alpha,
          tuple(curve.weights)),
      inputs=curve.inputs,
      teacher=(curve.teacher
               if curve.objective in objectives.NEEDS_TEACHER else ''),
      net_options=tuple(sorted(_net_options(config, curve).items())),
  )


def write_search(directory: os.PathLike | str, members: Sequence[family.Member],
                 dataset: Dataset, targets: Mapping[str, Targets],
                 settings: training.Settings) -> None:
  """Searches learning rates; writes what dev says and what it chose."""
  directory = pathlib.Path(directory)
  inputs = gather_inputs(members, dataset, targets, settings.memory)
  fitted = fit.fit(members, inputs, settings, directory / 'checkpoints',
                   stage='students search')
  scores = collections.defaultdict(list)
  for member, result in zip(members, fitted, strict=True):
    value = -1.0 if result.diverged else result.accuracy
    scores[_curve_key(member), _rate_key(member)].append(value)
  chosen = {}
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
        inputs_count=training.count_inputs(member, inputs), phase='search',
        selected=picked,
    ))
  files.write_json(directory / 'records.json', records)
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


def write_students(directory: os.PathLike | str,
                   members: Sequence[family.Member], dataset: Dataset,
                   targets: Mapping[str, Targets],
                   teacher_logits: Mapping[str, Mapping[str, np.ndarray]],
                   settings: training.Settings, *,
                   independent: Mapping[str, str] | None = None) -> None:
  """Trains the family; writes parameters, records and digests.

  Args:
    directory: the stage's own folder.
    members: the family, each with its chosen learning rate.
    dataset: inputs and labels.
    targets: cached logits by the teacher's name.
    teacher_logits: logits [N, C] by split ('dev', 'test') and teacher; the
      first teacher is the one that students of labels are compared to.
    settings: how to train.
    independent: by teacher, one that shares nothing with it, to compare to.
  """
  directory = pathlib.Path(directory)
  inputs = gather_inputs(members, dataset, targets, settings.memory)
  fitted = fit.fit(members, inputs, settings, directory / 'checkpoints',
                   stage='students')
  bench = fidelity.make_bench(dataset, targets, teacher_logits,
                             independent or {}, settings.base_seed)
  stacked, records, identity = {}, [None] * len(members), {}
  for label, group in group_by_net(members).items():
    net = family.member_net(members[group[0]], dataset.input_shape,
                            dataset.classes)
    params = jax.tree.map(lambda *leaves: np.stack(leaves),
                          *(fitted[i].params for i in group))
    stacked[label] = params
    identity[label] = files.digest_tree(params)
    values, bins = fidelity.judge(
        net, params, [members[i] for i in group], inputs, bench)
    for place, index in enumerate(group):
      records[index] = make_record(
          members[index], fitted[index], net, 'student', values[place],
          inputs_count=training.count_inputs(members[index], inputs),
          calibration=bins[place],
      )
  checkpoints.write_checkpoint(directory / 'params', settings.recipe.steps,
                               stacked)
  recognition.score_phones(
      directory, records, dataset, lambda index, split: _predict(
          members[index], fitted[index].params, inputs, dataset, split))
  files.write_json(directory / 'records.json', records)
  workdir.write_identity(directory, identity)


def _predict(member, params, inputs, dataset, split):
  """Logits [N, C] of a member on a split, not normalised."""
  net = family.member_net(member, dataset.input_shape, dataset.classes)
  outputs = evaluation.predict(net, params, dataset.pool(split))
  normalizer = training.choose_normalizer(member, inputs)
  return np.asarray(normalizer.denormalize(outputs))


def read_student(directory: os.PathLike | str, members: Sequence[family.Member],
                 index: int, dataset: Dataset) -> tuple[models.Net, Any]:
  """The net and the parameters of one member of a finished family."""
  shapes, places = {}, {}
  for label, group in group_by_net(members).items():
    net = family.member_net(members[group[0]], dataset.input_shape,
                            dataset.classes)
    stack = lambda leaf, group=group: jax.ShapeDtypeStruct(
        (len(group), *leaf.shape), leaf.dtype)
    shapes[label] = jax.tree.map(stack, models.param_shapes(net))
    places |= {i: (label, place, net) for place, i in enumerate(group)}
  found = checkpoints.read_checkpoint(
      pathlib.Path(directory) / 'params', shapes)
  if found is None:
    raise errors.UserError(
        f'{directory} holds no students; run the stage `students` first'
    )
  label, place, net = places[index]
  return net, jax.tree.map(lambda leaf: leaf[place], found[1][label])


def group_by_net(members: Sequence[family.Member]) -> dict[str, list[int]]:
  """Members of one shape together: the places of each net's members."""
  groups = collections.defaultdict(list)
  for index, member in enumerate(members):
    options = ','.join(f'{key}={value}' for key, value in member.net_options)
    text = models.with_width(member.architecture, member.width)
    groups[f'{text}|{options}'].append(index)
  return dict(groups)
