"""What a field may be: each check gives the value back, or one line of why not.

A check takes the field's name and its value, and returns the value as Python
has it: NumPy's numbers as numbers, lists as tuples, mappings read-only.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from shallow_mimic import errors

T = TypeVar('T')
Check = Callable[[str, Any], Any]

MOST = 2 ** 31 - 1  # What 32 bits count, as JAX does.
LARGEST = float(np.finfo(np.float32).max)  # What float32 holds, as nets do.
_NAME_BYTES = 200  # File systems stop at 255, and we add to names.


class Frozen(Mapping[str, T]):
  """A mapping that nobody changes; it prints as a dict."""

  def __init__(self, items: Mapping[str, T]):
    self._items = dict(items)

  def __getitem__(self, key: str) -> T:
    return self._items[key]

  def __iter__(self) -> Iterator[str]:
    return iter(self._items)

  def __len__(self) -> int:
    return len(self._items)

  def __repr__(self) -> str:
    return repr(self._items)


def fail(wrong: bool, field: str, value: Any, allowed: str) -> None:
  """UserError that says what may stand there, if what does is wrong."""
  if wrong:
    raise errors.UserError(f'config.{field} is {value!r}; it must be {allowed}')


def check_fields(where: str, names: Iterable[Any],
                 known: Iterable[str]) -> None:
  """UserError unless the names are exactly the known ones."""
  names, known = set(names), list(known)
  for name in sorted(names ^ set(known), key=str):
    raise errors.UserError(
        f'{"unknown" if name in names else "missing"} config field {name!r}'
        f'{where and " "}{where}; known: {", ".join(known)}')


def check_type(field: str, value: Any, default: Any) -> None:
  """Of the type of its default: None is for text, a float may be an int."""
  kind = type(default)
  wanted = {bool: 'True or False', int: 'a whole number', float: 'a number'}
  right = (type(value) is kind or (kind is float and type(value) is int)
           or (default is None and isinstance(value, str)))
  fail(not right, field, value, wanted.get(kind, 'a name in quotes'))


def is_finite(value: Any) -> bool:
  """Whether it is a number, and neither infinite nor NaN."""
  return (isinstance(value, int | float) and not isinstance(value, bool)
          and abs(value) <= LARGEST)


def to_plain(value: Any) -> Any:
  """NumPy's numbers and arrays as Python's own, anything else as it is."""
  return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


@dataclasses.dataclass(frozen=True)
class Whole:
  """A whole number from `least` to `most`; `allowed` says what may be less."""

  allowed: str = f'from 0 to below {MOST + 1}'
  least: int = 0
  most: int = MOST
  why: str = ''

  def __call__(self, field: str, value: Any) -> int:
    """The number."""
    value = to_plain(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    many = self.allowed.startswith('whole')
    fail(not whole, field, value, self.allowed if many else 'a whole number')
    fail(value < self.least or (value > self.most and self == Whole()), field,
         value, self.allowed)
    fail(value > self.most, field, value, f'at most {self.most}{self.why}')
    return value


@dataclasses.dataclass(frozen=True)
class Number:
  """A finite number from `least` to `most`, but for `without`."""

  allowed: str
  least: float = 0.0
  most: float = LARGEST
  without: float | None = None

  def __call__(self, field: str, value: Any) -> float:
    """The number; a whole one stays an int."""
    value = to_plain(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    right = number and self.least <= value <= self.most
    fail(not right or value == self.without, field, value, self.allowed)
    return value


@dataclasses.dataclass(frozen=True)
class Text:
  """A text, one of `choices` where there are any.

  A path may hold bytes that are no text; all else can be written to a page.
  """

  allowed: str = 'text in quotes'
  choices: tuple[str, ...] = ()
  path: bool = False

  def __call__(self, field: str, value: Any) -> str:
    """The text."""
    value = to_plain(value)
    wrong = not isinstance(value, str) or (
        bool(self.choices) and value not in self.choices)
    fail(wrong, field, value, self.allowed)
    bad = '\0' in value or not (self.path or can_encode(value))
    fail(bad, field, value, 'text without NUL and half characters')
    return value


@dataclasses.dataclass(frozen=True)
class Many:
  """A tuple of what `each` checks; `least` is said where one is needed."""

  each: Check
  allowed: str
  least: str = ''
  repeats: bool = False

  def __call__(self, field: str, value: Any) -> tuple[Any, ...]:
    """The tuple."""
    value = to_plain(value)
    fail(not isinstance(value, tuple | list), field, value, self.allowed)
    found = tuple(self.each(field, one) for one in value)
    fail(bool(self.least) and not found, field, found, self.least)
    fail(not self.repeats and len(set(found)) < len(found), field, found,
         'without repeats')
    return found


@dataclasses.dataclass(frozen=True)
class Map:
  """A mapping from texts to what `each` checks, in the order of the texts."""

  each: Check
  name: Check = Text()

  def __call__(self, field: str, value: Any) -> Mapping[str, Any]:
    """The mapping, read-only."""
    fail(not is_mapping(value), field, value, 'a mapping from names')
    found = {self.name(field, name): one for name, one in value.items()}
    return Frozen({
        name: self.each(f'{field}.{name}', found[name])
        for name in sorted(found)})


def is_mapping(value: Any) -> bool:
  """Whether it has keys and values; a ConfigDict is no Mapping."""
  return isinstance(value, Mapping) or (
      hasattr(value, 'items') and hasattr(value, 'keys'))


def check_flag(field: str, value: Any) -> bool:
  """True or False."""
  value = to_plain(value)
  fail(not isinstance(value, bool), field, value, 'True or False')
  return value


def check_tree(field: str, value: Any) -> Any:
  """Whatever JSON holds: its meaning is another room's."""
  value = to_plain(value)
  if is_mapping(value):
    return Frozen({
        Text()(field, key): check_tree(f'{field}.{key}', one)
        for key, one in value.items()})
  if isinstance(value, tuple | list):
    return tuple(check_tree(field, one) for one in value)
  right = value is None or isinstance(value, bool | str) or is_finite(value)
  fail(not right, field, value,
       'made of texts, finite numbers, tuples and mappings')
  return value


