"""Stage 1: deep nets trained on labels, best step chosen on dev."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shallow_mimic import configs, evaluation, losses, models, training
from shallow_mimic.data import mixtures
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.evaluation import recognition
from shallow_mimic.evaluation.describe import make_record
from shallow_mimic.evaluation.records import Record
from shallow_mimic.training import (
  family,
  fit,
  gather_family_data,
  kept_nets,
  objectives,
  rounds,
)
from shallow_mimic.training.kept_nets import Wanted

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


def list_teachers(name: str, group: configs.Teacher, dataset: Dataset,
                  settings: training.Settings) -> list[Wanted]:
  """The nets of one group, each with its folder and what it is made from.

  Args:
    name: the group's name, and its models' in the report.
    group: its configuration (`config.teachers.NAME`).
    dataset: inputs and labels.
    settings: how to train.
  """
  return [Wanted(
      f'teachers/{name}/{member.seed}', member, kept_nets.describe_net(
          member, settings, mixtures.identify_data(
              dataset, [member.mixture], ['dev', 'test'])))
          for member in make_members(name, group)]


def plan_teachers(name: str, group: configs.Teacher, dataset: Dataset,
                  settings: training.Settings) -> rounds.Work:
  """How the nets of one group are trained; see `list_teachers`."""
  def judge(nets: Sequence[Wanted], trained: Sequence[fit.Fitted],
            ) -> list[dict[str, Any]]:
    return _judge([net.member for net in nets], trained, dataset)

  # Nets that do not fit in memory, or in cache, side by side go in turns.
  return rounds.plan_work(
      f'teachers {name}', functools.partial(
          gather_family_data, dataset=dataset, targets={},
          memory=settings.memory), settings, judge, together=group.together)


def read_teacher(root: pathlib.Path, wanted: Wanted, dataset: Dataset,
                 ) -> tuple[models.Net, Any, Any, int | None]:
  """Net, parameters, identity and fold held out of a finished teacher."""
  problem = dataset.input_shape, dataset.classes
  identity, fitted = kept_nets.read_net(root, wanted, *problem)
  return (family.member_net(wanted.member, *problem), fitted.params, identity,
          mixtures.split_fold(wanted.member.mixture)[1])


def _judge(members: Sequence[family.Member], trained: Sequence[fit.Fitted],
           dataset: Dataset) -> list[dict[str, Any]]:
  """The files to be kept with each net: its record, and counts of phones."""
  net = family.member_net(members[0], dataset.input_shape, dataset.classes)
  params = jax.tree.map(lambda *leaves: np.stack(leaves),
                        *(t.params for t in trained))
  records = _records(members, trained, net, params, dataset)
  return recognition.score_phones(
      records, dataset, lambda index, split: evaluation.predict(
          net, trained[index].params, dataset.pool(split)))


def _records(members: Sequence[family.Member], trained: Sequence[fit.Fitted],
             net: models.Net, params: Any,
             dataset: Dataset) -> list[Record]:
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
          inputs_count=mixtures.count_inputs(member.mixture, dataset),
      ) for i, (member, result) in enumerate(zip(members, trained, strict=True))
  ]
