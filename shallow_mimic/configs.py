"""The configuration: every field with its default, and what is valid.

An experiment is a file in `launch/configs` that starts from
`default_config()` and changes what differs.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import ml_collections
from ml_collections import config_dict

from shallow_mimic import (
    checks,
    ensembles,
    errors,
    logits,
    models,
    objectives,
    parallel,
)

_NET_OPTIONS = tuple(f.name for f in dataclasses.fields(models.Options))


def default_config() -> ml_collections.ConfigDict:
  """All fields; a field that is not here is refused."""
  return config_dict.create(
      title='',
      # Seeds everything that is trained. Data have a seed of their own.
      seed=0,
      data=config_dict.create(
          source='mnist1d', name='', path='', data_dir='', splits={},
          dev=400, limit_train=0, seed=0, preprocessing=('standardise',),
          transfer={},
          # TIMIT: the sample's test fold, and what one input is.
          speech=config_dict.create(
              fold=0, folds=4, dev_speakers=3, train_speakers=0,
              damaged='refuse', reach=7,
              # Rounds of realignment, and the teachers one of which aligns.
              realign=0, aligner=''),
          # Of the training inputs, for targets by teachers that held them out.
          folds=0,
          # Only for a plan made before the data are there.
          input_shape=(), classes=0, examples=0,
      ),
      teachers={},
      ensembles={},
      logits=config_dict.create(part_rows=16384, dtype='float32'),
      students=default_students(),
      parallel=config_dict.create(
          # 0: all devices. split: 'family' or 'batch'.
          devices=0, split='family', save_seconds=30.0,
      ),
      # independent: an ensemble to compare those students to that owe it
      # nothing. latency: whether to time nets; times are never the same twice.
      report=config_dict.create(figure_width=0, notes=(), paper=(),
                                independent='', latency=False),
  )


def default_students() -> ml_collections.ConfigDict:
  """The student family; `H` in its architecture stands for the width.

  `parameters`, numbers of parameters, replaces `widths`: each student gets the
  width that comes nearest, every curve by its own architecture.
  """
  return config_dict.create(
      architecture='H', widths=(16, 64, 256, 1024), parameters=(), seeds=3,
      learning_rates=(0.005, 0.01, 0.02, 0.04),
      # The width that the rates are for; 0: for all. See `scale_rates`.
      rate_width=0, activation='relu',
      bias_spread=0.5, steps=5000, search_steps=1000, search_seeds=1,
      batch=128, eval_every=250, optimizer='adam', momentum=0.9, warmup=0.05,
      clip=0.0, waste=0.25, curves={},
  )


def make_teacher(**changes: Any) -> ml_collections.ConfigDict:
  """A group of teachers: one architecture, `members` seeds.

  `together` nets train as one program, 0 for all of the group. With `folds`
  member i leaves out fold i % folds of the training inputs, and labels it.
  """
  fields = dict(
      architecture='', members=1, first_seed=0, together=0, inputs='train',
      steps=2000, batch=128, eval_every=250, optimizer='adam', momentum=0.9,
      learning_rate=0.003, weight_decay=0.0, warmup=0.05, clip=0.0, net={},
      folds=0,
  )
  return _changed('teacher', fields, changes)


def make_ensemble(*members: str, space: str = 'logits',
                  ) -> ml_collections.ConfigDict:
  """An ensemble of groups 'CNN' or of single teachers 'CNN:0'."""
  return config_dict.create(members=tuple(members), space=space)


def make_curve(**changes: Any) -> ml_collections.ConfigDict:
  """A student curve: what it minimises, on which inputs, after which teacher.

  No `architecture`, `widths` (or `parameters`, see `default_students`) or
  `learning_rates`: those of the family. Curves
  of several architectures train in one family. `weights` are the two of
  `decoupled_kl` (label's class, others) or of `pearson_distance` (over
  classes, over the batch); none: (1, 8) and (1, 1).
  """
  fields = dict(
      objective='logit_regression', inputs='train', teacher='',
      architecture='', widths=(), parameters=(), learning_rates=(),
      weight_decays=(0.0,), dropout_input=0.0, dropout_hidden=0.0,
      temperature=1.0, alpha=0.5, weights=(),
  )
  return _changed('curve', fields, changes)


def _changed(kind, fields, changes):
  made = config_dict.create(**fields)
  checks.check_fields(f'of a {kind}', {**fields, **changes}, fields)
  for name, value in changes.items():
    try:
      made.update({name: value})
    except (TypeError, AttributeError) as error:
      raise errors.UserError(
          f'{name} of a {kind} is {value!r}; it must be of the type of its'
          f' default, {fields[name]!r}'
      ) from error
  return made


def check_config(config: ml_collections.ConfigDict) -> None:
  """UserError of one line, with the field's name, unless all is valid."""
  checks.check_known(config, default_config())
  for name, group in config.teachers.items():
    checks.check_fields(f'of teachers.{name}', group, make_teacher())
    for option in group.net:
      checks.fail(option not in _NET_OPTIONS, f'teachers.{name}.net', option,
                  f'of {", ".join(_NET_OPTIONS)}')
    checks.check_training(f'teachers.{name}', group)
    checks.check_rates(f'teachers.{name}.learning_rate', [group.learning_rate])
    checks.check_positive(f'teachers.{name}', group, ('members',))
    checks.fail(group.folds not in (0, config.data.folds) or
                group.folds > group.members, f'teachers.{name}.folds',
                group.folds, '0, or config.data.folds and at most `members`')
    models.parse_architecture(group.architecture)
  checks.check_realign(config)
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
  for name, ensemble in config.ensembles.items():
    _check_ensemble(config, name, ensemble)
  for name, curve in students.curves.items():
    _check_curve(config, name, curve)
  checks.fail(config.report.independent not in ('', *config.ensembles),
              'report.independent', config.report.independent,
              f'one of the ensembles {", ".join(config.ensembles)}')
  checks.fail(config.logits.part_rows < 1, 'logits.part_rows',
              config.logits.part_rows, 'at least 1')
  checks.fail(config.logits.dtype not in logits.DTYPES, 'logits.dtype',
              config.logits.dtype, f'one of {", ".join(logits.DTYPES)}')
  checks.fail(config.parallel.split not in parallel.SPLITS, 'parallel.split',
              config.parallel.split, f'one of {", ".join(parallel.SPLITS)}')
  checks.fail(config.parallel.devices < 0, 'parallel.devices',
              config.parallel.devices, '0 (all) or more')


