"""All stages in order. Each runs once; what is there is verified and skipped.

data → teachers → ensembles → logits → students → curves, each in a folder of
the work directory that can be deleted and is then made anew alone.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from shallow_mimic import (
    configs,
    curves,
    ensembles,
    errors,
    files,
    fit,
    inputs,
    logits,
    objectives,
    students,
    teachers,
    training,
    workdir,
)
from shallow_mimic.data import dataset as datasets
from shallow_mimic.data import sources
from shallow_mimic.data import store

STAGES = ('data', 'teachers', 'ensembles', 'logits', 'students', 'curves')


def run(config: Any, directory: str | pathlib.Path, *,
        stages: tuple[str, ...] = STAGES,
        say: Callable[[str], None] = print) -> pathlib.Path:
  """Runs the stages named, in order; those before them must be finished.

  Args:
    config: see `configs.default_config`.
    directory: the work directory.
    stages: which stages.
    say: told a line for each stage.

  Returns:
    The path of the report.

  Raises:
    UserError: anything that a user or a machine did wrong.
  """
  configs.check_config(config)
  root = pathlib.Path(directory).resolve()
  workdir.claim(root, configs.to_json(config))
  for stage in stages:
    _RUN[stage](config, root, say)
  return root / 'report' / 'index.html'


def _told(say, stage, done_something):
  say(f'{stage}: {"done" if done_something else "there already, verified"}')


def run_data(config: Any, root: pathlib.Path, say: Callable) -> None:
  """Reads and preprocesses the data once."""
  cache = root / 'tfds'
  made_from = {'source': sources.source_digest(config.data, cache)}

  def work(directory):
    say(f'data: reading {config.data.source} {config.data.name}'.rstrip())
    made = sources.read_source(config.data, cache_dir=cache)
    _check_inputs(config, made)
    store.write_dataset(directory, made)
    workdir.write_identity(directory, {'fingerprint': made.fingerprint})

  _told(say, 'data', workdir.run_once(root / 'data', made_from, work))


def _check_inputs(config, dataset):
  """Every set that the configuration trains on exists and has its labels."""
  known, sets = inputs.set_sizes(dataset), inputs.known_sets(dataset)
  wanted = [(f'teachers.{name}.inputs', group.inputs, True)
            for name, group in config.teachers.items()]
  wanted += [(f'students.curves.{name}.inputs', curve.inputs,
              curve.objective in objectives.NEEDS_LABELS)
             for name, curve in config.students.curves.items()]
  for field, text, labels in wanted:
    for name, _ in inputs.parse_inputs(text, known):
      if labels and (sets[name].y < 0).any():
        raise errors.UserError(
            f'config.{field} is {text!r}, but {name!r} has no labels to train on'
        )


def read_dataset(root: pathlib.Path) -> datasets.Dataset:
  """The data set of a work directory, mapped from disk."""
  _require(root / 'data', 'data')
  return store.read_dataset(root / 'data')


def _require(directory, stage):
  if not (directory / 'done.json').exists():
    raise errors.UserError(
        f'{directory} is not finished; run the stage `{stage}` first'
    )


def run_teachers(config: Any, root: pathlib.Path, say: Callable) -> None:
  """Trains every group of teachers."""
  dataset = read_dataset(root)
  for name, group in config.teachers.items():
    made_from = {'data': dataset.fingerprint}
    work = lambda directory, name=name, group=group: teachers.write_teachers(
        directory, name, group, dataset, make_settings(config, group)
    )
    _told(say, f'teachers {name}',
          workdir.run_once(root / 'teachers' / name, made_from, work))


def make_settings(config: Any, section: Any, *, steps: int = 0) -> fit.Settings:
  """How a section's nets are trained; `steps` overrides the section's."""
  steps = steps or section.steps
  return fit.Settings(
      recipe=training.Recipe(
          steps=steps, batch=section.batch, optimizer=section.optimizer,
          momentum=section.momentum, warmup=section.warmup, clip=section.clip,
      ),
      eval_every=min(section.eval_every, steps), base_seed=config.seed,
      waste=config.students.waste, split=config.parallel.split,
      devices=config.parallel.devices,
      save_seconds=config.parallel.save_seconds,
  )


def read_members(config: Any, root: pathlib.Path, dataset: datasets.Dataset,
                 ensemble: Any) -> tuple[dict[str, Any], dict[str, str]]:
  """(net, params) and digest of each teacher of an ensemble."""
  nets, digests = {}, {}
  for text in ensemble.members:
    name, _, index = text.partition(':')
    _require(root / 'teachers' / name, 'teachers')
    net, params = teachers.read_teachers(
        root / 'teachers' / name, name, config.teachers[name], dataset
    )
    theirs = workdir.read_identity(root / 'teachers' / name)
    first = config.teachers[name].first_seed
    for place in [int(index)] if index else range(len(params)):
      label = f'{name}:{first + place}'
      nets[label], digests[label] = (net, params[place]), theirs[label]
  return nets, digests


def run_ensembles(config: Any, root: pathlib.Path, say: Callable) -> None:
  """Averages teachers; keeps their logits on dev and test."""
  dataset = read_dataset(root)
  for name, ensemble in config.ensembles.items():
    nets, digests = read_members(config, root, dataset, ensemble)
    made_from = {'data': dataset.fingerprint, 'teachers': digests}
    work = lambda directory, name=name, ensemble=ensemble, nets=nets, \
        digests=digests: ensembles.write_ensemble(
            directory, name, ensemble.space, nets, digests, dataset)
    _told(say, f'ensembles {name}',
          workdir.run_once(root / 'ensembles' / name, made_from, work))


def used_teachers(config: Any) -> dict[str, list[str]]:
  """The inputs that each ensemble has to label, by its name."""
  used: dict[str, list[str]] = {}
  for curve in config.students.curves.values():
    if curve.objective in objectives.NEEDS_TEACHER:
      used.setdefault(curve.teacher, []).append(curve.inputs)
  return {name: used[name] for name in config.ensembles if name in used}


def make_origin(config: Any, root: pathlib.Path, dataset: datasets.Dataset,
                name: str) -> dict[str, Any]:
  """What the cache of an ensemble belongs to."""
  _require(root / 'ensembles' / name, 'ensembles')
  layout = inputs.make_layout(
      used_teachers(config)[name], inputs.set_sizes(dataset)
  )
  return logits.make_origin(
      dataset, workdir.read_identity(root / 'ensembles' / name), layout,
      part_rows=config.logits.part_rows, dtype=config.logits.dtype,
  )


def run_logits(config: Any, root: pathlib.Path, say: Callable) -> None:
  """Writes the logit cache of every ensemble that students imitate."""
  dataset = read_dataset(root)
  for name in used_teachers(config):
    origin = make_origin(config, root, dataset, name)
    ensemble = config.ensembles[name]

    def work(directory, name=name, origin=origin, ensemble=ensemble):
      nets, _ = read_members(config, root, dataset, ensemble)
      apply = lambda x: ensembles.apply_ensemble(
          list(nets.values()), x, ensemble.space)
      logits.write_logits(directory, origin, dataset, apply,
                          stage=f'logits {name}')

    _told(say, f'logits {name}',
          workdir.run_once(root / 'logits' / name, origin, work))


def run_students(config: Any, root: pathlib.Path, say: Callable) -> None:
  """Searches learning rates on dev, then trains the family."""
  dataset = read_dataset(root)
  used = used_teachers(config)
  targets = lambda: {
      name: logits.read_logits(root / 'logits' / name,
                               make_origin(config, root, dataset, name))
      for name in used
  }
  for name in used:
    _require(root / 'logits' / name, 'logits')
  made_from = {'data': dataset.fingerprint, 'logits': {
      name: workdir.read_identity(root / 'logits' / name) for name in used}}

  def search(directory):
    section = config.students
    students.write_search(
        directory, students.make_members(section, seeds=section.search_seeds),
        dataset, targets(),
        make_settings(config, section, steps=section.search_steps),
    )

  folder = root / 'students' / 'search'
  _told(say, 'students search', workdir.run_once(folder, made_from, search))
  rates = students.read_rates(folder)

  def train(directory):
    section = config.students
    students.write_students(
        directory,
        students.make_members(section, seeds=section.seeds, rates=rates),
        dataset, targets(), _teacher_logits(config, root),
        make_settings(config, section),
    )

  made_from = {**made_from, 'search': workdir.read_identity(folder)}
  _told(say, 'students', workdir.run_once(
      root / 'students' / 'final', made_from, train))


def _teacher_logits(config, root) -> dict[str, dict[str, np.ndarray]]:
  return {split: {name: ensembles.read_ensemble_logits(
      root / 'ensembles' / name, split) for name in config.ensembles}
          for split in ('dev', 'test')}


def read_records(config: Any, root: pathlib.Path) -> list[dict[str, Any]]:
  """The records of every stage, teachers first."""
  folders = [root / 'teachers' / name for name in config.teachers]
  folders += [root / 'ensembles' / name for name in config.ensembles]
  folders += [root / 'students' / 'search', root / 'students' / 'final']
  for folder in folders:
    _require(folder, folder.relative_to(root).parts[0])
  return [record for folder in folders
          for record in files.read_json(folder / 'records.json')]


def run_curves(config: Any, root: pathlib.Path, say: Callable) -> None:
  """Writes results.csv, the figures, the tables and index.html."""
  records = read_records(config, root)

  def work(directory):
    curves.write_report(
        directory, records, title=config.title or root.name,
        notes=tuple(config.report.notes),
        figure_width=config.report.figure_width or None,
        paper_rows=tuple(map(dict, config.report.paper)),
    )

  made_from = {'records': files.digest_json(records)}
  _told(say, 'curves', workdir.run_once(root / 'report', made_from, work))
  say((root / 'report' / 'table.txt').read_text().rstrip())


_RUN = {
    'data': run_data, 'teachers': run_teachers, 'ensembles': run_ensembles,
    'logits': run_logits, 'students': run_students, 'curves': run_curves,
}
