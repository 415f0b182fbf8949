"""Stage 4: the family of shallow students, on cached logits and on labels.

Widths × seeds × curves train in one program. The learning rate (and weight
decay) of every curve and width is first searched in a shorter run, in one
program too, and chosen on dev.
"""

from __future__ import annotations

import collections
import pathlib
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shallow_mimic import models, training
from shallow_mimic.data import mixtures
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.mixtures import Targets
from shallow_mimic.runs import files
from shallow_mimic.training import (
  family,
  fit,
  gather_family_data,
  kept_nets,
  rounds,
)
from shallow_mimic.training.kept_nets import Wanted

_NAME_BYTES = 200
# Cached logits of the teachers named, by their names.
ReadTargets = Callable[[Sequence[str]], Mapping[str, Targets]]


def list_students(phase: str, members: Sequence[family.Member],
                  dataset: Dataset, teachers: Mapping[str, Any],
                  settings: training.Settings) -> list[Wanted]:
  """Students, each with its folder and what it is made from.

  Args:
    phase: 'search' or 'final'.
    members: the students.
    dataset: inputs and labels.
    teachers: what the targets of each teacher are, by its name.
    settings: how they are trained.
  """
  data = {text: mixtures.identify_data(dataset, [text])
          for text in {member.mixture for member in members}}
  return [Wanted(
      find_slot(phase, member), member, kept_nets.describe_net(
          member, settings, data[member.mixture],
          teachers[member.teacher] if member.teacher else None))
          for member in members]


def find_slot(phase: str, member: family.Member) -> str:
  """The folder of a student.

  >>> from shallow_mimic.training import objectives
  >>> find_slot('final', family.Member(
  ...     'SNN-MIMIC/no-pool', 'H', 64, 1, 0.01,
  ...     objectives.Objective('logit_regression'), 'train'))
  'students/final/SNN-MIMIC%2Fno-pool/width-64,seed-1,rate-0.01,decay-0.0'
  """
  return (f'students/{phase}/{_name_curve(member.model)}/width-{member.width},'
          f'seed-{member.seed},rate-{member.learning_rate!r},'
          f'decay-{member.weight_decay!r}')


def _name_curve(name: str) -> str:
  """A curve's name as that of a folder; what is too long ends in a digest."""
  quoted = urllib.parse.quote(name, safe='')
  if not quoted.strip('.'):
    return quoted.replace('.', '%2E')
  if len(quoted) <= _NAME_BYTES:
    return quoted
  return f'{quoted[:_NAME_BYTES - 17]}~{files.digest_json(name)[:16]}'


def plan_students(dataset: Dataset, read_targets: ReadTargets,
                  settings: training.Settings) -> rounds.Work:
  """How the final students are trained."""
  stage = 'students'

  def train(nets: Sequence[Wanted], directory: pathlib.Path,
            identity: str) -> list[fit.Fitted]:
    return fit_students(nets, dataset, read_targets, settings, directory,
                        stage=stage, identity=identity)

  def judge(nets: Sequence[Wanted],
            trained: Sequence[fit.Fitted]) -> list[dict[str, Any]]:
    del trained  # They are compared to teachers that may change: see `scores`.
    return [{} for _ in nets]

  return rounds.Work(stage, train, judge, settings.packing)


def fit_students(nets: Sequence[Wanted], dataset: Dataset,
                 read_targets: ReadTargets, settings: training.Settings,
                 directory: pathlib.Path, *, stage: str,
                 identity: str) -> list[fit.Fitted]:
  """Trains a family of students; see `fit.fit`."""
  members = [net.member for net in nets]
  taught = dict.fromkeys(m.teacher for m in members if m.teacher)
  data = gather_family_data(
      members, dataset, read_targets(list(taught)), settings.memory)
  return fit.fit(members, data, settings, directory, stage=stage,
                 identity=identity)


def group_by_net(members: Sequence[family.Member]) -> dict[str, list[int]]:
  """Members of one shape together: the places of each net's members."""
  groups = collections.defaultdict(list)
  for index, member in enumerate(members):
    options = ','.join(f'{key}={value}' for key, value in member.net_options)
    text = models.with_width(member.architecture, member.width)
    groups[f'{text}|{options}'].append(index)
  return dict(groups)
