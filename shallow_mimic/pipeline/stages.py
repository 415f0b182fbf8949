"""All stages in order. Each runs once; what is there is verified and skipped.

data → teachers → ensembles → logits → students (→ latencies) → curves, each in
a folder of the work directory that can be deleted and is then made anew alone.
With `data.speech.realign` the stage `teachers` begins with as many rounds of
realignment, and what follows trains on the labels of the last.
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
  models,
  students,
  teachers,
  training,
)
from shallow_mimic.data import mixtures, store
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.mixtures import Targets
from shallow_mimic.evaluation import latencies, records
from shallow_mimic.pipeline import registered, validation
from shallow_mimic.runs import files, parts, workdir
from shallow_mimic.teachers import realignment
from shallow_mimic.training import family, parallel


@dataclasses.dataclass(frozen=True)
class Part:
  """What is made once, in a folder of its own.

  Attributes:
    name: in words.
    folder: where its files lie.
    made_from: names and digests of all that it depends on.
    work: writes its files to a folder; goes on with what it finds half done.
    discard: deletes what was begun from other things; None: that is refused.
  """

  name: str
  folder: pathlib.Path
  made_from: Mapping[str, Any]
  work: Callable[[pathlib.Path], object]
  discard: Callable[[pathlib.Path], None] | None = None


@dataclasses.dataclass(frozen=True)
class Stage:
  """One step of the pipeline.

  Attributes:
    name: what a user calls it.
    needs: the stages whose results it reads.
    parts: gives its parts; each is finished before it is asked for the next.
    folders: of the work directory, where it is not the stage's name alone.
  """

  name: str
  needs: tuple[str, ...]
  parts: Callable[[Run], Iterator[Part]]
  folders: tuple[str, ...] = ()


def run(config: configs.Given, directory: str | pathlib.Path, *,
        stages: Sequence[str] | None = None,
        say: Callable[[str], None] = print) -> pathlib.Path:
  """Runs the stages named, in order; those that they need must be finished.

  Args:
    config: see `configs.default_config`.
    directory: the work directory.
    stages: which stages, by their names in any order; None for all.
    say: told a line for each stage.

  Returns:
    The path of the report.

  Raises:
    UserError: anything that a user or a machine did wrong.
  """
  chosen = choose_stages(STAGES if stages is None else stages)
  config = validation.check_config(config)
  root = pathlib.Path(directory).resolve()
  with workdir.hold(root):
    workdir.claim(root, registered.make_identity(config))
    _verify_needed(root, chosen)
    for stage in chosen:
      for part in stage.parts(Run(config, root, say)):
        worked = workdir.run_once(
            part.folder, part.made_from, part.work, discard=part.discard)
        say(f'{part.name}: {"done" if worked else "there already, verified"}')
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


def _verify_needed(root: pathlib.Path, chosen: Sequence[Stage]) -> None:
  """Verifies what the chosen stages read and none of them makes."""
  needed = {name for stage in chosen for name in stage.needs}
  for stage in reversed(_STAGES):  # What is needed by what is needed.
    needed |= set(stage.needs) if stage.name in needed else set()
  for stage in _STAGES:
    if stage.name in needed and stage not in chosen:
      for folder in stage.folders or (stage.name,):
        for done in sorted((root / folder).rglob('done.json')):
          workdir.verify(done.parent)


@dataclasses.dataclass(frozen=True)
class Run:
  """One run of a configuration in a work directory: what stages read of it.

  `say` is told what a user wants to read.
  """

  config: configs.Config
  root: pathlib.Path
  say: Callable[[str], None] = print

  def read_dataset(self) -> Dataset:
    """The data with their last labels."""
    return teachers.read_dataset(self.config, self.root)

  def read_teachers(self, dataset: Dataset,
                    ensemble: configs.Ensemble) -> dict[str, ensembles.Teacher]:
    """The members of an ensemble by name."""
    return ensembles.make_teachers(ensemble, lambda name: (
        teachers.read_teachers(self.root / 'teachers' / name, name,
                               self.config.teachers[name], dataset)))

  def list_caches(self, dataset: Dataset, name: str) -> dict[str, int]:
    """The sets that an ensemble labels for students, and how many rows."""
    return dict(mixtures.make_layout(
        students.find_taught(self.config)[name],
        mixtures.set_sizes(dataset)).sets)

  def read_origin(self, dataset: Dataset, name: str,
                  set_name: str) -> dict[str, Any]:
    """What the logit cache of an ensemble and a set belongs to."""
    ensemble = self.root / 'ensembles' / name
    workdir.require(ensemble, 'ensembles')
    return logits.make_origin(
        workdir.read_identity(ensemble), dataset.fingerprint,
        set_name=set_name, classes=dataset.classes,
        dtype=self.config.logits.dtype)

  def read_targets(self, dataset: Dataset) -> dict[str, Targets]:
    """All cached logits, by their ensemble and set."""
    return {name: {
        key: logits.read_logits(self.root / 'logits' / name / key,
                                self.read_origin(dataset, name, key), rows)
        for key, rows in self.list_caches(dataset, name).items()}
            for name in students.find_taught(self.config)}

  def read_members(self, dataset: Dataset,
                   seeds: int = 0) -> list[family.Member]:
    """The family with its chosen learning rates; all seeds, or so many."""
    search = self.root / 'students' / 'search'
    workdir.require(search, 'students')
    section = self.config.students
    return students.make_members(
        section, dataset.input_shape, dataset.classes,
        seeds=seeds or section.seeds, rates=students.read_rates(search))

  def read_records(self) -> list[records.Record]:
    """The records of every stage, teachers first."""
    names = [f'teachers/{name}' for name in self.config.teachers]
    names += [f'ensembles/{name}' for name in self.config.ensembles]
    names += ['students/search', 'students/final']
    timed = ['latencies'] * bool(self.config.report.latency)
    for name in names + timed:
      workdir.require(self.root / name, name.partition('/')[0])
    found = [record for name in names for record in records.read_records(
        self.root / name / 'records.json')]
    return latencies.add_latencies(
        self.root / 'latencies', found) if timed else found


def read_data(run: Run) -> Iterator[Part]:
  """Reads and preprocesses the data once."""
  section = run.config.data
  settings = configs.to_json(run.config)['data']
  for place in ('path', 'data_dir'):  # What is there has a digest of its own.
    del settings[place]

  def work(directory: pathlib.Path) -> None:
    run.say(f'data: reading {section.source} {section.name}'.rstrip())
    made = data.read_source(
        section, cache_dir=run.root / 'tfds', directory=directory)
    validation.check_inputs(run.config, made)
    validation.check_nets(run.config, made)
    store.write_dataset(directory, made)
    workdir.write_identity(directory, {'fingerprint': made.fingerprint})

  # A file that was refused may have been mended.
  yield Part('data', run.root / 'data', {
      'source': data.source_digest(section),
      'settings': files.digest_json(settings)}, work, parts.discard)


def train_teachers(run: Run) -> Iterator[Part]:
  """Trains every group of teachers, on realigned labels if so configured."""
  config = run.config
  validation.check_batches(
      config, len(parallel.choose_devices(config.parallel.devices)))
  yield from _realign(run)
  dataset = run.read_dataset()
  for name, group in config.teachers.items():
    yield Part(
        f'teachers {name}', run.root / 'teachers' / name,
        {'data': dataset.fingerprint}, partial(
            teachers.write_teachers, name=name, group=group, dataset=dataset,
            settings=training.make_settings(config, group)))


def _realign(run: Run) -> Iterator[Part]:
  """Finds the labels of the training utterances anew, round by round."""
  for done in range(run.config.data.speech.realign):
    dataset = teachers.read_dataset(run.config, run.root, done)
    member, settings = realignment.make_aligner(run.config)
    stage = f'realign {done + 1}'
    folder = run.root / 'realignments' / str(done + 1)
    yield Part(stage, folder, {'data': dataset.fingerprint}, partial(
        realignment.write_realignment, stage=stage, member=member,
        dataset=dataset, settings=settings))
    changed = files.read_json(folder / 'changes.json')['train']
    run.say(f'{stage}: {100 * changed:.1f} % of the training frames changed'
            ' state')


def average_teachers(run: Run) -> Iterator[Part]:
  """Averages teachers; keeps their logits on dev and test."""
  dataset = run.read_dataset()
  for name, ensemble in run.config.ensembles.items():
    members = run.read_teachers(dataset, ensemble)
    yield Part(
        f'ensembles {name}', run.root / 'ensembles' / name,
        {'data': dataset.fingerprint,
         'teachers': ensembles.identify(ensemble.space, members)},
        partial(ensembles.write_ensemble, name=name, space=ensemble.space,
                teachers=members, dataset=dataset))


def cache_logits(run: Run) -> Iterator[Part]:
  """Writes the logit cache of every ensemble that students imitate."""
  dataset = run.read_dataset()

  def work(directory: pathlib.Path, name: str, origin: dict,
           rows: int) -> None:
    ensemble = run.config.ensembles[name]
    members = list(run.read_teachers(dataset, ensemble).values())
    apply = partial(ensembles.apply_ensemble, members, space=ensemble.space)
    logits.write_logits(
        directory, origin, rows, dataset, apply,
        part_rows=run.config.logits.part_rows,
        stage=f'logits {name} {origin["set"]}')
    workdir.write_identity(directory, {**origin, 'rows': rows})

  for name in students.find_taught(run.config):
    for key, rows in run.list_caches(dataset, name).items():
      origin = run.read_origin(dataset, name, key)
      yield Part(f'logits {name} {key}', run.root / 'logits' / name / key,
                 {**origin, 'rows': rows},
                 partial(work, name=name, origin=origin, rows=rows))


def train_students(run: Run) -> Iterator[Part]:
  """Searches learning rates on dev, then trains the family."""
  config, section, root = run.config, run.config.students, run.root
  dataset, search = run.read_dataset(), run.root / 'students' / 'search'
  taught = {f'{name}/{key}': root / 'logits' / name / key
            for name in students.find_taught(config)
            for key in run.list_caches(dataset, name)}
  for cache in taught.values():
    workdir.require(cache, 'logits')
  made_from = {'data': dataset.fingerprint, 'logits': {
      name: workdir.read_identity(cache) for name, cache in taught.items()}}

  def find_rates(directory: pathlib.Path) -> None:
    students.write_search(
        directory, students.make_members(
            section, dataset.input_shape, dataset.classes,
            seeds=section.search_seeds),
        dataset, run.read_targets(dataset),
        training.make_settings(config, section, steps=section.search_steps))

  def train(directory: pathlib.Path) -> None:
    said = {split: {name: ensembles.read_ensemble_logits(
        root / 'ensembles' / name, split)
                    for name in students.rank_teachers(config)}
            for split in ('dev', 'test')}
    students.write_students(
        directory, run.read_members(dataset), dataset,
        run.read_targets(dataset), said,
        training.make_settings(config, section),
        independent=ensembles.find_independent(config))

  yield Part('students search', search, made_from, find_rates)
  yield Part('students', root / 'students' / 'final',
             {**made_from, 'search': workdir.read_identity(search)}, train)


def measure_latencies(run: Run) -> Iterator[Part]:
  """Times every net, where `report.latency` asks for it."""
  if not run.config.report.latency:
    return
  subjects = find_subjects(run, run.read_dataset())
  made_from = {'nets': files.digest_json(
      [[list(key), repr(forms)] for key, forms in subjects.items()])}
  yield Part('latencies', run.root / 'latencies', made_from, partial(
      latencies.write_latencies, subjects=subjects,
      combine=ensembles.ensemble_logits))


def find_subjects(
    run: Run, dataset: Dataset,
) -> dict[tuple[str, str, int], dict[str, latencies.Subject]]:
  """What is timed: teachers, ensembles, students with bottleneck absorbed."""
  problem = dataset.input_shape, dataset.classes
  subjects, deep = {}, {}
  for name, group in run.config.teachers.items():
    deep[name] = [family.member_net(member, *problem)
                  for member in teachers.make_members(name, group)]
    subjects['teacher', name, 0] = {'': latencies.make_subject(deep[name][:1])}
  for name, ensemble in run.config.ensembles.items():
    nets = [net for text in ensemble.members
            for net in ensembles.pick_members(deep, text)]
    subjects['ensemble', name, 0] = {'': latencies.make_subject(
        nets * (1 + ensemble.mirror), ensemble.space)}
  for member in run.read_members(dataset, seeds=1):
    net = family.member_net(member, *problem)
    absorbed = models.without_bottlenecks(net)
    forms = {'': latencies.make_subject([absorbed])}
    if absorbed != net:
      forms['_factored'] = latencies.make_subject([net])
    subjects['student', member.model, member.width] = forms
  return subjects


def draw_curves(run: Run) -> Iterator[Part]:
  """Writes results.csv, the figures, the tables and index.html."""
  report, found = run.config.report, run.read_records()
  made_from: dict[str, Any] = {
      'records': files.digest_json([r.to_json() for r in found])}
  if versions := curves.find_versions():
    made_from['sections'] = versions
  yield Part(
      'curves', run.root / 'report', made_from,
      partial(curves.write_report, records=found,
              title=run.config.title or run.root.name,
              notes=(*report.notes, *registered.say_registered(run.config)),
              figure_width=report.figure_width or None,
              paper_rows=tuple(map(dict, report.paper)),
              main_teacher=students.rank_teachers(run.config)[0]))
  run.say((run.root / 'report' / 'table.txt').read_text(
      encoding='utf-8').rstrip())


_STAGES = (
    Stage('data', (), read_data),
    Stage('teachers', ('data',), train_teachers, ('realignments', 'teachers')),
    Stage('ensembles', ('data', 'teachers'), average_teachers),
    Stage('logits', ('data', 'teachers', 'ensembles'), cache_logits),
    Stage('students', ('data', 'ensembles', 'logits'), train_students),
    Stage('latencies', ('data', 'students'), measure_latencies),
    Stage('curves', ('teachers', 'ensembles', 'students', 'latencies'),
          draw_curves, ('report',)),
)
STAGES = tuple(stage.name for stage in _STAGES)
