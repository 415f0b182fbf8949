"""What a configuration asks of the data and the devices, before it trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from shallow_mimic import (
  configs,
  ensembles,
  errors,
  logits,
  models,
  registry,
  students,
  teachers,
)
from shallow_mimic.configs import checks
from shallow_mimic.configs.checks import fail
from shallow_mimic.curves import results
from shallow_mimic.data import (
  find_source,
  mixtures,
  preprocessing,
  say_speech_sources,
)
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.sources import transfer
from shallow_mimic.training import (
  LossSpec,
  family,
  loss_checks,
  objectives,
  parallel,
)
from shallow_mimic.training.loss_specs import ALPHA, TEMPERATURE

_NET_OPTIONS = {f.name: f.default for f in dataclasses.fields(models.Options)}


def check_realign(config: configs.Config) -> None:
  """Rounds of realignment, and which group of teachers aligns."""
  rounds, group = config.data.speech.realign, config.data.speech.aligner
  fail(rounds > 0 and not find_source(config.data).speech,
       'data.speech.realign', rounds,
       f'0 unless data.source is {say_speech_sources()}')
  if rounds:
    only = not group and len(config.teachers) == 1
    fail(not only and group not in config.teachers, 'data.speech.aligner',
         group, f'one of the teachers {", ".join(config.teachers)}')


def check_inputs(config: configs.Config, dataset: Dataset) -> None:
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
  registry.load_plugins()
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
  source = find_source(data)
  fail(source.speech and data.limit_train > 0, 'data.limit_train',
       data.limit_train, f'0 where the source is {source.name!r};'
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
  _check_objective(config, field, curve)
  if curve.architecture:
    models.with_width(curve.architecture,
                      max(curve.widths or config.students.widths))


def _check_objective(config: configs.Config, field: str,
                     curve: configs.Curve) -> None:
  """The loss, its teacher and its constants; one's own is tried as well."""
  known, name = LossSpec.registry, curve.objective
  fail(name not in known, f'{field}.objective', name,
       f'one of {", ".join(known)}')
  spec = known[name]
  if spec.needs_teacher:
    fail(curve.teacher not in config.ensembles, f'{field}.teacher',
         curve.teacher,
         f'one of the ensembles {", ".join(config.ensembles)}')
  fail(bool(curve.teacher) and not spec.needs_teacher,
       f'{field}.teacher', curve.teacher,
       f"'': the loss {name!r} needs no teacher")
  for key, one in (('temperature', TEMPERATURE), ('alpha', ALPHA)):
    stated = any(own.field == key for own in spec.constants.values())
    value = getattr(curve, key)
    fail(bool(spec.version) and not stated and value != one.default,
         f'{field}.{key}', value, f'{one.default}: the constants of {name!r}'
         f' stand in {field}.constants')
  _check_weights(f'{field}.weights', curve)
  _check_constants(f'{field}.constants', spec, curve.constants)
  if spec.version:
    loss_checks.check_loss(spec, objectives.find_constants(
        objectives.make_objective(
            name, temperature=curve.temperature, alpha=curve.alpha,
            constants=dict(curve.constants))))


def _check_weights(field: str, curve: configs.Curve) -> None:
  """Only where the loss has some; what they are, the section has checked."""
  known = sorted(name for name, spec in LossSpec.registry.items() if any(
      one.field == 'weights' for one in spec.constants.values()))
  fail(bool(curve.weights) and curve.objective not in known, field,
       curve.weights, f'() unless the objective is one of {", ".join(known)}')


def _check_constants(field: str, spec: LossSpec,
                     stated: Mapping[str, float]) -> None:
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
    fail(key not in known, field, key,
         f'{allowed}: the objective is {spec.name!r}')
    fail(not known[key].allows(value), f'{field}.{key}', value,
         known[key].range)
  missing = [key for key, one in known.items()
             if key not in stated and one.default is None]
  fail(bool(missing), field, dict(stated), 'a value for each of'
       f' {", ".join(missing)}: the objective is {spec.name!r}')
