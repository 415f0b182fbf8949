"""Stage 4: the family of shallow students, on cached logits and on labels.

Widths × seeds × curves train in one program. The learning rate (and weight
decay) of every curve and width is first searched in a shorter run, in one
program too, and chosen on dev.
"""

from __future__ import annotations

import collections
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from shallow_mimic import errors, evaluation, models, training
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.mixtures import Targets
from shallow_mimic.evaluation import fidelity, recognition
from shallow_mimic.evaluation.describe import make_record
from shallow_mimic.evaluation.records import Record, write_records
from shallow_mimic.runs import checkpoints, files, workdir
from shallow_mimic.training import family, fit, gather_family_data


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
  family_data = gather_family_data(members, dataset, targets, settings.memory)
  fitted = fit.fit(members, family_data, settings, directory / 'checkpoints',
                   stage='students')
  bench = fidelity.make_bench(dataset, targets, teacher_logits,
                             independent or {}, settings.base_seed)
  stacked, identity = {}, {}
  records: dict[int, Record] = {}
  for label, group in group_by_net(members).items():
    net = family.member_net(members[group[0]], dataset.input_shape,
                            dataset.classes)
    params = jax.tree.map(lambda *leaves: np.stack(leaves),
                          *(fitted[i].params for i in group))
    stacked[label] = params
    identity[label] = files.digest_tree(params)
    values, bins = fidelity.judge(
        net, params, [members[i] for i in group], family_data, bench)
    for place, index in enumerate(group):
      records[index] = make_record(
          members[index], fitted[index], net, 'student', values[place],
          inputs_count=training.count_inputs(members[index], family_data),
          calibration=bins[place],
      )
  checkpoints.write_checkpoint(directory / 'params', settings.recipe.steps,
                               stacked)
  in_order = [records[i] for i in range(len(members))]
  scored = recognition.score_phones(
      directory, in_order, dataset, lambda index, split: _predict(
          members[index], fitted[index].params, family_data, dataset, split))
  write_records(directory / 'records.json', scored)
  workdir.write_identity(directory, identity)


def _predict(member, params, family_data, dataset, split):
  """Logits [N, C] of a member on a split, not normalised."""
  net = family.member_net(member, dataset.input_shape, dataset.classes)
  outputs = evaluation.predict(net, params, dataset.pool(split))
  normalizer = training.choose_normalizer(member, family_data)
  return np.asarray(normalizer.denormalize(outputs))


def read_student(directory: os.PathLike | str, members: Sequence[family.Member],
                 index: int, dataset: Dataset) -> tuple[models.Net, Any]:
  """The net and the parameters of one member of a finished family."""
  shapes: dict[str, Any] = {}
  places: dict[int, tuple[str, int, models.Net]] = {}
  for label, group in group_by_net(members).items():
    net = family.member_net(members[group[0]], dataset.input_shape,
                            dataset.classes)
    shapes[label] = jax.tree.map(functools.partial(_stack, len(group)),
                                 models.param_shapes(net))
    places |= {i: (label, place, net) for place, i in enumerate(group)}
  found = checkpoints.read_checkpoint(
      pathlib.Path(directory) / 'params', shapes)
  if found is None:
    raise errors.UserError(
        f'{directory} holds no students; run the stage `students` first'
    )
  label, place, net = places[index]
  return net, jax.tree.map(lambda leaf: leaf[place], found[1][label])


def _stack(count, leaf):
  return jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype)


def group_by_net(members: Sequence[family.Member]) -> dict[str, list[int]]:
  """Members of one shape together: the places of each net's members."""
  groups = collections.defaultdict(list)
  for index, member in enumerate(members):
    options = ','.join(f'{key}={value}' for key, value in member.net_options)
    text = models.with_width(member.architecture, member.width)
    groups[f'{text}|{options}'].append(index)
  return dict(groups)
