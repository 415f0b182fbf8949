"""One student of a finished work directory, made ready to leave it."""

from __future__ import annotations

import os
import pathlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from shallow_mimic import __version__, configs, errors, students, training
from shallow_mimic.data import mixtures
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.evaluation.records import (
  Record,
  choose_metric,
  read_records,
  score,
)
from shallow_mimic.pipeline import registered, stages, validation
from shallow_mimic.runs import files, workdir
from shallow_mimic.students import artefact
from shallow_mimic.training.family import Member


class Wanted(NamedTuple):
  """Which student; None or '' leaves a choice, which dev makes."""

  model: str = ''
  width: int | None = None
  seed: int | None = None


def export_student(config: configs.Given, root: os.PathLike | str,
                   wanted: Wanted, target: os.PathLike | str) -> Record:
  """Writes a student as an artefact; see `artefacts.write_artefact`.

  Args:
    config: that of the work directory.
    root: the finished work directory.
    wanted: which student.
    target: the artefact's folder, absent or empty.

  Returns:
    The student's record.

  Raises:
    UserError: the work directory is unfinished, damaged or of another
      configuration, it has no such student, or the target is not empty.
  """
  root = pathlib.Path(root).resolve()
  artefact.check_target(target)
  config = _check_workdir(config, root)
  run = stages.Run(config, root)
  dataset = run.read_dataset()
  if dataset.raw_dtype not in artefact.RAW_DTYPES:
    raise errors.UserError(
        f'{root / "data"} does not say of what type its raw inputs were;'
        ' delete that folder and run again to make it anew')
  folder = root / 'students' / 'final'
  records = read_records(folder / 'records.json')
  index = choose_student(records, wanted, root)
  members = run.read_members(dataset)
  whole = _read_whole(run, dataset, members, index)
  facts = _make_facts(run, dataset, members[index], records[index])
  artefact.write_artefact(target, whole, facts)
  return records[index]


def choose_student(records: Sequence[Record], wanted: Wanted,
                   where: os.PathLike | str) -> int:
  """The place of the student that is best on dev among those wanted.

  Without a model they are the mimics whose name holds no '/'. Those that
  diverged are left out.

  Raises:
    UserError: there is none; the message lists those that there are.
  """
  metric = choose_metric(records)
  found = [
      place for place, r in enumerate(records)
      if not r.diverged and _fits(r, wanted)]
  if not found:
    asked = [wanted.model or 'plain mimic']
    asked += [f'{name} {value}' for name, value in
              (('width', wanted.width), ('seed', wanted.seed))
              if value is not None]
    raise errors.UserError(
        f'no student in {where} is {", ".join(asked)}; known:'
        f' {_list_known(records)}')
  # Of equals the first.
  return max(found, key=lambda i: score(records[i], 'dev', metric))


def _fits(record: Record, wanted: Wanted) -> bool:
  named = (record.model == wanted.model if wanted.model else
           bool(record.teacher) and '/' not in record.model)
  return (named and wanted.width in (None, record.width)
          and wanted.seed in (None, record.seed))


def _list_known(records: Sequence[Record]) -> str:
  widths, seeds = defaultdict(set), defaultdict(set)
  for r in records:
    if not r.diverged:
      widths[r.model].add(r.width)
      seeds[r.model].add(r.seed)
  def join(values):
    return ', '.join(map(str, sorted(values)))
  return '; '.join(f'{model} (widths {join(widths[model])}, seeds'
                   f' {join(seeds[model])})' for model in widths) or 'none'


def _check_workdir(given: configs.Given, root: pathlib.Path) -> configs.Config:
  """UserError unless it is of this configuration, with intact students."""
  config = validation.check_config(given)
  if not (root / 'config.json').exists():
    raise errors.UserError(
        f'{root} is no work directory; name that of a finished run with'
        ' --workdir, or run `launch.run` with it first')
  workdir.check_config(root, registered.make_identity(config))
  for name in ('data', 'students/search', 'students/final'):
    workdir.require(root / name, name.split('/', maxsplit=1)[0])
    workdir.verify(root / name)
  return config


def _read_whole(run: stages.Run, dataset: Dataset, members: Sequence[Member],
                index: int) -> artefact.Whole:
  member = members[index]
  net, params = students.read_student(
      run.root / 'students' / 'final', members, index, dataset)
  normalizer = None
  if member.objective.normalized:
    normalizer = training.fit_normalizer(
        member, dataset, run.read_targets(dataset))
  offsets = dataset.pool('dev').offsets
  return artefact.Whole(
      net, params, dataset.raw_dtype, dataset.fitted,
      0 if offsets is None else len(offsets), normalizer)


def _make_facts(run: stages.Run, dataset: Dataset, member: Member,
                record: Record) -> dict[str, Any]:
  """Who it is and what it comes from, for the manifest."""
  identity = workdir.read_identity(run.root / 'students' / 'final')
  teacher = member.teacher and [
      workdir.read_identity(run.root / 'logits' / member.teacher / name)
      for name in mixtures.set_names(member.mixture)]
  return {
      'model': member.model, 'width': member.width, 'seed': member.seed,
      'objective': member.objective.name, 'teacher': member.teacher,
      'trained_on': member.mixture, 'learning_rate': member.learning_rate,
      'trained_architecture': record.architecture,
      'trained_parameters': record.parameters,
      'metrics': record.metrics,
      'made_from': {
          'data': dataset.name, 'fingerprint': dataset.fingerprint,
          'config': files.digest_json(configs.to_json(run.config)),
          'students': files.digest_json(identity),
          'logits': files.digest_json(teacher) if teacher else '',
          'shallow_mimic': __version__,
      },
  }
