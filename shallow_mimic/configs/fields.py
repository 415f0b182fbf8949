"""What a section of the configuration is: a frozen dataclass with checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from shallow_mimic import errors
from shallow_mimic.configs import checks

T = TypeVar('T')
S = TypeVar('S', bound='Section')


def field(default: T, check: checks.Check) -> T:
  """A field with its default and what it may be."""
  return dataclasses.field(default=default, metadata={'check': check})


def made(make: Callable[[], T], check: checks.Check) -> T:
  """A field whose default is made anew."""
  return dataclasses.field(default_factory=make, metadata={'check': check})


def empty() -> Mapping[str, Any]:
  """No names."""
  return checks.Frozen({})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
  """Fields that check themselves; `place` is the section's name in messages."""

  PLACE: ClassVar[str] = ''
  place: dataclasses.InitVar[str] = ''

  def __post_init__(self, place: str) -> None:
    place = place or self.PLACE
    for one in dataclasses.fields(self):
      value = one.metadata['check'](
          f'{place}.{one.name}'.lstrip('.'), getattr(self, one.name))
      object.__setattr__(self, one.name, value)
    self.check(place)

  def check(self, place: str) -> None:
    """UserError where fields, each valid, do not go together."""


@dataclasses.dataclass(frozen=True)
class Within:
  """The check of a field that is a section, or of one section of a map."""

  kind: type[Section]

  def __call__(self, field: str, value: Any) -> Section:
    """The section."""
    return make_section(self.kind, field, value)


def make_section(kind: type[S], place: str, given: Any) -> S:
  """A section from a mapping of exactly its fields; one made stays as it is."""
  if isinstance(given, kind):
    return given
  known = sorted(one.name for one in dataclasses.fields(kind))
  if not checks.is_mapping(given):
    raise errors.UserError(
        f'the config section {place} is {given!r}; it must have the fields'
        f' {", ".join(known)}')
  fields = dict(given.items())
  checks.check_fields(place and f'of {place}', fields, known)
  return kind(**fields, place=place)


def to_tree(value: Any) -> Any:
  """Sections and mappings as dicts, in the order of their fields."""
  if isinstance(value, Section):
    return {one.name: to_tree(getattr(value, one.name))
            for one in dataclasses.fields(value)}
  if isinstance(value, Mapping):
    return {name: to_tree(one) for name, one in value.items()}
  return tuple(map(to_tree, value)) if isinstance(value, tuple) else value
