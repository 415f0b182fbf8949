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

from shallow_mimic import configs, errors, evaluation, losses, models, training
from shallow_mimic.data import mixtures
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.evaluation import recognition
from shallow_mimic.evaluation.describe import make_record
from shallow_mimic.evaluation.records import Record, write_records
from shallow_mimic.runs import checkpoints, files, workdir
from shallow_mimic.training import family, fit, gather_family_data, objectives

_CROSS_ENTROPY = objectives.Objective('cross_entropy')


def make_members(name: str, group: configs.Teacher) -> list[family.Member]:
  """The nets of one group of teachers: one architecture, several seeds."""
  return [
      family.Member(
          model=name, architecture=group.architecture, width=0,
          seed=group.first_seed + index, learning_rate=group.learning_rate,
          objective=_CROSS_ENTROPY, mixture=_own_mixture(group, index),
          weight_decay=group.weight_decay,
          net_options=tuple(sorted(group.net.items())),
      )
      for index in range(group.members)
  ]


def _own_mixture(group, index):
  """What a member trains on: all of the mixture, or all but one fold."""
  return group.inputs + (f'!{index % group.folds}' if group.folds else '')


def write_teachers(directory: os.PathLike | str, name: str,
                   group: configs.Teacher, dataset: Dataset,
                   settings: training.Settings) -> None:
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
  family_data = gather_family_data(members, dataset, {}, settings.memory)
  trained = []
  # Nets that do not fit in memory, or in cache, side by side go in turns.
  size = group.together or len(members)
  for start in range(0, len(members), size):
    part = members[start:start + size]
    trained += fit.fit(
        part, family_data, settings, directory / 'checkpoints' / str(start),
        stage=f'teachers {name} {start + 1}-{start + len(part)}',
    )
  net = family.member_net(members[0], dataset.input_shape, dataset.classes)
  params = jax.tree.map(lambda *leaves: np.stack(leaves),
                        *(t.params for t in trained))
  checkpoints.write_checkpoint(directory / 'params', settings.recipe.steps,
                               params)
  records = _records(members, trained, net, params, dataset,
                     family_data)
  records = recognition.score_phones(
      directory, records, dataset, lambda index, split: evaluation.predict(
          net, trained[index].params, dataset.pool(split)))
  write_records(directory / 'records.json', records)
  workdir.write_identity(directory, {
      f'{name}:{place}': files.digest_json({
          'architecture': str(net.architecture),
          'options': list(map(list, member.net_options)),
          'params': files.digest_tree(result.params),
      }) for place, (member, result) in enumerate(
          zip(members, trained, strict=True))
  })


def read_teachers(directory: os.PathLike | str, name: str,
                  group: configs.Teacher, dataset: Dataset,
                  ) -> list[tuple[models.Net, Any, str, int | None]]:
  """Net, parameters, digest and fold held out of each teacher of a group."""
  workdir.require(pathlib.Path(directory), 'teachers')
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
  identity = workdir.read_identity(directory)
  return [
      (net, jax.tree.map(operator.itemgetter(i), found[1]),
       identity[f'{name}:{i}'], mixtures.split_fold(member.mixture)[1])
      for i, member in enumerate(members)]


def _records(members: Sequence[family.Member], trained: Sequence[fit.Fitted],
             net: models.Net, params: Any, dataset: Dataset,
             family_data: training.FamilyData) -> list[Record]:
  count, classes = len(members), dataset.classes
  judged = evaluation.Judged(
      params,
      losses.LogitNormalizer(jnp.zeros((count, classes)),
                             jnp.ones((count, classes))),
      jnp.zeros(count, jnp.int32), jnp.zeros(count, jnp.int32),
  )
  values = {}
  for split, part in (('dev', dataset.dev), ('test', dataset.test)):
    # A teacher has no teacher, so that metrics which compare it are left out.
    nobody = np.broadcast_to(np.float32(0), (1, len(part.y), classes))
    values[split] = evaluation.evaluate(
        net, [_CROSS_ENTROPY], judged,
        evaluation.Split(dataset.pool(split), part.y, nobody),
    )
  return [
      make_record(
          member, result, net, 'teacher',
          {split: {metric: float(column[i]) for metric, column in table.items()
                   if metric not in ('agreement', 'kl')}
           for split, table in values.items()},
          inputs_count=training.count_inputs(member, family_data),
      ) for i, (member, result) in enumerate(zip(members, trained, strict=True))
  ]
