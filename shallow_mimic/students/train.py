"""Stage 4: the family of shallow students, on cached logits and on labels.

Widths × seeds × curves train in one program. The learning rate (and weight
decay) of every curve and width is first searched in a shorter run, in one
program too, and chosen on dev.
"""

from __future__ import annotations

import functools
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shallow_mimic import training
from shallow_mimic.data import mixtures
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.mixtures import Targets
from shallow_mimic.runs import files
from shallow_mimic.training import family, kept_nets, rounds
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
  """How the final students are trained.

  Nothing is judged: they are compared to teachers that may change, see
  `scores`.
  """
  return rounds.plan_work('students', functools.partial(
      gather, dataset, read_targets, settings.memory), settings)


def gather(dataset: Dataset, read_targets: ReadTargets, memory: float,
           members: Sequence[family.Member]) -> training.FamilyData:
  """What a family of students trains on; see `gather_family_data`."""
  taught = dict.fromkeys(m.teacher for m in members if m.teacher)
  return training.gather_family_data(
      members, dataset, read_targets(list(taught)), memory)
