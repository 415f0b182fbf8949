"""The configuration: every field with its default, and what is valid.

An experiment is a file in `launch/configs` that starts from
`default_config()` and changes what differs.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import ml_collections
from ml_collections import config_dict

from shallow_mimic import (
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
      report=config_dict.create(figure_width=0, notes=(), paper=()),
  )


def default_students() -> ml_collections.ConfigDict:
  """The student family; `H` in its architecture stands for the width."""
  return config_dict.create(
      architecture='H', widths=(16, 64, 256, 1024), seeds=3,
      learning_rates=(0.005, 0.01, 0.02, 0.04), activation='relu',
      bias_spread=0.5, steps=5000, search_steps=1000, search_seeds=1,
      batch=128, eval_every=250, optimizer='adam', momentum=0.9, warmup=0.05,
      clip=0.0, waste=0.25, curves={},
  )


def make_teacher(**changes: Any) -> ml_collections.ConfigDict:
  """A group of teachers: one architecture, `members` seeds.

  `together` nets train as one program, 0 for all of the group.
  """
  fields = dict(
      architecture='', members=1, first_seed=0, together=0, inputs='train',
      steps=2000, batch=128, eval_every=250, optimizer='adam', momentum=0.9,
      learning_rate=0.003, weight_decay=0.0, warmup=0.05, clip=0.0, net={},
  )
  return _changed('teacher', fields, changes)


def make_ensemble(*members: str, space: str = 'logits',
                  ) -> ml_collections.ConfigDict:
  """An ensemble of groups 'CNN' or of single teachers 'CNN:0'."""
  return config_dict.create(members=tuple(members), space=space)


def make_curve(**changes: Any) -> ml_collections.ConfigDict:
  """A student curve: what it minimises, on which inputs, after which teacher.

  No `widths` or `learning_rates`: those of the family.
  """
  fields = dict(
      objective='logit_regression', inputs='train', teacher='', widths=(),
      learning_rates=(), weight_decays=(0.0,), dropout_input=0.0,
      dropout_hidden=0.0, temperature=1.0, alpha=0.5,
  )
  return _changed('curve', fields, changes)


def _changed(kind, fields, changes):
  made = config_dict.create(**fields)
  _check_fields(f'of a {kind}', {**fields, **changes}, fields)
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
  _check_known(config, default_config())
  for name, group in config.teachers.items():
    _check_fields(f'of teachers.{name}', group, make_teacher())
    for option in group.net:
      _fail(option not in _NET_OPTIONS, f'teachers.{name}.net', option,
            f'of {", ".join(_NET_OPTIONS)}')
    _check_training(f'teachers.{name}', group)
    _check_rates(f'teachers.{name}.learning_rate', [group.learning_rate])
    _check_positive(f'teachers.{name}', group, ('members',))
    models.parse_architecture(group.architecture)
  students = config.students
  _check_training('students', students)
  _check_positive('students', students,
                  ('seeds', 'search_steps', 'search_seeds'))
  _check_rates('students.learning_rates', students.learning_rates)
  _check_widths('students.widths', students.widths)
  models.with_width(students.architecture, max(students.widths))
  _fail(not 0 <= students.waste < 1, 'students.waste', students.waste,
        'a share from 0 to below 1')
  for name, ensemble in config.ensembles.items():
    _check_ensemble(config, name, ensemble)
  for name, curve in students.curves.items():
    _check_curve(config, name, curve)
  _fail(config.logits.part_rows < 1, 'logits.part_rows',
        config.logits.part_rows, 'at least 1')
  _fail(config.logits.dtype not in logits.DTYPES, 'logits.dtype',
        config.logits.dtype, f'one of {", ".join(logits.DTYPES)}')
  _fail(config.parallel.split not in parallel.SPLITS, 'parallel.split',
        config.parallel.split, f'one of {", ".join(parallel.SPLITS)}')
  _fail(config.parallel.devices < 0, 'parallel.devices',
        config.parallel.devices, '0 (all) or more')


def _check_known(config, known):
  """Fields of the fixed sections; free maps are those that start empty."""
  _check_fields('', config, known)
  for key, value in config.items():
    if isinstance(value, ml_collections.ConfigDict) and len(known[key]):
      _check_known(value, known[key])


def _check_fields(where, section, known):
  """Exactly the fields of `known`: a section may come as a plain dict."""
  for name in sorted(set(section) ^ set(known)):
    raise errors.UserError(
        f'{"unknown" if name in section else "missing"} config field {name!r}'
        f'{where and " "}{where}; known: {", ".join(known)}')


def _check_training(prefix, section):
  _check_positive(prefix, section, ('steps', 'batch', 'eval_every'))
  _fail(section.optimizer not in ('adam', 'sgd'), f'{prefix}.optimizer',
        section.optimizer, 'adam or sgd')
  _fail(not 0 <= section.momentum < 1, f'{prefix}.momentum', section.momentum,
        'from 0 to below 1')
  _fail(not 0 <= section.warmup < 1, f'{prefix}.warmup', section.warmup,
        'a share from 0 to below 1')
  _fail(not section.clip >= 0, f'{prefix}.clip', section.clip,
        '0 (off) or a positive norm')


def _check_positive(prefix, section, names):
  for name in names:
    _fail(section[name] < 1, f'{prefix}.{name}', section[name], 'at least 1')


def _check_rates(field, rates):
  _fail(not len(rates), field, rates, 'one learning rate or more')
  for rate in rates:
    _fail(not (_is_finite(rate) and rate > 0), field, rate,
          'finite and above 0')
  _fail(len(set(rates)) < len(rates), field, rates, 'without repeats')


def _check_widths(field, widths):
  _fail(not len(widths), field, widths, 'one width or more')
  for width in widths:
    _fail(not isinstance(width, int) or width < 1, field, width,
          'whole numbers from 1')
  _fail(len(set(widths)) < len(widths), field, tuple(widths), 'without repeats')


def _check_ensemble(config, name, ensemble):
  field = f'ensembles.{name}'
  _check_fields(f'of {field}', ensemble, make_ensemble())
  _fail(ensemble.space not in ensembles.SPACES, f'{field}.space',
        ensemble.space, f'one of {", ".join(ensembles.SPACES)}')
  _fail(not ensemble.members, f'{field}.members', ensemble.members,
        'one teacher or more')
  for member in ensemble.members:
    group, _, index = member.partition(':')
    _fail(group not in config.teachers, f'{field}.members', member,
          f'of the teachers {", ".join(config.teachers)}')
    count = config.teachers[group].members
    _fail(bool(index) and not (index.isdigit() and int(index) < count),
          f'{field}.members', member, f'{group}:0 to {group}:{count - 1}')


def _check_curve(config, name, curve):
  field = f'students.curves.{name}'
  _check_fields(f'of {field}', curve, make_curve())
  _fail(curve.objective not in objectives.LOSSES, f'{field}.objective',
        curve.objective, f'one of {", ".join(objectives.LOSSES)}')
  if curve.objective in objectives.NEEDS_TEACHER:
    _fail(curve.teacher not in config.ensembles, f'{field}.teacher',
          curve.teacher, f'one of the ensembles {", ".join(config.ensembles)}')
  if curve.widths:
    _check_widths(f'{field}.widths', curve.widths)
  if curve.learning_rates:
    _check_rates(f'{field}.learning_rates', curve.learning_rates)
  for rate in ('dropout_input', 'dropout_hidden'):
    _fail(not 0 <= curve[rate] < 1, f'{field}.{rate}', curve[rate],
          'from 0 to below 1')
  for decay in curve.weight_decays:
    _fail(not (_is_finite(decay) and decay >= 0), f'{field}.weight_decays',
          decay, 'finite and not negative')
  _fail(not curve.weight_decays, f'{field}.weight_decays', (),
        'one value or more')
  _fail(not (_is_finite(curve.temperature) and curve.temperature > 0),
        f'{field}.temperature', curve.temperature, 'finite and above 0')
  _fail(not 0 <= curve.alpha <= 1, f'{field}.alpha', curve.alpha,
        'from 0 to 1')


def _is_finite(value):
  return isinstance(value, int | float) and math.isfinite(value)


def _fail(wrong, field, value, allowed):
  if wrong:
    raise errors.UserError(f'config.{field} is {value!r}; it must be {allowed}')


def to_json(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """The configuration as a JSON tree, tuples as lists."""
  text = json.dumps(config.to_dict(), default=lambda value: value.to_dict())
  return json.loads(text)
