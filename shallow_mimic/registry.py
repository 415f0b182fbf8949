"""Open lists: losses, layers, data sources and sections that anyone may add to.

A room keeps what it knows in a `Registry`. A user's config file adds to it,
without a change to this package:

    import shallow_mimic
    from shallow_mimic.training import LossSpec

    shallow_mimic.register(LossSpec(name='huber', version='1', ...))

So does an installed package, with an entry point of the group `shallow_mimic`
that names a function to be called without arguments.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any, Protocol, TypeVar

from shallow_mimic import errors

GROUP = 'shallow_mimic'
_NAME = re.compile(r'[A-Za-z][A-Za-z0-9_-]*')


class Entry(Protocol):
  """What a registry holds: it has a name, and a version unless it is ours."""

  @property
  def name(self) -> str:
    """What it is found by."""

  @property
  def version(self) -> str:
    """Changes whenever the entry does; '' for ours."""


T = TypeVar('T', bound=Entry)


class Registry(Mapping[str, T]):
  """Entries by name, in the order in which they came.

  Attributes:
    kind: what an entry is, in the words of a message: 'loss'.
  """

  def __init__(self, kind: str, entries: tuple[T, ...] = ()):
    """`entries` are the package's own: nobody can replace them."""
    self.kind = kind
    self._entries: dict[str, T] = {entry.name: entry for entry in entries}
    self._ours = frozenset(self._entries)

  def add(self, entry: T) -> None:
    """Adds a user's entry; one that the user added before is replaced.

    Raises:
      UserError: its name is one of ours or no name, or it states no version.
    """
    name = entry.name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
      raise errors.UserError(
          f'cannot register the {self.kind} {name!r}: use letters, digits, - '
          'and _ in its name')
    if name in self._ours:
      raise errors.UserError(
          f'cannot register the {self.kind} {name!r}: that name is taken by'
          ' one of shallow_mimic; choose another')
    if not isinstance(entry.version, str) or not entry.version:
      raise errors.UserError(
          f'cannot register the {self.kind} {name!r}: it states no version;'
          " give one, such as version='1', and change it whenever the"
          f' {self.kind} changes, as results are kept by it')
    self._entries[name] = entry

  def find(self, name: str) -> T:
    """The entry of that name; UserError that lists the known ones if none."""
    if name not in self._entries:
      raise errors.UserError(
          f'unknown {self.kind} {name!r}; known: {", ".join(self)}')
    return self._entries[name]

  def remove(self, name: str) -> None:
    """Takes a user's entry out again; for tests."""
    if name not in self._ours:
      self._entries.pop(name, None)

  def version(self, name: str) -> str:
    """The version that a user's entry states; '' for one of ours."""
    return '' if name in self._ours else self._entries[name].version

  def versions(self, names: Iterable[str] | None = None) -> dict[str, str]:
    """The versions of users' entries by name: of all, or of those named."""
    return {name: self._entries[name].version
            for name in (self if names is None else names)
            if name not in self._ours}

  def __getitem__(self, name: str) -> T:
    return self._entries[name]

  def __iter__(self) -> Iterator[str]:
    return iter(self._entries)

  def __len__(self) -> int:
    return len(self._entries)


def register(*entries: Any) -> None:
  """Adds losses, layers, data sources or sections of a report to their lists.

  Args:
    *entries: each a `training.LossSpec`, a class derived from `models.Layer`,
      a `data.Source` or a `curves.Section`, with a name and a version.

  Raises:
    UserError: an entry is none of these, its name is taken by one of ours, or
      it states no version.
  """
  for entry in entries:
    registry = getattr(entry, 'registry', None)
    if not isinstance(registry, Registry):
      raise errors.UserError(
          f'cannot register {entry!r}: it must be a LossSpec, a Layer, a Source'
          ' or a Section of shallow_mimic')
    registry.add(entry)


@functools.cache
def load_plugins() -> None:
  """Calls the entry points of installed packages, once a process.

  Raises:
    UserError: one of them cannot be loaded or fails.
  """
  for point in metadata.entry_points(group=GROUP):
    try:
      point.load()()
    except Exception as error:
      raise errors.UserError(
          f'the entry point {point.name!r} of {GROUP} ({point.value}) fails:'
          f' {type(error).__name__}: {error}; mend or uninstall that package'
      ) from error
