"""The kinds of layers that come with the package, and the list of all kinds.

Fully connected ones are units-major, see `stack`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from fractions import Fraction

import jax

from shallow_mimic.models import modules, pooling
from shallow_mimic.models.layer import Kinds, Layer, Shape, Site
from shallow_mimic.models.options import Options


@dataclasses.dataclass(frozen=True)
class Convolution(Layer):
  """Convolution 'same' with `maps` filters of `size` along each axis."""

  name, pattern = 'convolution', r'(\d+)c(\d+)?'
  takes_map, has_units = True, True

  maps: int
  size: int = 5

  def __str__(self) -> str:
    return f'{self.maps}c' + ('' if self.size == 5 else str(self.size))

  def output_shape(self, shape: Shape) -> Shape:
    """The map keeps its size."""
    return (*shape[:-1], self.maps)

  def fan_in(self, shape: Shape) -> int:
    """Convolutions count every position, those over the zero margin too."""
    return self.size ** (len(shape) - 1) * shape[-1]

  def count_parameters(self, shape: Shape, options: Options) -> int:
    """A bias for each map, or what a norm has in its place: two."""
    beside = 1 if options.norm == 'none' else 2
    return self.maps * (self.fan_in(shape) + beside)

  def apply(self, x: jax.Array, site: Site) -> jax.Array:
    """Convolution, pool if one goes first, normalisation, activation."""
    options, pool = site.options, site.following
    normed = options.norm == 'group'
    x = modules.MapConvolution(
        self.maps, self.size, options.scale,
        None if normed else options.bias_spread, options.precision,
        options.standardised, name=site.name,
    )(x, (pool.size, pool.stride)
      if isinstance(pool, MaxPool) and options.pools_first else None)
    if normed:
      name = site.name.replace(self.name, 'norm')
      x = modules.GroupNorm(options.groups, name=name)(x)
    return options.activate(x)


class _Pool(Layer):
  """What pools have in common."""

  takes_map, has_units = True, True

  def fan_in(self, shape: Shape) -> int:
    return 0

  def count_parameters(self, shape: Shape, options: Options) -> int:
    return 0


@dataclasses.dataclass(frozen=True)
class MaxPool(_Pool):
  """Max pool over whole windows of `size`, `stride` apart."""

  name, pattern = 'max_pool', r'p(?:(\d+)(?:s(\d+))?)?'

  size: int = 3
  stride: int = 2

  def __str__(self) -> str:
    if self.stride != 2:
      return f'p{self.size}s{self.stride}'
    return 'p' if self.size == 3 else f'p{self.size}'

  def output_shape(self, shape: Shape) -> Shape:
    """Whole windows only."""
    lengths = [pooling.pooled_length(n, self.size, self.stride)
               for n in shape[:-1]]
    if min(lengths) < 1:
      raise ValueError(
          f'needs at least {self.size} positions along each axis, and its map'
          f' is {shape}; use fewer or smaller pools')
    return (*lengths, shape[-1])

  def stream(self, number: int) -> int:
    """Beside those of the other kinds; the input's is 0."""
    return 3 * number + 1

  def apply(self, x: jax.Array, site: Site) -> jax.Array:
    """Goes before the bias and activation of the convolution that it follows.

    Where that changes nothing; there is less to do after it.
    """
    # The convolution has done it then.
    if not (isinstance(site.previous, Convolution)
            and site.options.pools_first):
      x = pooling.max_pool(x, self.size, self.stride)
    return site.drop(x, site.options.dropout_conv)


@dataclasses.dataclass(frozen=True)
class AveragePool(_Pool):
  """Mean over all positions of each map."""

  name, pattern = 'average_pool', 'a'
  gives_map = False

  def __str__(self) -> str:
    return 'a'

  def output_shape(self, shape: Shape) -> Shape:
    """A value for each map."""
    return shape[-1:]

  def stream(self, number: int) -> int:
    """Beside those of the other kinds; the input's is 0."""
    return 3 * number + 3

  def apply(self, x: jax.Array, site: Site) -> jax.Array:
    """Mean, then dropout."""
    return site.drop(pooling.average_pool(x), site.options.dropout_conv)


@dataclasses.dataclass(frozen=True)
class _Dense(Layer):
  """What fully connected layers have in common."""

  takes_map, units_major = False, True

  units: int

  def output_shape(self, shape: Shape) -> Shape:
    return (self.units,)

  def fan_in(self, shape: Shape) -> int:
    return math.prod(shape)


@dataclasses.dataclass(frozen=True)
class Bottleneck(_Dense):
  """Linear layer without bias (the paper's equation 2)."""

  name, pattern = 'bottleneck', r'(\d+)L'
  has_units = False

  def __str__(self) -> str:
    return f'{self.units}L'

  def count_parameters(self, shape: Shape, options: Options) -> int:
    """No bias."""
    return self.units * self.fan_in(shape)

  def apply(self, x: jax.Array, site: Site) -> jax.Array:
    """One product: → [K, B]."""
    return modules.UnitsMajorDense(
        self.units, 1.0, None, site.options.precision, name=site.name,
    )(x, examples_first=site.examples_first)


@dataclasses.dataclass(frozen=True)
class Hidden(_Dense):
  """Fully connected non-linear layer; `spelling` is how it was written."""

  name = 'hidden'
  has_units = True

  spelling: str = dataclasses.field(default='', compare=False)

  @classmethod
  def read(cls, text: str) -> Hidden | None:
    """A hidden layer from 2000, 2000fc, 2k or 0.25k; None if it is none."""
    match = re.fullmatch(r'(\d+)(?:fc)?|(\d+(?:\.\d+)?)k', text)
    if not match:
      return None
    units = Fraction(match[1] or 0) + 1000 * Fraction(match[2] or 0)
    return cls(int(units), text) if units.denominator == 1 else None

  def __str__(self) -> str:
    thousands, rest = divmod(self.units, 1000)
    return self.spelling or (str(self.units) if rest else f'{thousands}k')

  def count_parameters(self, shape: Shape, options: Options) -> int:
    """With a bias for each unit."""
    return self.units * (self.fan_in(shape) + 1)

  def stream(self, number: int) -> int:
    """Beside those of the other kinds; the input's is 0."""
    return 3 * number + 2

  def apply(self, x: jax.Array, site: Site) -> jax.Array:
    """Product, activation, padded units silenced, dropout: → [H, B]."""
    options, mask = site.options, site.unit_mask
    x = options.activate(modules.UnitsMajorDense(
        self.units, options.scale, options.bias_spread, options.precision,
        name=site.name,
    )(x, examples_first=site.examples_first))
    if mask is not None and mask.shape == (self.units,):
      x = x * mask[:, None]
    return site.drop(x, options.dropout_hidden)


Layer.registry = Kinds('layer', (
    Convolution, MaxPool, AveragePool, Bottleneck, Hidden))