def _check_ensemble(config, name, ensemble):
  field = f'ensembles.{name}'
  checks.check_fields(f'of {field}', ensemble, make_ensemble())
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
  checks.check_fields(f'of {field}', curve, make_curve())
  checks.fail(curve.objective not in objectives.LOSSES, f'{field}.objective',
              curve.objective, f'one of {", ".join(objectives.LOSSES)}')
  if curve.objective in objectives.NEEDS_TEACHER:
    checks.fail(curve.teacher not in config.ensembles, f'{field}.teacher',
                curve.teacher,
                f'one of the ensembles {", ".join(config.ensembles)}')
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
    checks.fail(not (checks.is_finite(decay) and decay >= 0),
                f'{field}.weight_decays', decay, 'finite and not negative')
  checks.fail(not curve.weight_decays, f'{field}.weight_decays', (),
              'one value or more')
  heat = curve.temperature
  checks.fail(not (checks.is_finite(heat) and heat > 0),
              f'{field}.temperature', heat, 'finite and above 0')
  checks.fail(not 0 <= curve.alpha <= 1, f'{field}.alpha', curve.alpha,
              'from 0 to 1')
  _check_weights(f'{field}.weights', curve)


def _check_weights(field, curve):
  weights = curve.weights
  if not weights:
    return
  known = sorted(objectives.WEIGHTED)
  checks.fail(curve.objective not in known, field, weights,
              f'() unless the objective is one of {", ".join(known)}')
  right = all(checks.is_finite(w) and w >= 0 for w in weights)
  checks.fail(len(weights) != 2 or not right or not any(weights), field,
              weights, 'two numbers from 0, not both 0')


def to_json(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """The configuration as a JSON tree, tuples as lists."""
  text = json.dumps(config.to_dict(), default=lambda value: value.to_dict())
  return json.loads(text)