def check_steps(field: str, value: Any) -> tuple[Any, ...]:
  """Steps of preprocessing, each a name or (name, options), no name twice."""
  steps = Many(check_tree, "a tuple of steps, such as ('standardise',)",
               repeats=True)(field, value)
  names = [step[0] if isinstance(step, tuple) and step else step
           for step in steps]
  fail(any(name in names[:place] for place, name in enumerate(names)), field,
       steps, 'without repeats')
  return steps


def check_weights(field: str, value: Any) -> tuple[float, ...]:
  """None, or two numbers from 0."""
  value = to_plain(value)
  fail(not isinstance(value, tuple | list), field, value,
       'two numbers from 0, not both 0')
  found = tuple(map(to_plain, value))
  right = all(is_finite(one) and one >= 0 for one in found)
  fail(bool(found) and (len(found) != 2 or not right or not any(found)), field,
       found, 'two numbers from 0, not both 0')
  return found


def check_row(field: str, value: Any) -> Mapping[str, Any]:
  """A row of the paper's table."""
  row = check_tree(field, value)
  fail(not is_mapping(row) or 'model' not in row, field, value,
       "a tuple of rows such as {'model': 'CNN', 'error': 12.0}")
  return row


def check_name(field: str, name: Any) -> str:
  """A curve's name: one line of text."""
  wrong = not isinstance(name, str) or not name or not can_encode(name) or any(
      unicodedata.category(letter) in ('Cc', 'Zl', 'Zp') for letter in name)
  fail(wrong, field, name,
       'named by text of one line, without control characters')
  return name


def check_folder(field: str, name: Any) -> str:
  """A name that is also that of a folder."""
  name = check_name(field, name)
  wrong = (name in ('.', '..') or bool({'/', '\\'} & set(name))
           or len(name.encode()) > _NAME_BYTES)
  fail(wrong, field, name, 'named as folders can be: without / and \\, not "."'
       f' or "..", of at most {_NAME_BYTES} bytes')
  return name


def can_encode(text: str) -> bool:
  """Whether UTF-8 can write it."""
  return not any('\ud800' <= letter <= '\udfff' for letter in text)
