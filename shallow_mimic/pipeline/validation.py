"""What a configuration asks of the data and the devices, before it trains."""

from __future__ import annotations

import dataclasses

from shallow_mimic import (
  configs,
  ensembles,
  errors,
  logits,
  models,
  students,
  teachers,
)
from shallow_mimic.configs import checks
from shallow_mimic.configs.checks import fail
from shallow_mimic.data import mixtures, preprocessing
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.sources import read, transfer
from shallow_mimic.training import family, objectives, parallel

_NET_OPTIONS = {f.name: f.default for f in dataclasses.fields(models.Options)}


def check_realign(config: configs.Config) -> None:
  """Rounds of realignment, and which group of teachers aligns."""
  rounds, group = config.data.speech.realign, config.data.speech.aligner
  fail(rounds > 0 and config.data.source != 'timit',
              'data.speech.realign', rounds, "0 unless data.source is 'timit'")
  if rounds:
    only = not group and len(config.teachers) == 1
    fail(not only and group not in config.teachers,
                'data.speech.aligner', group,
                f'one of the teachers {", ".join(config.teachers)}')


def check_inputs(config: configs.Config, dataset: Dataset) -> None:
  """Every set that the configuration trains on exists and has its labels."""
  known, sets = mixtures.set_sizes(dataset), mixtures.known_sets(dataset)
  wanted = [(f'teachers.{name}.inputs', group.inputs, True)
            for name, group in config.teachers.items()]
  wanted += [(f'students.curves.{name}.inputs', curve.inputs,
              curve.objective in objectives.NEEDS_LABELS)
             for name, curve in config.students.curves.items()]
  for field, text, labels in wanted:
    _, fold = mixtures.split_fold(text)
    if fold is not None and fold >= config.data.folds:
      raise errors.UserError(
          f'config.{field} is {text!r}, but the data have {config.data.folds}'
          ' folds (config.data.folds)')
    for name, _ in mixtures.parse_inputs(text, known):
      if labels and (sets[name].y < 0).any():
        raise errors.UserError(
            f'config.{field} is {text!r}, but {name!r} has no labels to train'
            ' on'
        )


def check_nets(config: configs.Config, dataset: Dataset) -> None:
  """Every net fits the data and the devices; every size can be had."""
  problem = dataset.input_shape, dataset.classes
  members = students.make_members(config.students, *problem, seeds=1)
  for name, group in config.teachers.items():
    members += teachers.make_members(name, group)
  for member in members:
    family.member_net(member, *problem)
  # How many all are may be another number where nets are trained.
  check_batches(config, config.parallel.devices or 1)
  for name, ensemble in config.ensembles.items():
    if ensemble.mirror and len(dataset.input_shape) != 3:
      raise errors.UserError(
          f'config.ensembles.{name}.mirror is set, but inputs of shape'
          f' {dataset.input_shape} are no images'
      )


def check_batches(config: configs.Config, devices: int) -> None:
  """Every batch can be split over so many devices, where it is to be."""
  for section in (config.students, *config.teachers.values()):
    parallel.check_split(config.parallel.split, section.batch, devices)


def check_config(given: configs.Given) -> configs.Config:
  """The configuration, checked by itself and against what there is.

  Raises:
    UserError: of one line, with the field's name.
  """
  config = configs.read_config(given)
  for name, group in config.teachers.items():
    _check_group(config, name, group)
  check_realign(config)
  _check_data(config.data)
  section = config.students
  models.with_width(section.architecture, max(section.widths))
  fail(not config.ensembles, 'ensembles', {},
       'one ensemble or more: students are compared to it')
  fail(not section.curves, 'students.curves', {}, 'one curve or more')
  for name, ensemble in config.ensembles.items():
    _check_ensemble(config, name, ensemble)
  for name, curve in section.curves.items():
    _check_curve(config, name, curve)
  fail(config.report.independent not in ('', *config.ensembles),
       'report.independent', config.report.independent,
       f'one of the ensembles {", ".join(config.ensembles)}')
  fail(config.logits.dtype not in logits.DTYPES, 'logits.dtype',
       config.logits.dtype, f'one of {", ".join(logits.DTYPES)}')
  fail(config.parallel.split not in parallel.SPLITS, 'parallel.split',
       config.parallel.split, f'one of {", ".join(parallel.SPLITS)}')
  return config


def _check_data(data: configs.Data) -> None:
  read.check_name(data.source)
  fail(data.source == 'timit' and data.limit_train > 0, 'data.limit_train',
       data.limit_train, "0 where the source is 'timit';"
       ' data.speech.train_speakers limits its speakers')
  for step in data.preprocessing:
    preprocessing.parse_step(step)
  transfer.transfer_specs(data)


def _check_group(config: configs.Config, name: str,
                 group: configs.Teacher) -> None:
  field = f'teachers.{name}'
  for option, value in group.net.items():
    fail(option not in _NET_OPTIONS, f'{field}.net', option,
         f'of {", ".join(_NET_OPTIONS)}')
    checks.check_type(f'{field}.net.{option}', value, _NET_OPTIONS[option])
  fail(group.folds not in (0, config.data.folds) or
       group.folds > group.members, f'{field}.folds', group.folds,
       '0, or config.data.folds and at most `members`')
  models.parse_architecture(group.architecture)


def _check_ensemble(config: configs.Config, name: str,
                    ensemble: configs.Ensemble) -> None:
  field = f'ensembles.{name}'
  fail(ensemble.space not in ensembles.SPACES, f'{field}.space',
       ensemble.space, f'one of {", ".join(ensembles.SPACES)}')
  fail(not ensemble.members, f'{field}.members', ensemble.members,
       'one teacher or more')
  for member in ensemble.members:
    group, _, index = member.partition(':')
    fail(group not in config.teachers, f'{field}.members', member,
         f'of the teachers {", ".join(config.teachers)}')
    count = config.teachers[group].members
    right = index.isascii() and index.isdigit() and len(index) < 10 and (
        int(index) < count)
    fail(bool(index) and not right, f'{field}.members', member,
         f'{group}:0 to {group}:{count - 1}')


def _check_curve(config: configs.Config, name: str,
                 curve: configs.Curve) -> None:
  field = f'students.curves.{name}'
  fail(curve.objective not in objectives.LOSSES, f'{field}.objective',
       curve.objective, f'one of {", ".join(objectives.LOSSES)}')
  if curve.objective in objectives.NEEDS_TEACHER:
    fail(curve.teacher not in config.ensembles, f'{field}.teacher',
         curve.teacher, f'one of the ensembles {", ".join(config.ensembles)}')
  if curve.architecture:
    models.with_width(curve.architecture,
                      max(curve.widths or config.students.widths))
  known = sorted(objectives.WEIGHTED)
  fail(bool(curve.weights) and curve.objective not in known,
       f'{field}.weights', curve.weights,
       f'() unless the objective is one of {", ".join(known)}')
