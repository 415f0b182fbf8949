"""One student of a finished work directory, made ready to leave it."""

from __future__ import annotations

import os
import pathlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from shallow_mimic import configs, errors, training
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.evaluation.records import Record, choose_metric, score
from shallow_mimic.pipeline import stages
from shallow_mimic.pipeline.run import Run
from shallow_mimic.students import artefact
from shallow_mimic.training import family, kept_nets


class Wanted(NamedTuple):
  """Which student; None or '' leaves a choice, which dev makes."""

  model: str = ''
  width: int | None = None
  seed: int | None = None


def export_student(root: os.PathLike | str, wanted: Wanted,
                   target: os.PathLike | str, *,
                   config: configs.Given | None = None) -> Record:
  """Writes a student as an artefact; see `artefacts.write_artefact`.

  Args:
    root: the finished work directory.
    wanted: which student.
    target: the artefact's folder, absent or empty.
    config: as whose result the directory is read; None: that of its last run.

  Returns:
    The student's record.

  Raises:
    UserError: the work directory is unfinished, damaged or of another
      configuration, it has no such student, or the target is not empty.
  """
  root = pathlib.Path(root).resolve()
  artefact.check_target(target)
  run = stages.read_run(root, config=config)
  dataset = run.dataset
  if dataset.raw_dtype not in artefact.RAW_DTYPES:
    raise errors.UserError(
        f'{root / "data"} does not say of what type its raw inputs were;'
        ' delete that folder and run again to make it anew')
  nets, records = run.list_students(), run.read_scores()
  index = choose_student(records, wanted, root)
  artefact.write_artefact(
      target, _read_whole(run, dataset, nets[index]),
      _make_facts(run, dataset, nets[index], records[index]))
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


def _read_whole(run: Run, dataset: Dataset, net: kept_nets.Wanted,
                ) -> artefact.Whole:
  member = net.member
  problem = dataset.input_shape, dataset.classes
  _, fitted = kept_nets.read_net(run.root, net, *problem)
  normalizer = None
  if member.objective.normalized:
    normalizer = training.fit_normalizer(
        member, dataset, run.read_targets([member.teacher]))
  offsets = dataset.pool('dev').offsets
  return artefact.Whole(
      family.member_net(member, *problem), fitted.params, dataset.raw_dtype,
      dataset.fitted, 0 if offsets is None else len(offsets), normalizer)


def _make_facts(run: Run, dataset: Dataset, net: kept_nets.Wanted,
                record: Record) -> dict[str, Any]:
  """Who it is and what it comes from, for the manifest."""
  member, found = net.member, kept_nets.require_net(run.root, net)
  return {
      'model': member.model, 'width': member.width, 'seed': member.seed,
      'objective': member.objective.name, 'teacher': member.teacher,
      'trained_on': member.mixture, 'learning_rate': member.learning_rate,
      'trained_architecture': record.architecture,
      'trained_parameters': record.parameters,
      'metrics': record.metrics,
      'made_from': {
          'data': dataset.name, 'fingerprint': dataset.fingerprint,
          'net': found.identity,
          'teacher': (run.identities[member.teacher] if member.teacher
                      else None),
      },
      'trained_with': found.made_with,
  }
