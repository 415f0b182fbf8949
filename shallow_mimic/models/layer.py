r"""A kind of layer is one class: all that the package knows of it stands there.

Ours are in `kinds`. A user's config file adds one of its own, whose text is
then read in the architecture of any teacher and student:

    @dataclasses.dataclass(frozen=True)
    class Gate(models.Layer):
      '''gate64: 64 units, each a linear one times a sigmoid of another.'''

      name, version, pattern = 'gate', '1', r'gate(\d+)'
      takes_map, has_units = False, True
      units: int

      def __str__(self):
        return f'gate{self.units}'

      def output_shape(self, shape):
        return (self.units,)

      def fan_in(self, shape):
        return 2 * shape[0]

      def count_parameters(self, shape, options):
        return 2 * self.units * (shape[0] + 1)

      def apply(self, x, site):
        both = nn.Dense(2 * self.units, name=site.name)(x)
        return both[:, :self.units] * nn.sigmoid(both[:, self.units:])

    shallow_mimic.register(Gate)
"""

from __future__ import annotations

import abc
import dataclasses
import math
import re
import zlib
from collections.abc import Iterator
from typing import ClassVar, Self

import jax
import numpy as np

from shallow_mimic import errors
from shallow_mimic.models.dropout import dropout
from shallow_mimic.models.options import Options
from shallow_mimic.registry import Registry

Shape = tuple[int, ...]

_STATED = ('name', 'takes_map', 'has_units')
# Names of parameters that are not a layer's own.
_TAKEN = ('norm', 'output')


@dataclasses.dataclass(frozen=True)
class Site:
  """Where a layer stands in the net that is being applied.

  Attributes:
    name: of its parameters: its kind and its number among them, 'gate_0'.
    options: the net's.
    stream: number of its own dropout stream.
    dropout_key: the net's; None where nothing is dropped.
    unit_mask: as `Net.apply` takes it.
    previous, following: the layers beside it; None at an end of the net.
    examples_first: whether x is [B, …]; else it is [F, B], for kinds that are
      `units_major`.
  """

  name: str
  options: Options
  stream: int
  dropout_key: jax.Array | None = None
  unit_mask: jax.Array | None = None
  previous: Layer | None = None
  following: Layer | None = None
  examples_first: bool = True

  @property
  def key(self) -> jax.Array | None:
    """The layer's own key for what it draws; None where nothing is dropped."""
    if self.dropout_key is None:
      return None
    return jax.random.fold_in(self.dropout_key, np.uint32(self.stream))

  def drop(self, x: jax.Array, rate: float) -> jax.Array:
    """Dropout from the layer's own stream; x itself where there is none."""
    if not rate or (key := self.key) is None:
      return x
    return dropout(key, x, rate)


