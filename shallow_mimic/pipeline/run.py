"""One run: a configuration in a work directory, and what stages read there."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from shallow_mimic import (
  configs,
  data,
  ensembles,
  errors,
  logits,
  models,
  students,
  teachers,
  training,
)
from shallow_mimic.data import mixtures
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.mixtures import Targets
from shallow_mimic.evaluation import latencies, recognition, records
from shallow_mimic.evaluation.records import Record
from shallow_mimic.runs import files, kept, workdir
from shallow_mimic.training import family, kept_nets
from shallow_mimic.training.kept_nets import Wanted


class Shown(NamedTuple):
  """What a report shows.

  Attributes:
    records: of all nets, teachers first.
    made_with: versions that made them.
    missing: how many final students are not there yet.
  """

  records: list[Record]
  made_with: list[Mapping[str, Any]]
  missing: int


@dataclasses.dataclass(frozen=True)
class Run:
  """A configuration in a work directory.

  Attributes:
    config: the configuration.
    root: the work directory.
    say: told what a user wants to read.
    replaced: stages whose nets may be moved aside where they do not fit.
    partial: whether students that are not there yet are left out of what is
      read; else they are refused.
  """

  config: configs.Config
  root: pathlib.Path
  say: Callable[[str], None] = print
  replaced: tuple[str, ...] = ()
  partial: bool = False

  @functools.cached_property
  def data_origin(self) -> dict[str, Any]:
    """What the folder of the data is made from.

    Where the source has gone, and the data that were read from it fit, the
    source is taken to be what it was, and this is told.
    """
    settings = data.identify_settings(self.config.data)
    try:
      return {'source': data.source_digest(self.config.data),
              'settings': settings}
    except errors.MissingError as missing:
      found = kept.read_root(self.root / 'data')
      if found is None or kept.find_differences(
          found.made_from['settings'], settings):
        raise
      self.say(f'data: {missing}; what was read from it before is used')
      return dict(found.made_from)

  @functools.cached_property
  def dataset(self) -> Dataset:
    """The data with their last labels; to be read when these are there."""
    return teachers.read_dataset(self.config, self.root)

  def list_teachers(self, name: str) -> list[Wanted]:
    """The teachers of a group."""
    group = self.config.teachers[name]
    return teachers.list_teachers(
        name, group, self.dataset, training.make_settings(self.config, group))

  def read_members(self, name: str) -> dict[str, ensembles.Teacher]:
    """The members of an ensemble, by their names."""
    return ensembles.make_teachers(
        self.config.ensembles[name], lambda group: [
            teachers.read_teacher(self.root, one, self.dataset)
            for one in self.list_teachers(group)])

  @functools.cached_property
  def identities(self) -> dict[str, dict[str, Any]]:
    """What each ensemble is, by its teachers' roots; reads no parameters."""
    return identify_ensembles(self.config, lambda group: [
        (one, kept_nets.require_net(self.root, one).identity)
        for one in self.list_teachers(group)])

  def say_ensemble_origin(self, name: str) -> dict[str, Any]:
    """What an ensemble's folder is made from."""
    return {'data': mixtures.identify_data(
        self.dataset, [], ['dev', 'test']), 'ensemble': self.identities[name]}

  def identify_targets(self) -> dict[str, Any]:
    """What the targets of each ensemble that teaches are."""
    return identify_targets(self.config, self.identities)

  def list_caches(self, name: str) -> dict[str, int]:
    """The sets that an ensemble labels for students, and how many rows."""
    return dict(mixtures.make_layout(
        students.find_taught(self.config)[name],
        mixtures.set_sizes(self.dataset)).sets)

  def say_cache_origin(self, name: str, set_name: str) -> dict[str, Any]:
    """What the logit cache of an ensemble and a set belongs to."""
    return logits.make_origin(
        self.identities[name],
        mixtures.identify_data(self.dataset, [set_name], []),
        set_name=set_name, classes=self.dataset.classes,
        dtype=self.config.logits.dtype)

  def read_targets(self, names: Sequence[str]) -> dict[str, Targets]:
    """Cached logits of some ensembles, by their names, mapped from disk."""
    return {name: {
        key: logits.read_logits(self.root / 'logits' / name / key,
                                self.say_cache_origin(name, key), rows)
        for key, rows in self.list_caches(name).items()} for name in names}

  def list_searched(self) -> list[Wanted]:
    """The students of the search of learning rates."""
    return list_searched(self.config, self.dataset, self.identify_targets())

  @functools.cached_property
  def searched(self) -> list[Record]:
    """The records of the search; to be read when it has ended."""
    def read(net: Wanted) -> Record | None:
      try:
        kept_nets.require_net(self.root, net)
      except workdir.UnfinishedError:
        if not self.partial:
          raise
        return None
      return records.read_record(self.root / net.slot)

    return find_complete(self.list_searched(), read)

  def list_students(self, seeds: int = 0) -> list[Wanted]:
    """The final students, with their chosen rates; all seeds, or so many."""
    return list_final(self.config, self.dataset, self.identify_targets(),
                      self.searched, seeds)

  def find_members(self, seeds: int = 0) -> list[family.Member]:
    """`list_students`, without what they are made from."""
    return [net.member for net in self.list_students(seeds)]

  def list_scores(self) -> tuple[list[Wanted], list[Mapping[str, Any]]]:
    """The final students, and what the scores of each are made from."""
    taught = students.find_taught(self.config)
    nets = [net for net in self.list_students()
            if not self.partial or (self.root / net.slot).exists()]
    main = students.rank_teachers(self.config)[0]
    others = ensembles.find_independent(self.config)

    def describe(name: str | None) -> Any:
      return name and {'ensemble': self.identities[name],
                       'train': self._knows_train(taught.get(name, ()))}

    judged = mixtures.identify_data(
        self.dataset, ['train'], ['dev', 'test'])
    return nets, [{
        'net': kept_nets.require_net(self.root, net).identity, 'data': judged,
        'model': net.member.model, 'teacher_name': net.member.teacher,
        'teacher': describe(net.member.teacher or main),
        'independent': describe(others.get(net.member.teacher)),
        'seed': self.config.seed} for net in nets]

  def _knows_train(self, texts: Sequence[str]) -> bool:
    """Whether the cache of some inputs holds all of train."""
    layout = mixtures.make_layout(texts, mixtures.set_sizes(self.dataset))
    return ('train', len(self.dataset.train.y)) in layout.sets

  def read_records(self) -> Shown:
    """The records of every stage, teachers first, each verified."""
    folders = {self.root / net.slot: kept_nets.require_net(self.root, net)
               for name in self.config.teachers
               for net in self.list_teachers(name)}
    folders |= {folder: workdir.require(
        folder, 'ensembles', self.say_ensemble_origin(folder.name))
                for folder in (self.root / 'ensembles' / name
                               for name in self.config.ensembles)}
    deep = [records.read_record(folder) for folder in folders]
    scored = dict(self._find_scores())
    found = [*deep, *students.mark_selected(
        self.searched, students.choose_rates(self.searched)),
             *map(records.read_record, scored)]
    if self.config.report.latency:
      found = self._add_latencies(found)
    made_with = [root.made_with for root in (folders | scored).values()]
    return Shown(found, made_with, self._count_students() - len(scored))

  def _find_scores(self) -> Iterator[tuple[pathlib.Path, kept.Root]]:
    """Folders of the scores of final students, in order, and their roots."""
    for net, origin in zip(*self.list_scores(), strict=True):
      folder = students.scores_folder(self.root, net)
      try:
        yield folder, workdir.require(folder, 'students', origin)
      except workdir.UnfinishedError:
        if not self.partial:
          raise

  def _add_latencies(self, found: list[Record]) -> list[Record]:
    folder = self.root / 'latencies'
    try:
      workdir.require(folder, 'latencies', self.say_latency_origin())
    except workdir.UnfinishedError:
      if not self.partial:
        raise
      return found
    return latencies.add_latencies(folder, found)

  def say_latency_origin(self) -> dict[str, Any]:
    """What the times of nets are made from."""
    return {'nets': files.digest_json([
        [list(key), repr(forms)]
        for key, forms in self.find_subjects().items()])}

  def find_subjects(
      self,
  ) -> dict[tuple[str, str, int], dict[str, latencies.Subject]]:
    """What is timed: teachers, ensembles, students without bottlenecks."""
    problem = self.dataset.input_shape, self.dataset.classes
    subjects, deep = {}, {}
    for name, group in self.config.teachers.items():
      deep[name] = [family.member_net(member, *problem)
                    for member in teachers.make_members(name, group)]
      subjects['teacher', name, 0] = {
          '': latencies.make_subject(deep[name][:1])}
    for name, ensemble in self.config.ensembles.items():
      nets = [net for text in ensemble.members
              for net in ensembles.pick_members(deep, text)]
      subjects['ensemble', name, 0] = {'': latencies.make_subject(
          nets * (1 + ensemble.mirror), ensemble.space)}
    for member in self.find_members(seeds=1):
      net = family.member_net(member, *problem)
      absorbed = models.without_bottlenecks(net)
      forms = {'': latencies.make_subject([absorbed])}
      if absorbed != net:
        forms['_factored'] = latencies.make_subject([net])
      subjects['student', member.model, member.width] = forms
    return subjects

  def read_scores(self) -> list[Record]:
    """The records of all final students, in the order of `list_students`."""
    return [records.read_record(folder) for folder, _ in self._find_scores()]

  def read_counts(self) -> list[Any]:
    """What speech recognition counted, of all final nets: JSON trees.

    Raises:
      UserError: the data are not speech.
    """
    folders = [self.root / net.slot for name in self.config.teachers
               for net in self.list_teachers(name)]
    folders += [self.root / 'ensembles' / name
                for name in self.config.ensembles]
    folders += [students.scores_folder(self.root, net)
                for net in self.list_students()]
    return [files.read_json(folder / recognition.FILE) for folder in folders]

  def _count_students(self) -> int:
    """How many final students the configuration wants."""
    section = self.config.students
    return section.seeds * len({
        (m.model, m.width) for m in students.make_members(
            section, self.dataset.input_shape, self.dataset.classes, seeds=1)})


