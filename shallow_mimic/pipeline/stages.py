"""All stages in order. Each runs once; what is there is verified and skipped.

data → teachers → ensembles → logits → students (→ latencies) → curves, each in
a folder of the work directory that can be deleted and is then made anew alone.
With `data.speech.realign` the stage `teachers` begins with as many rounds of
realignment, and what follows trains on the labels of the last.

A stage is a row of `_STAGES`. It gives its parts one after the other: each is
begun when the ones before it are finished, so that it may be made from them.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from shallow_mimic import (
  configs,
  curves,
  ensembles,
  errors,
  logits,
  students,
  teachers,
  training,
)
from shallow_mimic.data import store
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.mixtures import Targets
from shallow_mimic.data.sources import read
from shallow_mimic.evaluation import latencies, records
from shallow_mimic.pipeline import validation
from shallow_mimic.runs import files, parts, workdir
from shallow_mimic.teachers import realignment
from shallow_mimic.training import family, parallel


@dataclasses.dataclass(frozen=True)
class Run:
  """What every stage is given: the configuration, the work directory, a voice.

  `say` is told what a user wants to read.
  """

  config: Any
  root: pathlib.Path
  say: Callable[[str], None] = print

  @functools.cached_property
  def taught(self) -> dict[str, list[str]]:
    """What each ensemble that students imitate has to label."""
    return students.find_taught(self.config)

  def read_dataset(self) -> Dataset:
    """The data with their last labels."""
    return teachers.read_dataset(self.config, self.root)

  def read_origin(self, dataset: Dataset, name: str) -> dict[str, Any]:
    """What the logit cache of an ensemble belongs to."""
    return logits.read_origin(
        self.root, dataset, name, self.taught[name], self.config.logits)

  def read_targets(self, dataset: Dataset) -> dict[str, Targets]:
    """All cached logits, by their ensemble."""
    return {name: logits.read_logits(
        self.root / 'logits' / name, self.read_origin(dataset, name))
            for name in self.taught}


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
    name: what `--stages` calls it.
    needs: the stages whose results it reads.
    parts: gives its parts, each after the one before is finished.
    folders: of the work directory, where it is not the stage's name.
  """

  name: str
  needs: tuple[str, ...]
  parts: Callable[[Run], Iterator[Part]]
  folders: tuple[str, ...] = ()


def run(config: Any, directory: str | pathlib.Path, *,
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
  validation.check_config(config)
  root = pathlib.Path(directory).resolve()
  with workdir.hold(root):
    workdir.claim(root, configs.to_json(config))
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
  for name in names:
    if name not in STAGES:
      raise errors.UserError(
          f'there is no stage {name!r}; known: {", ".join(STAGES)}')
  if not names:
    raise errors.UserError(
        f'no stage is named; name one or more of {", ".join(STAGES)}')
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


def read_data(run: Run) -> Iterator[Part]:
  """Reads and preprocesses the data once."""
  settings = configs.to_json(run.config)['data']
  for place in ('path', 'data_dir'):  # What is there has a digest of its own.
    del settings[place]
  made_from = {'source': read.source_digest(run.config.data),
               'settings': files.digest_json(settings)}
  # A file that was refused may have been mended.
  yield Part('data', run.root / 'data', made_from,
             functools.partial(_write_data, run=run), parts.discard)


def _write_data(directory: pathlib.Path, run: Run) -> None:
  config = run.config
  run.say(f'data: reading {config.data.source} {config.data.name}'.rstrip())
  made = read.read_source(
      config.data, cache_dir=run.root / 'tfds', directory=directory)
  validation.check_inputs(config, made)
  validation.check_nets(config, made)
  store.write_dataset(directory, made)
  workdir.write_identity(directory, {'fingerprint': made.fingerprint})


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
        {'data': dataset.fingerprint}, functools.partial(
            teachers.write_teachers, name=name, group=group, dataset=dataset,
            settings=training.make_settings(config, group)))


