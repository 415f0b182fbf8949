"""Stage 1: deep nets trained on labels, best step chosen on dev."""

from __future__ import annotations

import operator
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shallow_mimic import errors, evaluation, losses, models, training
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.mixtures import split_fold
from shallow_mimic.evaluation import recognition
from shallow_mimic.evaluation.records import make_record
from shallow_mimic.runs import checkpoints, files, workdir
from shallow_mimic.training import family, fit, gather_inputs, objectives

_CROSS_ENTROPY = objectives.Objective('cross_entropy')


def make_members(name: str, group: Any) -> list[family.Member]:
  """The nets of one group of teachers: one architecture, several seeds."""
  return [
      family.Member(
          model=name, architecture=group.architecture, width=0,
          seed=group.first_seed + index, learning_rate=group.learning_rate,
          objective=_CROSS_ENTROPY, inputs=_own_inputs(group, index),
          weight_decay=group.weight_decay,
          net_options=tuple(sorted(group.net.items())),
      )
      for index in range(group.members)
  ]


def _own_inputs(group, index):
  """What a member trains on: all of the inputs, or all but one fold."""
  return group.inputs + (f'!{index % group.folds}' if group.folds else '')


def write_teachers(directory: os.PathLike | str, name: str, group: Any,
                   dataset: Dataset, settings: training.Settings) -> None:
  """Trains a group of teachers; writes parameters, records and digests.

  Args:
    directory: the group's own folder.
    name: the group's name, and its models' in the report.
    group: its configuration (`config.teachers.NAME`).
    dataset: inputs and labels.
    settings: how to train.
  """
  directory = pathlib.Path(directory)
  members = make_members(name, group)
  inputs = gather_inputs(members, dataset, {}, settings.memory)
  trained = []
  # Nets that do not fit in memory, or in cache, side by side go in turns.
  size = group.together or len(members)
  for start in range(0, len(members), size):
    part = members[start:start + size]
    trained += fit.fit(
        part, inputs, settings, directory / 'checkpoints' / str(start),
        stage=f'teachers {name} {start + 1}-{start + len(part)}',
    )
  net = family.member_net(members[0], dataset.input_shape, dataset.classes)
  params = jax.tree.map(lambda *leaves: np.stack(leaves),
                        *(t.params for t in trained))
  checkpoints.write_checkpoint(directory / 'params', settings.recipe.steps,
                               params)
  records = _records(members, trained, net, params, dataset, inputs)
  recognition.score_phones(
      directory, records, dataset, lambda index, split: evaluation.predict(
          net, trained[index].params, dataset.pool(split)))
  files.write_json(directory / 'records.json', records)
  workdir.write_identity(directory, {
      f'{name}:{place}': files.digest_json({
          'architecture': str(net.architecture),
          'options': list(map(list, member.net_options)),
          'params': files.digest_tree(result.params),
      }) for place, (member, result) in enumerate(
          zip(members, trained, strict=True))
  })


def read_teachers(directory: os.PathLike | str, name: str, group: Any,
                  dataset: Dataset) -> tuple[models.Net, list[Any]]:
  """The net of a group and the parameters of each of its teachers."""
  members = make_members(name, group)
  net = family.member_net(members[0], dataset.input_shape, dataset.classes)
  shapes = jax.eval_shape(
      jax.vmap(net.init), jax.random.split(jax.random.key(0), len(members))
  )
  directory = pathlib.Path(directory)
  found = checkpoints.read_checkpoint(directory / 'params', shapes)
  if found is None:
    raise errors.UserError(
        f'{directory} holds no teachers; run the stage `teachers` first'
    )
  return net, [jax.tree.map(operator.itemgetter(i), found[1])
               for i in range(len(members))]


def _records(members: Sequence[family.Member], trained: Sequence[fit.Fitted],
             net: models.Net, params: Any, dataset: Dataset,
             inputs: training.Inputs) -> list[dict[str, Any]]:
  count, classes = len(members), dataset.classes
  judged = evaluation.Judged(
      params,
      losses.LogitNormalizer(jnp.zeros((count, classes)),
                             jnp.ones((count, classes))),
      jnp.zeros(count, jnp.int32), jnp.zeros(count, jnp.int32),
  )
  values = {}
  for split, part in (('dev', dataset.dev), ('test', dataset.test)):
    # A teacher has no teacher: what compares it to one is left out.
    nobody = np.zeros((1, len(part.y), classes), np.float32)
    values[split] = evaluation.evaluate(
        net, [_CROSS_ENTROPY], judged,
        evaluation.Split(dataset.pool(split), part.y, nobody),
    )
  records = [
      make_record(
          member, result, net, 'teacher',
          {split: {metric: float(column[i]) for metric, column in table.items()
                   if metric not in ('agreement', 'kl')}
           for split, table in values.items()},
          inputs_count=training.count_inputs(member, inputs),
      ) for i, (member, result) in enumerate(zip(members, trained, strict=True))
  ]
  # Members of one group are one model, whichever fold each left out.
  for record in records:
    record['inputs'], record['held_out'] = split_fold(record['inputs'])
  return records
