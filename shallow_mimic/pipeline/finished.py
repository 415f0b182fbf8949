"""What one stage hands to the next, read from the work directory."""

from __future__ import annotations

import collections
import pathlib
from typing import Any

import numpy as np

from shallow_mimic import (
  configs,
  ensembles,
  logits,
  models,
  students,
  teachers,
)
from shallow_mimic.data import dataset as datasets
from shallow_mimic.data import mixtures, store
from shallow_mimic.evaluation import latencies
from shallow_mimic.pipeline.teaching import used_teachers
from shallow_mimic.runs import files, workdir
from shallow_mimic.runs.workdir import require
from shallow_mimic.teachers import realignment
from shallow_mimic.training import family, objectives


def read_dataset(config: configs.Config, root: pathlib.Path,
                 rounds: int | None = None) -> datasets.Dataset:
  """The data set of a work directory, mapped from disk.

  Args:
    config: the configuration.
    root: the work directory.
    rounds: of realignment, whose labels are wanted; None for the last.
  """
  require(root / 'data', 'data')
  rounds = config.data.speech.realign if rounds is None else rounds
  dataset = store.read_dataset(root / 'data')
  for done in range(rounds):
    folder = root / 'realignments' / str(done + 1)
    require(folder, 'teachers')
    dataset = realignment.read_realignment(folder, dataset)
  return dataset


def read_members(config: configs.Config, root: pathlib.Path,
                 dataset: datasets.Dataset, ensemble: configs.Ensemble,
                 ) -> dict[str, ensembles.Teacher]:
  """The teachers of an ensemble by name, GROUP:PLACE as in the config."""
  members: dict[str, ensembles.Teacher] = {}
  for text in ensemble.members:
    name = text.partition(':')[0]
    require(root / 'teachers' / name, 'teachers')
    net, params = teachers.read_teachers(
        root / 'teachers' / name, name, config.teachers[name], dataset
    )
    theirs = workdir.read_identity(root / 'teachers' / name)
    trained = teachers.make_members(name, config.teachers[name])
    for place in ensembles.pick_members({name: range(len(params))}, text):
      label = f'{name}:{place}'
      _, held_out = mixtures.split_fold(trained[place].inputs)
      members[label] = ensembles.Teacher(
          net, params[place], theirs[label],
          held_out if ensemble.out_of_fold else None)
  return ensembles.add_mirrored(members) if ensemble.mirror else members


def make_origin(config: configs.Config, root: pathlib.Path,
                dataset: datasets.Dataset, name: str) -> dict[str, Any]:
  """What the cache of an ensemble belongs to."""
  require(root / 'ensembles' / name, 'ensembles')
  layout = mixtures.make_layout(
      used_teachers(config)[name], mixtures.set_sizes(dataset)
  )
  return logits.make_origin(
      dataset, workdir.read_identity(root / 'ensembles' / name), layout,
      part_rows=config.logits.part_rows, dtype=config.logits.dtype,
  )


def read_teacher_logits(
    config: configs.Config, root: pathlib.Path,
) -> dict[str, dict[str, np.ndarray]]:
  """Logits [N, C] of every ensemble on dev and test, the main one first.

  That is the one of most plain mimics, as in `summaries.main_teacher`.
  """
  section = config.students
  sizes = section.parameters or section.widths
  taught = {name: curve for name, curve in section.curves.items()
            if curve.objective in objectives.NEEDS_TEACHER}
  plain = {name: curve for name, curve in taught.items() if '/' not in name}
  uses: collections.Counter[str] = collections.Counter()
  for curve in (plain or taught).values():
    uses[curve.teacher] += len(curve.parameters or curve.widths or sizes)
  size = lambda name: len(config.ensembles[name].members)
  names = sorted(sorted(config.ensembles, reverse=True),
                 key=lambda name: (-uses[name], -size(name)))
  return {split: {name: ensembles.read_ensemble_logits(
      root / 'ensembles' / name, split) for name in names}
          for split in ('dev', 'test')}


def read_records(config: configs.Config,
                 root: pathlib.Path) -> list[dict[str, Any]]:
  """The records of every stage, teachers first."""
  folders = [root / 'teachers' / name for name in config.teachers]
  folders += [root / 'ensembles' / name for name in config.ensembles]
  folders += [root / 'students' / 'search', root / 'students' / 'final']
  for folder in folders:
    require(folder, folder.relative_to(root).parts[0])
  records = [record for folder in folders
             for record in files.read_json(folder / 'records.json')]
  if not config.report.latency:
    return records
  require(root / 'latencies', 'latencies')
  timed = latencies.read_latencies(root / 'latencies')
  key = lambda record: (record['role'], record['model'], record['width'])
  return [record | timed[key(record)] if record['phase'] == 'final' else record
          for record in records]


def make_subjects(
    config: configs.Config, root: pathlib.Path, dataset: datasets.Dataset,
) -> dict[tuple[str, str, int], dict[str, latencies.Subject]]:
  """What is timed: teachers, ensembles, students with bottleneck absorbed."""
  problem = dataset.input_shape, dataset.classes
  subjects, deep = {}, {}
  for name, group in config.teachers.items():
    members = teachers.make_members(name, group)
    deep[name] = [family.member_net(member, *problem) for member in members]
    subjects['teacher', name, 0] = {'': latencies.make_subject(deep[name][:1])}
  for name, ensemble in config.ensembles.items():
    nets = [net for text in ensemble.members
            for net in ensembles.pick_members(deep, text)]
    subjects['ensemble', name, 0] = {
        '': latencies.make_subject(
            nets * (1 + ensemble.mirror), ensemble.space)}
  require(root / 'students' / 'search', 'students')
  for member in students.make_members(
      config.students, *problem, seeds=1,
      rates=students.read_rates(root / 'students' / 'search')):
    net = family.member_net(member, *problem)
    absorbed = models.without_bottlenecks(net)
    forms = {'': latencies.make_subject([absorbed])}
    if absorbed != net:
      forms['_factored'] = latencies.make_subject([net])
    subjects['student', member.model, member.width] = forms
  return subjects