def _realign(run: Run) -> Iterator[Part]:
  """Finds the labels of the training utterances anew, round by round."""
  for done in range(run.config.data.speech.realign):
    dataset = teachers.read_dataset(run.config, run.root, done)
    member, settings = realignment.make_aligner(run.config)
    stage = f'realign {done + 1}'
    folder = run.root / 'realignments' / str(done + 1)
    yield Part(
        stage, folder, {'data': dataset.fingerprint}, functools.partial(
            realignment.write_realignment, stage=stage, member=member,
            dataset=dataset, settings=settings))
    changed = files.read_json(folder / 'changes.json')['train']
    run.say(f'{stage}: {100 * changed:.1f} % of the training frames changed'
            ' state')


def average_teachers(run: Run) -> Iterator[Part]:
  """Averages teachers; keeps their logits on dev and test."""
  dataset = run.read_dataset()
  for name, ensemble in run.config.ensembles.items():
    members = _read_teachers(run, dataset, ensemble)
    made_from = {'data': dataset.fingerprint,
                 'teachers': ensembles.identify(ensemble.space, members)}
    yield Part(
        f'ensembles {name}', run.root / 'ensembles' / name, made_from,
        functools.partial(
            ensembles.write_ensemble, name=name, space=ensemble.space,
            teachers=members, dataset=dataset))


def _read_teachers(run: Run, dataset: Dataset,
                   ensemble: Any) -> dict[str, ensembles.Teacher]:
  return ensembles.make_teachers(ensemble, {
      name: teachers.read_teachers(
          run.root / 'teachers' / name, name, run.config.teachers[name],
          dataset)
      for name in ensembles.find_groups(ensemble)})


def cache_logits(run: Run) -> Iterator[Part]:
  """Writes the logit cache of every ensemble that students imitate."""
  dataset = run.read_dataset()
  for name in run.taught:
    origin = run.read_origin(dataset, name)
    yield Part(
        f'logits {name}', run.root / 'logits' / name, origin,
        functools.partial(_write_cache, run=run, name=name, origin=origin,
                          dataset=dataset))


def _write_cache(directory: pathlib.Path, run: Run, name: str,
                 origin: Mapping[str, Any], dataset: Dataset) -> None:
  ensemble = run.config.ensembles[name]
  members = list(_read_teachers(run, dataset, ensemble).values())
  logits.write_logits(
      directory, origin, dataset, functools.partial(
          ensembles.apply_ensemble, members, space=ensemble.space),
      stage=f'logits {name}')


def train_students(run: Run) -> Iterator[Part]:
  """Searches learning rates on dev, then trains the family."""
  dataset, caches = run.read_dataset(), run.root / 'logits'
  for name in run.taught:
    workdir.require(caches / name, 'logits')
  made_from = {'data': dataset.fingerprint, 'logits': {
      name: workdir.read_identity(caches / name) for name in run.taught}}
  search = run.root / 'students' / 'search'
  yield Part('students search', search, made_from, functools.partial(
      _write_search, run=run, dataset=dataset))
  yield Part(
      'students', run.root / 'students' / 'final',
      {**made_from, 'search': workdir.read_identity(search)},
      functools.partial(_write_students, run=run, dataset=dataset))


def _write_search(directory: pathlib.Path, run: Run, dataset: Dataset) -> None:
  section = run.config.students
  students.write_search(
      directory, students.make_members(
          section, dataset.input_shape, dataset.classes,
          seeds=section.search_seeds),
      dataset, run.read_targets(dataset),
      training.make_settings(run.config, section, steps=section.search_steps))


def _write_students(directory: pathlib.Path, run: Run,
                    dataset: Dataset) -> None:
  section = run.config.students
  said = {split: {name: ensembles.read_ensemble_logits(
      run.root / 'ensembles' / name, split)
                  for name in students.rank_teachers(run.config)}
          for split in ('dev', 'test')}
  students.write_students(
      directory, read_members(run.config, run.root, dataset), dataset,
      run.read_targets(dataset), said,
      training.make_settings(run.config, section),
      independent=ensembles.find_independent(run.config))


