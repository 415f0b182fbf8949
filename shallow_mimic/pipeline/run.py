"""One run: a configuration in a work directory, and what stages read there."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
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
  """

  config: configs.Config
  root: pathlib.Path
  say: Callable[[str], None] = print
  replaced: tuple[str, ...] = ()

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

  def identify_ensemble(self, name: str) -> dict[str, Any]:
    """What an ensemble is, by its teachers' roots; reads no parameters."""
    def read(group: str) -> list[tuple]:
      return [(None, None, kept_nets.require_net(self.root, one).identity,
               mixtures.split_fold(one.member.mixture)[1])
              for one in self.list_teachers(group)]

    ensemble = self.config.ensembles[name]
    return ensembles.identify(
        ensemble.space, ensembles.make_teachers(ensemble, read))

  @functools.cached_property
  def identities(self) -> dict[str, dict[str, Any]]:
    """What each ensemble is, once its teachers are trained."""
    return {name: self.identify_ensemble(name)
            for name in self.config.ensembles}

  def say_ensemble_origin(self, name: str) -> dict[str, Any]:
    """What an ensemble's folder is made from."""
    return {'data': mixtures.identify_data(
        self.dataset, [], ['dev', 'test']), 'ensemble': self.identities[name]}

  def identify_targets(self) -> dict[str, Any]:
    """What the targets of each ensemble that teaches are."""
    return {name: {'ensemble': self.identities[name],
                   'dtype': self.config.logits.dtype}
            for name in students.find_taught(self.config)}

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
    section = self.config.students
    members = students.make_members(
        section, self.dataset.input_shape, self.dataset.classes,
        seeds=section.search_seeds)
    return students.list_students(
        'search', members, self.dataset, self.identify_targets(),
        self.search_settings)

  @property
  def search_settings(self) -> training.Settings:
    """How students are trained in the search."""
    section = self.config.students
    return training.make_settings(self.config, section,
                                  steps=section.search_steps)

  def read_searched(self, *, partial: bool = False) -> list[Record]:
    """The records of the search; all, or of curves and widths that have all."""
    found: dict[tuple[str, int], list[Record] | None] = {}
    for net in self.list_searched():
      key = net.member.model, net.member.width
      try:
        kept_nets.require_net(self.root, net)
      except workdir.UnfinishedError:
        if not partial:
          raise
        found[key] = None
      if (some := found.setdefault(key, [])) is not None:
        some.append(records.read_record(self.root / net.slot))
    return [record for some in found.values() for record in some or ()]

  def list_students(self, seeds: int = 0, *,
                    partial: bool = False) -> list[Wanted]:
    """The final students, with their chosen rates; all seeds, or so many."""
    section = self.config.students
    members = students.make_members(
        section, self.dataset.input_shape, self.dataset.classes,
        seeds=seeds or section.seeds,
        rates=students.choose_rates(self.read_searched(partial=partial)))
    return students.list_students(
        'final', members, self.dataset, self.identify_targets(),
        training.make_settings(self.config, section))

  def find_members(self, seeds: int = 0) -> list[family.Member]:
    """`list_students`, without what they are made from."""
    return [net.member for net in self.list_students(seeds)]

  def list_scores(
      self, *, partial: bool = False,
  ) -> tuple[list[Wanted], list[Mapping[str, Any]]]:
    """The final students, and what the scores of each are made from."""
    taught = students.find_taught(self.config)
    nets = [net for net in self.list_students(partial=partial)
            if not partial or (self.root / net.slot).exists()]
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

  def read_records(self, *, partial: bool = False) -> Shown:
    """The records of every stage, teachers first, each verified.

    Args:
      partial: whether students that are not there yet are left out; else they
        are refused.
    """
    made_with: dict[str, Mapping[str, Any]] = {}

    def read(folder: pathlib.Path, found: kept.Root) -> Record:
      made_with[str(folder)] = found.made_with
      return records.read_record(folder)

    deep = [read(self.root / net.slot, kept_nets.require_net(self.root, net))
            for name in self.config.teachers
            for net in self.list_teachers(name)]
    deep += [read(folder, workdir.require(
        folder, 'ensembles', self.say_ensemble_origin(folder.name)))
             for folder in (self.root / 'ensembles' / name
                            for name in self.config.ensembles)]
    searched = self.read_searched(partial=partial)
    rates = students.choose_rates(searched)
    shallow = []
    for net, origin in zip(*self.list_scores(partial=partial), strict=True):
      folder = students.scores_folder(self.root, net)
      try:
        shallow.append(read(folder, workdir.require(
            folder, 'students', origin)))
      except workdir.UnfinishedError:
        if not partial:
          raise
    found = [*deep, *students.mark_selected(searched, rates), *shallow]
    if self.config.report.latency:
      found = self._add_latencies(found, partial)
    return Shown(found, list(made_with.values()),
                 self._count_students() - len(shallow))

  def _add_latencies(self, found: list[Record], partial: bool) -> list[Record]:
    folder = self.root / 'latencies'
    try:
      workdir.require(folder, 'latencies', self.say_latency_origin())
    except workdir.UnfinishedError:
      if not partial:
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
    found = []
    for net, origin in zip(*self.list_scores(), strict=True):
      folder = students.scores_folder(self.root, net)
      workdir.require(folder, 'students', origin)
      found.append(records.read_record(folder))
    return found

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