@dataclasses.dataclass(frozen=True)
class Layer(abc.ABC):
  """One layer between a net's input and its output layer.

  A kind is a frozen dataclass derived from this class. It states the class
  attributes below down to `has_units`, and the methods that are abstract
  here: what it leaves out is refused when it is registered. Shapes are those
  of one example, a map [L, c] or [h, w, c], or flat: [F]. The shape and the
  number of parameters that it states are compared with what `apply` makes.

  Attributes:
    name: of the kind and, with a number, of its parameters.
    version: '' for ours; a user's changes whenever the kind changes.
    pattern: regular expression of its text, which holds no '-'; the groups are
      its fields, whole numbers, and one that is absent keeps the default. A
      kind with other fields has a `read` of its own instead.
    takes_map: whether it takes maps; else what comes is flattened for it.
    has_units: whether its values count as hidden units.
    units_major: whether `apply` gives [F, B] instead of [B, F], and takes
      either; of advantage on CPUs.
    registry: the list of all kinds.
  """

  name: ClassVar[str]
  version: ClassVar[str] = ''
  pattern: ClassVar[str]
  takes_map: ClassVar[bool]
  has_units: ClassVar[bool]
  units_major: ClassVar[bool] = False
  registry: ClassVar[Registry[type[Layer]]]

  @classmethod
  def read(cls, text: str) -> Self | None:
    """The layer that an item of an architecture means; None: another kind."""
    match = re.fullmatch(cls.pattern, text)
    if match is None:
      return None
    names = [field.name for field in dataclasses.fields(cls)]
    return cls(**{name: int(group) for name, group in zip(
        names, match.groups(), strict=True) if group is not None})

  @abc.abstractmethod
  def __str__(self) -> str:
    """The item of an architecture that `read` makes this layer of."""

  @property
  def gives_map(self) -> bool:
    """Whether it gives a map, which a convolution or pool may follow."""
    return self.takes_map

  @abc.abstractmethod
  def output_shape(self, shape: Shape) -> Shape:
    """Shape of its output; a ValueError says what it needs of its input."""

  @abc.abstractmethod
  def fan_in(self, shape: Shape) -> int:
    """Multiply-adds behind each output value; 0 where there is no kernel."""

  @abc.abstractmethod
  def count_parameters(self, shape: Shape, options: Options) -> int:
    """True number of parameters, biases included."""

  def count_multiply_adds(self, shape: Shape) -> int:
    """Multiply-adds of the kernels on one example."""
    return math.prod(self.output_shape(shape)) * self.fan_in(shape)

  def count_hidden_units(self, shape: Shape) -> int:
    """Its units as the paper counts them."""
    return math.prod(self.output_shape(shape)) if self.has_units else 0

  def is_sequential(self, shape: Shape) -> bool:
    """Whether it adds to the net's depth: it has a kernel."""
    return self.fan_in(shape) > 0

  def stream(self, number: int) -> int:
    """Number of the dropout stream of the kind's layer of that number."""
    # From 2³¹ on: those below are of our kinds, see `kinds`.
    return 2**31 | zlib.crc32(f'{self.name}_{number}'.encode())

  @abc.abstractmethod
  def apply(self, x: jax.Array, site: Site) -> jax.Array:
    """Its output for a batch, [B, *shape] → [B, *output_shape], float32.

    Called within a compact Flax module: modules made here, with names that
    begin with `site.name`, hold the parameters.
    """


class Kinds(Registry[type[Layer]]):
  """The list of kinds; refuses those that leave something out."""

  def add(self, entry: type[Layer]) -> None:
    """Adds a user's kind, see `Layer`.

    Raises:
      UserError: it is no class, leaves something out, or its name is taken.
    """
    if not isinstance(entry, type):
      raise errors.UserError(
          f'cannot register the layer {entry!r}: register the class itself')
    for fault in _find_faults(entry):
      raise errors.UserError(
          f'cannot register the layer {entry.__name__}: {fault}')
    super().add(entry)


def _find_faults(kind: type[Layer]) -> Iterator[str]:
  """What keeps a class from being a kind of layer; only the first counts."""
  reads = kind.read.__qualname__ != Layer.read.__qualname__
  stated = [*_STATED, *(() if reads else ('pattern',))]
  missing = [*sorted(kind.__abstractmethods__),
             *(name for name in stated if not hasattr(kind, name))]
  if missing:
    yield (f'it does not say {", ".join(missing)}; see'
           ' shallow_mimic.models.Layer')
  if '__dataclass_params__' not in vars(kind):
    yield 'put @dataclasses.dataclass(frozen=True) above it'
  if kind.name in _TAKEN:
    yield (f'the name {kind.name!r} is that of parameters of a net; choose'
           ' another')
  if not reads:
    try:
      groups = re.compile(kind.pattern).groups
    except (re.error, TypeError) as error:
      yield f'its pattern {kind.pattern!r} is no regular expression: {error}'
    if groups != (fields := len(dataclasses.fields(kind))):
      yield (f'its pattern {kind.pattern!r} has {groups} groups for {fields}'
             ' fields; give each field a group, or the class a `read`')
