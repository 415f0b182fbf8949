"""What a configuration asks of the data and the devices, before it trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import ml_collections

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
from shallow_mimic.curves import results
from shallow_mimic.data import mixtures, preprocessing
from shallow_mimic.data.sources import read, transfer
from shallow_mimic.training import (
  LossSpec,
  family,
  loss_checks,
  objectives,
  parallel,
)
from shallow_mimic.training.loss_specs import ALPHA, TEMPERATURE

_NET_OPTIONS = {f.name: f.default for f in dataclasses.fields(models.Options)}


def check_realign(config: Any) -> None:
  """Rounds of realignment, and which group of teachers aligns."""
  rounds, group = config.data.speech.realign, config.data.speech.aligner
  fail(rounds < 0, 'data.speech.realign', rounds, '0 or more')
  fail(rounds > 0 and config.data.source != 'timit',
              'data.speech.realign', rounds, "0 unless data.source is 'timit'")
  if rounds:
    only = not group and len(config.teachers) == 1
    fail(not only and group not in config.teachers,
                'data.speech.aligner', group,
                f'one of the teachers {", ".join(config.teachers)}')


def check_inputs(config, dataset):
  """Every set that the configuration trains on exists and has its labels."""
  known, sets = mixtures.set_sizes(dataset), mixtures.known_sets(dataset)
  wanted = [(f'teachers.{name}.inputs', group.inputs, True)
            for name, group in config.teachers.items()]
  wanted += [(f'students.curves.{name}.inputs', curve.inputs,
              LossSpec.registry.find(curve.objective).needs_labels)
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


def check_nets(config, dataset):
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


def check_batches(config, devices):
  """Every batch can be split over so many devices, where it is to be."""
  for section in (config.students, *config.teachers.values()):
    parallel.check_split(config.parallel.split, section.batch, devices)


def check_config(config: ml_collections.ConfigDict) -> None:
  """UserError of one line, with the field's name, unless all is valid."""
  checks.check_known(config, configs.default_config())
  for name, group in config.teachers.items():
    _check_group(config, name, group)
  check_realign(config)
  checks.check_counts('', config, ('seed',))
  _check_data(config.data)
  students = config.students
  checks.check_training('students', students)
  checks.check_positive('students', students,
                        ('seeds', 'search_steps', 'search_seeds'))
  checks.check_rates('students.learning_rates', students.learning_rates)
  checks.check_widths('students.widths', students.widths)
  if students.parameters:
    checks.check_widths('students.parameters', students.parameters)
  checks.fail(students.rate_width < 0, 'students.rate_width',
              students.rate_width, '0 or a width')
  models.with_width(students.architecture, max(students.widths))
  checks.fail(not 0 <= students.waste < 1, 'students.waste', students.waste,
              'a share from 0 to below 1')
  checks.fail(not config.ensembles, 'ensembles', {},
              'one ensemble or more: students are compared to it')
  checks.fail(not students.curves, 'students.curves', {}, 'one curve or more')
  for name, ensemble in config.ensembles.items():
    _check_ensemble(config, name, ensemble)
  for name, curve in students.curves.items():
    _check_curve(config, name, curve)
  checks.fail(config.report.independent not in ('', *config.ensembles),
              'report.independent', config.report.independent,
              f'one of the ensembles {", ".join(config.ensembles)}')
  for row in config.report.paper:
    checks.fail(not isinstance(row, Mapping | ml_collections.ConfigDict)
                or 'model' not in row, 'report.paper', row,
                "a tuple of rows such as {'model': 'CNN', 'error': 12.0}")
  checks.fail(config.logits.part_rows < 1, 'logits.part_rows',
              config.logits.part_rows, 'at least 1')
  checks.fail(config.logits.dtype not in logits.DTYPES, 'logits.dtype',
              config.logits.dtype, f'one of {", ".join(logits.DTYPES)}')
  checks.fail(config.parallel.split not in parallel.SPLITS, 'parallel.split',
              config.parallel.split, f'one of {", ".join(parallel.SPLITS)}')
  checks.fail(config.parallel.devices < 0, 'parallel.devices',
              config.parallel.devices, '0 (all) or more')


def _check_data(data):
  read.check_name(data.source)
  checks.check_counts('data', data, ('seed', 'folds', 'dev', 'limit_train'))
  checks.check_counts('data.speech', data.speech, ('fold', 'reach'))
  checks.fail(not data.memory_gib >= 0, 'data.memory_gib', data.memory_gib,
              '0 (stream everything) or more')
  checks.fail(data.source == 'timit' and data.limit_train > 0,
              'data.limit_train', data.limit_train, '0 where the source is'
              " 'timit'; data.speech.train_speakers limits its speakers")
  for step in data.preprocessing:
    preprocessing.parse_step(step)
  transfer.transfer_specs(data)


def _check_group(config, name, group):
  field = f'teachers.{name}'
  checks.check_fields(f'of {field}', group, configs.make_teacher())
  for option in group.net:
    checks.fail(option not in _NET_OPTIONS, f'{field}.net', option,
                f'of {", ".join(_NET_OPTIONS)}')
    checks.check_type(f'{field}.net.{option}', group.net[option],
                      _NET_OPTIONS[option])
  checks.check_training(field, group)
  checks.check_rates(f'{field}.learning_rate', [group.learning_rate])
  checks.check_decay(f'{field}.weight_decay', group.weight_decay)
  checks.check_positive(field, group, ('members',))
  checks.check_counts(field, group, ('first_seed', 'together'))
  checks.fail(group.folds not in (0, config.data.folds) or
              group.folds > group.members, f'{field}.folds',
              group.folds, '0, or config.data.folds and at most `members`')
  models.parse_architecture(group.architecture)


