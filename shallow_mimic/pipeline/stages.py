"""All stages in order. Each runs once; what is there is verified and skipped.

data → teachers → ensembles → logits → students (→ latencies) → curves, each in
a folder of the work directory that can be deleted and is then made anew alone.
With `data.speech.realign` the stage `teachers` begins with as many rounds of
realignment, and what follows trains on the labels of the last.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable
from typing import Any

from shallow_mimic import (
  configs,
  curves,
  ensembles,
  logits,
  students,
  teachers,
  training,
)
from shallow_mimic.data import store
from shallow_mimic.data.sources import read
from shallow_mimic.evaluation import latencies
from shallow_mimic.pipeline import finished, teaching, validation
from shallow_mimic.runs import files, parts, workdir
from shallow_mimic.teachers import realignment
from shallow_mimic.training import parallel

STAGES = ('data', 'teachers', 'ensembles', 'logits', 'students', 'latencies',
          'curves')


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
  validation.check_config(config)
  root = pathlib.Path(directory).resolve()
  with workdir.hold(root):
    workdir.claim(root, configs.to_json(config))
    _verify_before(root, stages[0])
    for stage in stages:
      _RUN[stage](config, root, say)
  return root / 'report' / 'index.html'


def _verify_before(root, stage):
  """Verifies what the stages before left, where they are not run again."""
  earlier = STAGES[:STAGES.index(stage)]
  for name in (*earlier, 'realignments') if earlier else ():
    for done in sorted((root / name).rglob('done.json')):
      workdir.verify(done.parent)


def _told(say, stage, done_something):
  say(f'{stage}: {"done" if done_something else "there already, verified"}')


def run_data(config: Any, root: pathlib.Path, say: Callable) -> None:
  """Reads and preprocesses the data once."""
  cache = root / 'tfds'
  settings = configs.to_json(config)['data']
  for place in ('path', 'data_dir'):  # What is there has a digest of its own.
    del settings[place]
  made_from = {'source': read.source_digest(config.data),
               'settings': files.digest_json(settings)}

  def work(directory):
    say(f'data: reading {config.data.source} {config.data.name}'.rstrip())
    made = read.read_source(config.data, cache_dir=cache,
                               directory=directory)
    validation.check_inputs(config, made)
    validation.check_nets(config, made)
    store.write_dataset(directory, made)
    workdir.write_identity(directory, {'fingerprint': made.fingerprint})

  # A file that was refused may have been mended.
  _told(say, 'data', workdir.run_once(
      root / 'data', made_from, work, discard=parts.discard))


def run_realignments(config: Any, root: pathlib.Path, say: Callable) -> None:
  """Finds the labels of the training utterances anew, round by round."""
  for done in range(config.data.speech.realign):
    dataset = finished.read_dataset(config, root, done)
    member, settings = realignment.make_aligner(config)
    stage, folder = f'realign {done + 1}', root / 'realignments' / str(done + 1)
    work = lambda directory, stage=stage, dataset=dataset: \
        realignment.write_realignment(
            directory, stage, member, dataset, settings)
    _told(say, stage, workdir.run_once(
        folder, {'data': dataset.fingerprint}, work))
    changed = files.read_json(folder / 'changes.json')['train']
    say(f'{stage}: {100 * changed:.1f} % of the training frames changed state')


def run_teachers(config: Any, root: pathlib.Path, say: Callable) -> None:
  """Trains every group of teachers, on realigned labels if so configured."""
  validation.check_batches(
      config, len(parallel.choose_devices(config.parallel.devices)))
  run_realignments(config, root, say)
  dataset = finished.read_dataset(config, root)
  for name, group in config.teachers.items():
    made_from = {'data': dataset.fingerprint}
    work = lambda directory, name=name, group=group: teachers.write_teachers(
        directory, name, group, dataset, training.make_settings(config, group)
    )
    _told(say, f'teachers {name}',
          workdir.run_once(root / 'teachers' / name, made_from, work))


def run_ensembles(config: Any, root: pathlib.Path, say: Callable) -> None:
  """Averages teachers; keeps their logits on dev and test."""
  dataset = finished.read_dataset(config, root)
  for name, ensemble in config.ensembles.items():
    members = finished.read_members(config, root, dataset, ensemble)
    made_from = {'data': dataset.fingerprint,
                 'teachers': ensembles.identify(ensemble.space, members)}
    work = lambda directory, name=name, ensemble=ensemble, members=members: \
        ensembles.write_ensemble(
            directory, name, ensemble.space, members, dataset)
    _told(say, f'ensembles {name}',
          workdir.run_once(root / 'ensembles' / name, made_from, work))


def run_logits(config: Any, root: pathlib.Path, say: Callable) -> None:
  """Writes the logit cache of every ensemble that students imitate."""
  dataset = finished.read_dataset(config, root)
  for name in teaching.used_teachers(config):
    origin = finished.make_origin(config, root, dataset, name)
    ensemble = config.ensembles[name]

    def work(directory, name=name, origin=origin, ensemble=ensemble):
      members = finished.read_members(config, root, dataset, ensemble)
      apply = lambda x, folds: ensembles.apply_ensemble(
          list(members.values()), x, ensemble.space, folds)
      logits.write_logits(directory, origin, dataset, apply,
                          stage=f'logits {name}')

    _told(say, f'logits {name}',
          workdir.run_once(root / 'logits' / name, origin, work))


def run_students(config: Any, root: pathlib.Path, say: Callable) -> None:
  """Searches learning rates on dev, then trains the family."""
  dataset = finished.read_dataset(config, root)
  used = teaching.used_teachers(config)
  make_members = functools.partial(
      students.make_members, input_shape=dataset.input_shape,
      classes=dataset.classes)

  def targets():
    return {name: logits.read_logits(
        root / 'logits' / name,
        finished.make_origin(config, root, dataset, name)) for name in used}

  for name in used:
    workdir.require(root / 'logits' / name, 'logits')
  made_from = {'data': dataset.fingerprint, 'logits': {
      name: workdir.read_identity(root / 'logits' / name) for name in used}}

  def search(directory):
    section = config.students
    students.write_search(
        directory, make_members(section, seeds=section.search_seeds),
        dataset, targets(),
        training.make_settings(config, section, steps=section.search_steps),
    )

  folder = root / 'students' / 'search'
  _told(say, 'students search', workdir.run_once(folder, made_from, search))
  rates = students.read_rates(folder)

  def train(directory):
    section = config.students
    students.write_students(
        directory, make_members(section, seeds=section.seeds, rates=rates),
        dataset, targets(), finished.read_teacher_logits(config, root),
        training.make_settings(config, section),
        independent=teaching.find_independent(config),
    )

  made_from = {**made_from, 'search': workdir.read_identity(folder)}
  _told(say, 'students', workdir.run_once(
      root / 'students' / 'final', made_from, train))


def run_latencies(config: Any, root: pathlib.Path, say: Callable) -> None:
  """Times every net, where `report.latency` asks for it."""
  if not config.report.latency:
    return
  dataset = finished.read_dataset(config, root)
  subjects = finished.make_subjects(config, root, dataset)
  made_from = {'nets': files.digest_json(
      [[list(key), repr(forms)] for key, forms in subjects.items()])}
  work = lambda directory: latencies.write_latencies(
      directory, subjects, ensembles.ensemble_logits)
  _told(say, 'latencies',
        workdir.run_once(root / 'latencies', made_from, work))


def run_curves(config: Any, root: pathlib.Path, say: Callable) -> None:
  """Writes results.csv, the figures, the tables and index.html."""
  records = finished.read_records(config, root)

  def work(directory):
    curves.write_report(
        directory, records, title=config.title or root.name,
        notes=tuple(config.report.notes),
        figure_width=config.report.figure_width or None,
        paper_rows=tuple(map(dict, config.report.paper)),
    )

  made_from = {'records': files.digest_json(records)}
  _told(say, 'curves', workdir.run_once(root / 'report', made_from, work))
  say((root / 'report' / 'table.txt').read_text(
      encoding='utf-8').rstrip())


_RUN = {
    'data': run_data, 'teachers': run_teachers, 'ensembles': run_ensembles,
    'logits': run_logits, 'students': run_students, 'latencies': run_latencies,
    'curves': run_curves,
}