def identify_ensembles(
    config: configs.Config,
    find_trained: Callable[[str], Sequence[tuple[Wanted, Any]]],
) -> dict[str, dict[str, Any]]:
  """What each ensemble is.

  Args:
    config: the configuration.
    find_trained: gives the teachers of a group, each with its identity.
  """
  def read(group: str) -> list[tuple]:
    return [(None, None, identity, mixtures.split_fold(net.member.mixture)[1])
            for net, identity in find_trained(group)]

  return {name: ensembles.identify(
      ensemble.space, ensembles.make_teachers(ensemble, read))
          for name, ensemble in config.ensembles.items()}


def identify_targets(config: configs.Config,
                     identities: Mapping[str, Any]) -> dict[str, Any]:
  """What the targets of each ensemble that teaches are.

  Args:
    config: the configuration.
    identities: what each ensemble is.
  """
  return {name: {'ensemble': identities[name], 'dtype': config.logits.dtype}
          for name in students.find_taught(config)}


def search_settings(config: configs.Config) -> training.Settings:
  """How students are trained in the search."""
  return training.make_settings(
      config, config.students, steps=config.students.search_steps)


def list_searched(config: configs.Config, dataset: Dataset,
                  targets: Mapping[str, Any]) -> list[Wanted]:
  """The students of the search of learning rates.

  Args:
    config: the configuration.
    dataset: inputs and labels.
    targets: see `identify_targets`.
  """
  section = config.students
  members = students.make_members(
      section, dataset.input_shape, dataset.classes,
      seeds=section.search_seeds)
  return students.list_students(
      'search', members, dataset, targets, search_settings(config))


def find_complete(searched: Sequence[Wanted],
                  read: Callable[[Wanted], Record | None]) -> list[Record]:
  """Records of a search, of those curves and widths that have all.

  Args:
    searched: the students of the search.
    read: gives the record of one; None where it is not there.
  """
  found: dict[tuple[str, int], list[Record | None]] = {}
  for net in searched:
    key = net.member.model, net.member.width
    found.setdefault(key, []).append(read(net))
  return [record for some in found.values() if None not in some
          for record in some if record]


def list_final(config: configs.Config, dataset: Dataset,
               targets: Mapping[str, Any], searched: Sequence[Record],
               seeds: int = 0) -> list[Wanted]:
  """The final students of those curves and widths whose search has ended.

  Args:
    config: the configuration.
    dataset: inputs and labels.
    targets: see `identify_targets`.
    searched: records of the search.
    seeds: how many of each; 0: all.
  """
  section = config.students
  members = students.make_members(
      section, dataset.input_shape, dataset.classes,
      seeds=seeds or section.seeds, rates=students.choose_rates(searched))
  return students.list_students(
      'final', members, dataset, targets,
      training.make_settings(config, section))
