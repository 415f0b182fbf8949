"""What the program has to know of a data source: `Source`, one row each.

The rows of this package are listed in `sources/__init__.py`; `register` adds
more. A source's file is light to import: what it reads with, TFDS or the
speech packages, it imports when it reads.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from shallow_mimic import errors
from shallow_mimic.data.dataset import Examples, check_types
from shallow_mimic.registry import Registry

if TYPE_CHECKING:
  from shallow_mimic import configs

_SPLITS = ('train', 'dev', 'test')


class Raw(NamedTuple):
  """What a source gives: `train`, `test`, perhaps `dev`, and pools.

  Pools are further inputs, from which transfer sets can be taken.
  """

  name: str
  classes: int
  parts: Mapping[str, Examples]


class Shapes(NamedTuple):
  """What a plan has to know of the data before they are there.

  Attributes:
    input_shape: of one input.
    classes: C.
    examples: how many there are to train on, dev taken out; 0: not known.
  """

  input_shape: tuple[int, ...]
  classes: int
  examples: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
  """A data source.

  Its functions take the data configuration, of which `path`, `name`,
  `data_dir` and `splits` mean what the source says that they mean.

  Attributes:
    name: what `config.data.source` calls it.
    version: '' for ours. A registered one states it, and states another
      whenever it reads other data.
    read: (config, cache_dir) → {'train': (x, y), 'test': (x, y)}, raw, with
      'dev' if there is one, and pools: any other name, x alone or (x, y). x
      is [N, …], uint8 in [0, 255] or real numbers; y is [N], integers from 0,
      in a pool -1 where there is no label. What is made, not read, may be kept
      in the folder cache_dir.
    digest: config → text, or a tree of JSON, that changes whenever what `read`
      gives does, and not with the place of what is read. It raises an
      `errors.MissingError` where that is gone: data that were read before are
      then used.
    shapes: config → `Shapes`, or None while nobody can say.
    kinds: of transfer sets that it offers beside those that any source of
      inputs that stand alone offers; see `transfer.KINDS`.
    speech: it gives utterances: `read` makes the whole `Dataset`.
  """

  name: str
  version: str = ''
  read: Callable[[Any, pathlib.Path], Any]
  digest: Callable[[Any], Any]
  shapes: Callable[[Any], Shapes | None]
  kinds: tuple[str, ...] = ('arrays',)
  speech: bool = False
  registry: ClassVar[Registry[Source]]

  def __post_init__(self) -> None:
    """UserError where something is no function."""
    for field in ('read', 'digest', 'shapes'):
      if not callable(getattr(self, field)):
        raise errors.UserError(
            f'the data source {self.name!r}: {field} is'
            f' {getattr(self, field)!r}; it must be a function')


def find_source(config: configs.Data) -> Source:
  """The source that a data configuration names; UserError if there is none."""
  return Source.registry.find(config.source)


def call_source(config: configs.Data, what: str, *args: Any) -> Any:
  """What one of the source's functions gives of a data configuration.

  Raises:
    UserError: it is a registered one that fails; it says where.
  """
  source = find_source(config)
  try:
    return getattr(source, what)(config, *args)
  except errors.UserError:
    raise
  except Exception as error:
    if not source.version:
      raise
    at = traceback.extract_tb(error.__traceback__)[-1]
    raise errors.UserError(
        f'the data source {source.name!r} fails in `{what}`'
        f' ({at.filename}, line {at.lineno}): {type(error).__name__}: {error}'
    ) from error


def find_registered(config: configs.Data) -> dict[str, str]:
  """Version by name of the source, if it is a registered one; else nothing."""
  source = find_source(config)
  return {source.name: source.version} if source.version else {}


def say_speech_sources() -> str:
  """The names of the sources that give utterances."""
  return ' or '.join(repr(name) for name, source in Source.registry.items()
                     if source.speech)


def find_shapes(config: configs.Data) -> Shapes | None:
  """What the source says of its shapes, checked."""
  given = call_source(config, 'shapes')
  match given:
    case None:
      return None
    case [[*shape], classes, examples] if shape and all(
        isinstance(number, int | np.integer) and number >= least
        for least, number in [
            *((1, size) for size in shape), (1, classes), (0, examples)]):
      return Shapes(tuple(map(int, shape)), int(classes), int(examples))
  raise errors.UserError(
      f'the data source {config.source!r} has the shapes {given!r}; they must'
      ' be data.Shapes(input_shape, classes, examples), as in'
      ' Shapes((28, 28, 1), 10, 60000), or None')


def find_digest(config: configs.Data) -> Any:
  """What the source says of its content, checked, with what names it."""
  source = find_source(config)
  found = call_source(config, 'digest')
  try:
    json.dumps(found, allow_nan=False, sort_keys=True)
    nothing = found in (None, '')
  except (TypeError, ValueError):
    nothing = True
  if nothing:
    raise errors.UserError(
        f'the data source {source.name!r} has the digest {found!r}; it must be'
        ' text, or lists and mappings of text and finite numbers')
  if source.version:
    return {'source': [source.name, source.version], 'digest': found}
  return {'source': source.name, source.name: found}


def check_raw(config: configs.Data, found: Any) -> Raw:
  """What a source's `read` gave, its types checked, as `Raw`.

  The classes are those of `Raw` or of the source's shapes, or else all up to
  the largest training label.

  Raises:
    UserError: a split is missing or is no pair of arrays, or the source says
      other shapes of it.
  """
  source = find_source(config)
  name, classes, parts = (
      found if isinstance(found, Raw) else (source.name, 0, found))
  for split in ('train', 'test'):
    if not isinstance(parts, Mapping) or split not in parts:
      raise errors.UserError(
          f'the data source {source.name!r} gives no {split!r}; its `read` must'
          " give {'train': (x, y), 'test': (x, y)}")
  parts = {split: _as_examples(source, split, part)
           for split, part in parts.items()}
  x, labels = parts['train']
  seen = int(labels.max(initial=-1)) + 1
  if seen >= 2 ** 31:
    raise errors.UserError(
        f'the data source {source.name!r}: train has the label {seen - 1};'
        ' number the classes from 0')
  shapes = find_shapes(config) if source.version else None
  if shapes:
    classes = classes or shapes.classes
    if (shapes.input_shape, shapes.classes) != (x.shape[1:], classes):
      raise errors.UserError(
          f'the data source {source.name!r} says that inputs have the shape'
          f' {shapes.input_shape} and {shapes.classes} classes, but reads'
          f' inputs of shape {x.shape[1:]} and {classes} classes')
  return Raw(name, classes or seen, parts)


def _as_examples(source: Source, split: str, part: Any) -> Examples:
  pair = isinstance(part, tuple) and len(part) == 2
  try:
    x = np.asarray(part[0] if pair else part)
    y = np.asarray(part[1]) if pair else np.full(len(x), -1)
  except (TypeError, ValueError):  # No array, or rows of several shapes.
    pair, x = False, np.empty(())
  if not x.ndim or not (pair or split not in _SPLITS):
    wanted = 'a pair of arrays (x, y)' if split in _SPLITS else (
        'an array x or a pair of arrays (x, y)')
    raise errors.UserError(
        f'the data source {source.name!r} gives {split!r} as'
        f' {type(part).__name__}; it must be {wanted}')
  check_types(split, Examples(x, y))
  return Examples(x, y)


def present(mapping: Mapping[str, Any]) -> dict[str, Any]:
  """The entries of a mapping that are not None.

  >>> present({'size': 3, 'seed': None})
  {'size': 3}
  """
  return {key: value for key, value in mapping.items() if value is not None}


def without_dev(config: configs.Data, rows: int, name: str) -> int:
  """How many of so many training examples are left when dev is out.

  Raises:
    UserError: none of the data `name` are.
  """
  if config.dev >= rows:
    raise errors.UserError(
        f'config.data.dev is {config.dev}, but {name} has {rows:,} training'
        ' examples; give fewer')
  return rows - config.dev
