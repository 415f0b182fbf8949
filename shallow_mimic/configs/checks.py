"""Checks of a configuration's values: a UserError of one line, or nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from shallow_mimic import errors


def check_known(config: Any, known: Any) -> None:
  """Fields of the fixed sections; free maps are those that start empty."""
  check_fields('', config, known)
  for key, value in config.items():
    if isinstance(value, ml_collections.ConfigDict) and len(known[key]):
      check_known(value, known[key])


def check_fields(where: str, section: Mapping[str, Any],
                 known: Mapping[str, Any]) -> None:
  """Exactly the fields of `known`: a section may come as a plain dict."""
  if not isinstance(section, Mapping | ml_collections.ConfigDict):
    raise errors.UserError(
        f'the config section {where.removeprefix("of ")} is {section!r}; it'
        f' must have the fields {", ".join(known)}')
  for name in sorted(set(section) ^ set(known)):
    raise errors.UserError(
        f'{"unknown" if name in section else "missing"} config field {name!r}'
        f'{where and " "}{where}; known: {", ".join(known)}')


def check_training(prefix: str, section: Any) -> None:
  """How nets are trained: steps, batch, optimiser."""
  check_positive(prefix, section, ('steps', 'batch', 'eval_every'))
  fail(section.optimizer not in ('adam', 'muon', 'sgd'), f'{prefix}.optimizer',
       section.optimizer, 'adam, muon or sgd')
  fail(not 0 <= section.momentum < 1, f'{prefix}.momentum', section.momentum,
       'from 0 to below 1')
  fail(not 0 <= section.warmup < 1, f'{prefix}.warmup', section.warmup,
       'a share from 0 to below 1')
  fail(not section.clip >= 0, f'{prefix}.clip', section.clip,
       '0 (off) or a positive norm')


def check_positive(prefix: str, section: Any, names: Sequence[str]) -> None:
  """Counts from 1."""
  for name in names:
    fail(section[name] < 1, f'{prefix}.{name}', section[name], 'at least 1')


def check_counts(prefix: str, section: Any, names: Sequence[str]) -> None:
  """Counts and seeds from 0, as 32 bits hold them."""
  for name in names:
    fail(not 0 <= section[name] < 2 ** 31, f'{prefix}.{name}'.lstrip('.'),
         section[name], 'from 0 to below 2147483648')


def check_decay(field: str, decay: Any) -> None:
  """Weight decay: a number from 0."""
  fail(not (is_finite(decay) and decay >= 0), field, decay,
       'finite and not negative')


def check_rates(field: str, rates: Sequence[float]) -> None:
  """Learning rates: at least one, no two alike."""
  fail(not len(rates), field, rates, 'one learning rate or more')
  for rate in rates:
    fail(not (is_finite(rate) and rate > 0), field, rate, 'finite and above 0')
  fail(len(set(rates)) < len(rates), field, rates, 'without repeats')


def check_widths(field: str, widths: Sequence[int]) -> None:
  """Widths, or numbers of parameters: at least one, no two alike."""
  fail(not len(widths), field, widths, 'one width or more')
  for width in widths:
    fail(not isinstance(width, int) or width < 1, field, width,
         'whole numbers from 1')
  fail(len(set(widths)) < len(widths), field, tuple(widths), 'without repeats')


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


def check_type(field: str, value: Any, default: Any) -> None:
  """Of the type of its default: None is for text, a float may be an int."""
  kind = type(default)
  wanted = {bool: 'True or False', int: 'a whole number', float: 'a number'}
  right = (type(value) is kind or (kind is float and type(value) is int)
           or (default is None and isinstance(value, str)))
  fail(not right, field, value, wanted.get(kind, 'a name in quotes'))


def is_finite(value: Any) -> bool:
  """Whether it is a number, and neither infinite nor NaN."""
  return isinstance(value, int | float) and math.isfinite(value)


def fail(wrong: bool, field: str, value: Any, allowed: str) -> None:
  """UserError that says what may stand there, if what does is wrong."""
  if wrong:
    raise errors.UserError(f'config.{field} is {value!r}; it must be {allowed}')