def read_members(config: Any, root: pathlib.Path, dataset: Dataset, *,
                 seeds: int = 0) -> list[family.Member]:
  """The family with the learning rates that were chosen for it.

  Args:
    config: the configuration.
    root: the work directory.
    dataset: its data.
    seeds: of each; 0 for as many as are configured.
  """
  search = root / 'students' / 'search'
  workdir.require(search, 'students')
  return students.make_members(
      config.students, dataset.input_shape, dataset.classes,
      seeds=seeds or config.students.seeds, rates=students.read_rates(search))


def measure_latencies(run: Run) -> Iterator[Part]:
  """Times every net, where `report.latency` asks for it."""
  if not run.config.report.latency:
    return
  subjects = find_subjects(run.config, run.root, run.read_dataset())
  made_from = {'nets': files.digest_json(
      [[list(key), repr(forms)] for key, forms in subjects.items()])}
  yield Part('latencies', run.root / 'latencies', made_from, functools.partial(
      latencies.write_latencies, subjects=subjects,
      combine=ensembles.ensemble_logits))


def find_subjects(
    config: Any, root: pathlib.Path, dataset: Dataset,
) -> dict[tuple[str, str, int], dict[str, latencies.Subject]]:
  """The nets of all stages, as `latencies.make_subjects` puts them."""
  problem = dataset.input_shape, dataset.classes
  deep = {name: [family.member_net(member, *problem)
                 for member in teachers.make_members(name, group)]
          for name, group in config.teachers.items()}
  averaged = {}
  for name, ensemble in config.ensembles.items():
    nets = [net for text in ensemble.members
            for net in ensembles.pick_members(deep, text)]
    averaged[name] = latencies.make_subject(
        nets * (1 + ensemble.mirror), ensemble.space)
  shallow = {(member.model, member.width): family.member_net(member, *problem)
             for member in read_members(config, root, dataset, seeds=1)}
  return latencies.make_subjects(deep, averaged, shallow)


def draw_curves(run: Run) -> Iterator[Part]:
  """Writes results.csv, the figures, the tables and index.html."""
  config, found = run.config, read_records(run)
  yield Part(
      'curves', run.root / 'report', {'records': files.digest_json(found)},
      functools.partial(
          curves.write_report, records=found, title=config.title or
          run.root.name, notes=tuple(config.report.notes),
          figure_width=config.report.figure_width or None,
          paper_rows=tuple(map(dict, config.report.paper)),
          main_teacher=students.rank_teachers(config)[0]))
  run.say((run.root / 'report' / 'table.txt').read_text().rstrip())


def read_records(run: Run) -> list[records.Record]:
  """The records of every stage, teachers first."""
  names = [f'teachers/{name}' for name in run.config.teachers]
  names += [f'ensembles/{name}' for name in run.config.ensembles]
  names += ['students/search', 'students/final']
  timed = ['latencies'] * bool(run.config.report.latency)
  for name in names + timed:
    workdir.require(run.root / name, name.partition('/')[0])
  found = records.read_records(run.root / name for name in names)
  return latencies.add_latencies(
      run.root / 'latencies', found) if timed else found


_STAGES = (
    Stage('data', (), read_data),
    Stage('teachers', ('data',), train_teachers,
          ('realignments', 'teachers')),
    Stage('ensembles', ('data', 'teachers'), average_teachers),
    Stage('logits', ('data', 'teachers', 'ensembles'), cache_logits),
    Stage('students', ('data', 'ensembles', 'logits'), train_students),
    Stage('latencies', ('data', 'students'), measure_latencies),
    Stage('curves', ('teachers', 'ensembles', 'students', 'latencies'),
          draw_curves, ('report',)),
)
STAGES = tuple(stage.name for stage in _STAGES)
