"""All stages in order. What is there is verified and kept, the rest is made.

data → teachers → ensembles → logits → students (→ latencies) → curves, each in
a folder of the work directory. With `data.speech.realign` the stage `teachers`
begins with as many rounds of realignment, and what follows trains on the
labels of the last.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from shallow_mimic import (
  configs,
  curves,
  data,
  ensembles,
  errors,
  logits,
  students,
  teachers,
  training,
)
from shallow_mimic.data import store
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.evaluation import fidelity, latencies
from shallow_mimic.evaluation.records import Record
from shallow_mimic.pipeline import changes, registered, validation
from shallow_mimic.pipeline.run import Run, search_settings
from shallow_mimic.runs import files, kept, parts, versions, workdir
from shallow_mimic.runs.workdir import Part
from shallow_mimic.students import Scores
from shallow_mimic.teachers import realignment
from shallow_mimic.training import kept_nets, parallel
from shallow_mimic.training.kept_nets import Wanted
from shallow_mimic.training.rounds import Nets

# Each is made in turn; it is asked for when those before it are finished.
Parts = Iterator[Part | Nets | Scores]


@dataclasses.dataclass(frozen=True)
class Stage:
  """One step of the pipeline.

  Attributes:
    name: what a user calls it.
    parts: gives its parts; each is finished before it is asked for the next.
  """

  name: str
  parts: Callable[[Run], Parts]


def run(config: configs.Given, directory: str | pathlib.Path, *,
        stages: Sequence[str] | None = None, redo: Sequence[str] = (),
        say: Callable[[str], None] = print) -> pathlib.Path:
  """Runs the stages named, in order; those that they need must be finished.

  What is there and fits is verified and kept. What does not fit is made again
  where that is quick; trained nets are refused, unless their stage, or one
  before it, is to be done again.

  Args:
    config: see `configs.default_config`.
    directory: the work directory.
    stages: which stages, by their names in any order; None for all.
    redo: stages whose nets are moved aside where they do not fit, and made
      anew.
    say: told a line for each stage.

  Returns:
    The path of the report.

  Raises:
    UserError: anything that a user or a machine did wrong.
  """
  chosen = choose_stages(STAGES if stages is None else stages)
  again = choose_stages(redo) if redo else []
  for stage in again:
    if stage not in chosen:
      raise errors.UserError(
          f'the stage `{stage.name}` is to be done again, but is not among'
          f' those that are to run: {", ".join(one.name for one in chosen)}')
  config = validation.check_config(config)
  root = pathlib.Path(directory).resolve()
  with workdir.hold(root, say):
    workdir.check_ours(root)
    names = [stage.name for stage in again]
    here = Run(config, root, say, tuple(
        name for name in STAGES[STAGES.index(names[0]):]) if names else ())
    stale = changes.check_changes(here, [stage.name for stage in chosen])
    for name in names:
      if name not in stale:  # So after a stop: the same command goes on.
        say(f'{name}: no net is to be replaced')
    workdir.write_config(root, registered.make_identity(config))
    if chosen[0].name != 'data':
      workdir.require(root / 'data', 'data')
    for stage in chosen:
      for part in stage.parts(here):
        part.make(root, say)
  return root / 'report' / 'index.html'


def read_run(directory: str | pathlib.Path, *,
             config: configs.Given | None = None, partial: bool = False,
             say: Callable[[str], None] = print) -> Run:
  """A work directory, to read what is there; its data are verified.

  Args:
    directory: the work directory.
    config: as whose result it is read; None: that of its last run.
    partial: whether students that are not there yet are left out.
    say: told what a user wants to read.

  Raises:
    UserError: it is none, it is damaged, or a field of the configuration is
      not what it may be.
  """
  root = pathlib.Path(directory).resolve()
  if config is None:
    config = registered.read_last_config(root)
  else:
    workdir.read_config(root)  # Where it is none, that is said first.
  here = Run(validation.check_config(config), root, say, partial=partial)
  workdir.require(root / 'data', 'data')
  return here


def write_report(directory: str | pathlib.Path, *,
                 config: configs.Given | None = None,
                 say: Callable[[str], None] = print) -> pathlib.Path:
  """Draws the report of what is there, finished or not; see `read_run`.

  Returns:
    The path of index.html.
  """
  root = pathlib.Path(directory).resolve()
  with workdir.hold(root, say):
    part = make_report(read_run(root, config=config, partial=True, say=say))
    workdir.check_place(root, part.folder)
    # Another version of this program may draw the same otherwise.
    kept.write_whole(part.folder, part.work, part.made_from)
  return root / 'report' / 'index.html'


def choose_stages(names: Sequence[str]) -> list[Stage]:
  """The stages of some names, in the order in which they run.

  Raises:
    UserError: there is no such stage, or no name at all.
  """
  known = ', '.join(STAGES)
  for name in names:
    if name not in STAGES:
      raise errors.UserError(f'there is no stage {name!r}; known: {known}')
  if not names:
    raise errors.UserError(f'no stage is named; name one or more of {known}')
  return [stage for stage in _STAGES if stage.name in names]


def read_data(run: Run) -> Parts:
  """Reads and preprocesses the data once."""
  section = run.config.data

  def work(directory: pathlib.Path) -> tuple[Any, Sequence[str]]:
    run.say(f'data: reading {section.source} {section.name}'.rstrip())
    workdir.check_place(run.root, run.root / 'tfds')
    made = data.read_source(
        section, cache_dir=run.root / 'tfds', directory=directory,
        digest=run.data_origin['source'])
    validation.check_inputs(run.config, made)
    validation.check_nets(run.config, made)
    names = store.write_dataset(directory, made)
    return {'digests': dict(made.digests)}, names

  # A file that was refused may have been mended.
  yield Part('data', run.root / 'data', run.data_origin, work,
             resumed=True, discard=parts.discard)


def train_teachers(run: Run) -> Parts:
  """Trains every group of teachers, on realigned labels if so configured."""
  config = run.config
  validation.check_batches(
      config, len(parallel.choose_devices(config.parallel.devices)))
  yield from _realign(run)
  for name, group in config.teachers.items():
    settings = training.make_settings(config, group)
    yield Nets(run.list_teachers(name), teachers.plan_teachers(
        name, group, run.dataset, settings), 'teachers' in run.replaced)


def _realign(run: Run) -> Parts:
  """Finds the labels of the training utterances anew, round by round."""
  config, root = run.config, run.root
  for number in range(1, config.data.speech.realign + 1):
    dataset = teachers.read_dataset(config, root, number - 1)
    wanted = realignment.want_aligner(config, number, dataset)
    _, settings = realignment.make_aligner(config)
    yield Nets([wanted], realignment.plan_aligner(number, dataset, settings),
               'teachers' in run.replaced)
    folder = realignment.labels_folder(root, number)
    yield Part(f'realign {number} labels', folder,
               realignment.say_origin(root, wanted, dataset),
               partial(_write_labels, root, wanted, dataset))
    changed = files.read_json(folder / realignment.CHANGES)['train']
    run.say(f'realign {number}: {100 * changed:.1f} % of the training frames'
            ' changed state')


def _write_labels(root: pathlib.Path, wanted: Wanted, dataset: Dataset,
                  directory: pathlib.Path) -> Any:
  net, params, _, _ = teachers.read_teacher(root, wanted, dataset)
  return realignment.write_labels(directory, net, params, dataset)


def average_teachers(run: Run) -> Parts:
  """Averages teachers; keeps their logits on dev and test."""
  def work(directory: pathlib.Path, name: str, space: str) -> Any:
    return ensembles.write_ensemble(
        directory, name, space, run.read_members(name), run.dataset)

  for name, ensemble in run.config.ensembles.items():
    yield Part(
        f'ensembles {name}', run.root / 'ensembles' / name,
        run.say_ensemble_origin(name),
        partial(work, name=name, space=ensemble.space))


def cache_logits(run: Run) -> Parts:
  """Writes the logit caches of every ensemble that students imitate."""
  for name in students.find_taught(run.config):
    for key, rows in run.list_caches(name).items():
      origin = run.say_cache_origin(name, key)
      yield Part(
          f'logits {name} {key}', run.root / 'logits' / name / key, origin,
          partial(_write_logits, run, name, origin, rows),
          resumed=True, enough=partial(_has_rows, rows))


def _write_logits(run: Run, name: str, origin: Mapping[str, Any], rows: int,
                  directory: pathlib.Path) -> tuple[Any, Sequence[str]]:
  members = list(run.read_members(name).values())
  apply = partial(ensembles.apply_ensemble, members,
                  space=run.config.ensembles[name].space)
  parts_written = logits.write_logits(
      directory, origin, rows, run.dataset, apply,
      part_rows=run.config.logits.part_rows,
      stage=f'logits {name} {origin["set"]}')
  return {'rows': rows}, [logits.MANIFEST, *parts_written]


def _has_rows(rows: int, identity: Any) -> bool:
  """Whether a finished cache has as many rows as are wanted."""
  return identity['rows'] >= rows


def train_students(run: Run) -> Parts:
  """Searches learning rates on dev, trains the family, judges it."""
  config, replace = run.config, 'students' in run.replaced
  for name in students.find_taught(config):
    for key in run.list_caches(name):
      workdir.require(run.root / 'logits' / name / key, 'logits')
  yield Nets(run.list_searched(), students.plan_search(
      run.dataset, run.read_targets, search_settings(config)), replace)
  settings = training.make_settings(config, config.students)
  yield Nets(run.list_students(), students.plan_students(
      run.dataset, run.read_targets, settings), replace)
  yield Scores(*run.list_scores(), partial(_judge, run))


def _judge(run: Run, nets: Sequence[Wanted]) -> Sequence[Mapping[str, Any]]:
  """The scores of some final students."""
  dataset, config = run.dataset, run.config
  problem = dataset.input_shape, dataset.classes
  for name in students.rank_teachers(config):
    workdir.require(run.root / 'ensembles' / name, 'ensembles',
                    run.say_ensemble_origin(name))
  said = {split: {name: ensembles.read_ensemble_logits(
      run.root / 'ensembles' / name, split)
                  for name in students.rank_teachers(config)}
          for split in ('dev', 'test')}
  targets = run.read_targets(list(students.find_taught(config)))
  bench = fidelity.make_bench(
      dataset, targets, said, ensembles.find_independent(config), config.seed)
  fitted = [kept_nets.read_net(run.root, net, *problem)[1] for net in nets]
  return students.judge_students(
      [net.member for net in nets], fitted, dataset, targets, bench)


def measure_latencies(run: Run) -> Parts:
  """Times every net, where `report.latency` asks for it."""
  if not run.config.report.latency:
    return
  yield Part('latencies', run.root / 'latencies', run.say_latency_origin(),
             partial(latencies.write_latencies, subjects=run.find_subjects(),
                     combine=ensembles.ensemble_logits))


def draw_curves(run: Run) -> Parts:
  """Writes results.csv, the figures, the tables and index.html."""
  yield make_report(run)
  run.say((run.root / 'report' / 'table.txt').read_text(
      encoding='utf-8').rstrip())


def make_report(run: Run) -> Part:
  """The report of a work directory; see `find_contents`."""
  told = find_contents(run)
  for line in registered.say_lost_sections(run.root / 'report'):
    run.say(line)
  made_from = {**told, 'records': digest_records(told['records']),
               'sections': curves.find_versions()}

  def work(directory: pathlib.Path) -> str:
    curves.write_report(directory, **told)
    return made_from['records']

  return Part('curves', run.root / 'report', made_from, work, redrawn=True)


def find_contents(run: Run) -> dict[str, Any]:
  """What `curves.write_report` is told of a work directory, by name."""
  report, shown = run.config.report, run.read_records()
  notes = [*report.notes, *registered.say_registered(run.config)]
  if differ := versions.say_differences(shown.made_with):
    notes.append(differ)
    run.say(differ)
  if shown.missing:
    notes.append(f'{shown.missing} students are not trained yet.')
  return {
      'records': shown.records, 'title': run.config.title or run.root.name,
      'notes': tuple(notes), 'figure_width': report.figure_width or None,
      'paper_rows': tuple(map(dict, report.paper)),
      'main_teacher': students.rank_teachers(run.config)[0]}


def digest_records(records: Sequence[Record]) -> str:
  """SHA-256 of records, in their order."""
  return files.digest_json([r.to_json() for r in records])


_STAGES = (
    Stage('data', read_data),
    Stage('teachers', train_teachers),
    Stage('ensembles', average_teachers),
    Stage('logits', cache_logits),
    Stage('students', train_students),
    Stage('latencies', measure_latencies),
    Stage('curves', draw_curves),
)
STAGES = tuple(stage.name for stage in _STAGES)