def _check_ensemble(config, name, ensemble):
  field = f'ensembles.{name}'
  checks.check_fields(f'of {field}', ensemble, configs.make_ensemble())
  checks.fail(ensemble.space not in ensembles.SPACES, f'{field}.space',
              ensemble.space, f'one of {", ".join(ensembles.SPACES)}')
  checks.fail(not ensemble.members, f'{field}.members', ensemble.members,
              'one teacher or more')
  for member in ensemble.members:
    group, _, index = member.partition(':')
    checks.fail(group not in config.teachers, f'{field}.members', member,
                f'of the teachers {", ".join(config.teachers)}')
    count = config.teachers[group].members
    checks.fail(bool(index) and not (index.isdigit() and int(index) < count),
                f'{field}.members', member, f'{group}:0 to {group}:{count - 1}')


def _check_curve(config, name, curve):
  field = f'students.curves.{name}'
  checks.check_fields(f'of {field}', curve, configs.make_curve())
  _check_objective(config, field, curve)
  if curve.widths:
    checks.check_widths(f'{field}.widths', curve.widths)
  if curve.parameters:
    checks.check_widths(f'{field}.parameters', curve.parameters)
    checks.fail(len(curve.widths), f'{field}.parameters', curve.parameters,
                '() where the curve has widths of its own')
  if curve.architecture:
    models.with_width(curve.architecture,
                      max(curve.widths or config.students.widths))
  if curve.learning_rates:
    checks.check_rates(f'{field}.learning_rates', curve.learning_rates)
  for rate in ('dropout_input', 'dropout_hidden'):
    checks.fail(not 0 <= curve[rate] < 1, f'{field}.{rate}', curve[rate],
                'from 0 to below 1')
  for decay in curve.weight_decays:
    checks.check_decay(f'{field}.weight_decays', decay)
  checks.fail(not curve.weight_decays, f'{field}.weight_decays', (),
              'one value or more')


def _check_objective(config: Any, field: str, curve: Any) -> None:
  """The loss, its teacher and its constants; one's own is tried as well."""
  known, name = LossSpec.registry, curve.objective
  checks.fail(name not in known, f'{field}.objective', name,
              f'one of {", ".join(known)}')
  spec = known[name]
  if spec.needs_teacher:
    checks.fail(curve.teacher not in config.ensembles, f'{field}.teacher',
                curve.teacher,
                f'one of the ensembles {", ".join(config.ensembles)}')
  checks.fail(bool(curve.teacher) and not spec.needs_teacher,
              f'{field}.teacher', curve.teacher,
              f"'': the loss {name!r} needs no teacher")
  for key, one in (('temperature', TEMPERATURE), ('alpha', ALPHA)):
    checks.fail(not one.allows(curve[key]), f'{field}.{key}', curve[key],
                one.range)
    stated = any(own.field == key for own in spec.constants.values())
    checks.fail(bool(spec.version) and not stated
                and curve[key] != one.default, f'{field}.{key}', curve[key],
                f'{one.default}: the constants of {name!r} stand in'
                f' {field}.constants')
  _check_weights(f'{field}.weights', curve)
  _check_constants(f'{field}.constants', spec, curve.constants)
  if spec.version:
    loss_checks.check_loss(spec, objectives.find_constants(
        objectives.make_objective(
            name, temperature=curve.temperature, alpha=curve.alpha,
            constants=dict(curve.constants))))


def _check_weights(field: str, curve: Any) -> None:
  weights = curve.weights
  if not weights:
    return
  known = {name: [one for one in spec.constants.values()
                  if one.field == 'weights']
           for name, spec in sorted(LossSpec.registry.items())}
  wanted = known.pop(curve.objective)
  checks.fail(not wanted, field, weights, '() unless the objective is one of '
              + ', '.join(name for name, found in known.items() if found))
  right = len(weights) == len(wanted) and all(
      one.allows(w) for one, w in zip(wanted, weights, strict=True))
  checks.fail(not right or not any(weights), field,
              weights, 'two numbers from 0, not both 0')


def _check_constants(field: str, spec: LossSpec, stated: Mapping[str, Any],
                     ) -> None:
  """Those that a loss has, and no other; none without a value."""
  taken = {*results.COLUMNS, *results.FACTS} & {*spec.constants}
  if taken:
    raise errors.UserError(
        f'the loss {spec.name!r} has a constant {min(taken)!r}; choose another'
        ' name: results.csv has that word for something else')
  known = {key: one for key, one in spec.constants.items()
           if one.field == 'constants'}
  for key, value in stated.items():
    allowed = f'one of {", ".join(known)}' if known else 'left out'
    checks.fail(key not in known, field, key,
                f'{allowed}: the objective is {spec.name!r}')
    checks.fail(not known[key].allows(value), f'{field}.{key}', value,
                known[key].range)
  missing = [key for key, one in known.items()
             if key not in stated and one.default is None]
  checks.fail(bool(missing), field, dict(stated), 'a value for each of'
              f' {", ".join(missing)}: the objective is {spec.name!r}')
