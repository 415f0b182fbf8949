"""Architectures written as the paper writes them: '128c-p-1200L-30k'.

Items, joined by '-', from the input on; the linear output layer is implied:
  128c    convolution with 128 maps and a filter of size 5; 128c3: of size 3
  p       max pool with a window of 3 and a stride of 2
  p2      max pool with a window of 2 and a stride of 2; p3s1: any stride
  a       average pool over all positions
  1200L   linear bottleneck of 1200 units: no bias, no non-linearity
  30k, 1.2k, 2000, 1000fc   fully connected non-linear hidden layer
  H       the student's width, filled in by `with_width`
Convolutions keep the size of the map ('same'), pools take whole windows only
('valid').
"""

from __future__ import annotations

import dataclasses
import math
import re
from fractions import Fraction

from shallow_mimic import errors
from shallow_mimic.models import pooling

PLACEHOLDER = 'H'

_ITEMS = ('write items such as 128c, 128c3, p, p2, p3s2, a, 1200L, 8k, 2000 or'
          ' 1000fc, joined by "-"')


@dataclasses.dataclass(frozen=True)
class Convolution:
  """Convolution 'same' with `maps` filters of `size` along each axis."""

  maps: int
  size: int = 5

  def __str__(self) -> str:
    return f'{self.maps}c' + ('' if self.size == 5 else str(self.size))


@dataclasses.dataclass(frozen=True)
class MaxPool:
  """Max pool over whole windows of `size`, `stride` apart."""

  size: int = 3
  stride: int = 2

  def __str__(self) -> str:
    if self.stride != 2:
      return f'p{self.size}s{self.stride}'
    return 'p' if self.size == 3 else f'p{self.size}'


@dataclasses.dataclass(frozen=True)
class AveragePool:
  """Mean over all positions of each map."""

  def __str__(self) -> str:
    return 'a'


@dataclasses.dataclass(frozen=True)
class Bottleneck:
  """Linear layer without bias (the paper's equation 2)."""

  units: int

  def __str__(self) -> str:
    return f'{self.units}L'


@dataclasses.dataclass(frozen=True)
class Hidden:
  """Fully connected non-linear layer; `spelling` is how it was written."""

  units: int
  spelling: str = dataclasses.field(default='', compare=False)

  def __str__(self) -> str:
    thousands, rest = divmod(self.units, 1000)
    return self.spelling or (str(self.units) if rest else f'{thousands}k')


Layer = Convolution | MaxPool | AveragePool | Bottleneck | Hidden


@dataclasses.dataclass(frozen=True)
class Architecture:
  """The layers between the input and the output layer; prints as written."""

  layers: tuple[Layer, ...]

  def __str__(self) -> str:
    return '-'.join(map(str, self.layers))


def _read_item(item: str) -> Layer | None:
  """One layer, or None where the item cannot be read."""
  if match := re.fullmatch(r'(\d+)c(\d+)?', item):
    return Convolution(int(match[1]), int(match[2] or 5))
  if match := re.fullmatch(r'p(?:(\d+)(?:s(\d+))?)?', item):
    return MaxPool(int(match[1] or 3), int(match[2] or 2))
  if item == 'a':
    return AveragePool()
  if match := re.fullmatch(r'(\d+)L', item):
    return Bottleneck(int(match[1]))
  return _read_hidden(item)


def _read_hidden(item: str) -> Hidden | None:
  """A hidden layer from 2000, 2000fc, 2k or 0.25k; None if it is none."""
  match = re.fullmatch(r'(\d+)(?:fc)?|(\d+(?:\.\d+)?)k', item)
  if not match:
    return None
  units = Fraction(match[1] or 0) + 1000 * Fraction(match[2] or 0)
  return Hidden(int(units), item) if units.denominator == 1 else None


def parse_architecture(text: str) -> Architecture:
  """Reads an architecture; `str` prints it back as it was written.

  Equality does not depend on how a layer was written.

  >>> parse_architecture('250L-8k').layers
  (Bottleneck(units=250), Hidden(units=8000, spelling='8k'))
  >>> parse_architecture('8k') == parse_architecture('8000fc')
  True

  Raises:
    UserError: an item cannot be read, is empty of units, or is out of order.
  """
  layers: list[Layer] = []
  for item in text.split('-'):
    problem = None
    layer = _read_item(item)
    if item == PLACEHOLDER:
      problem = '"H" stands for the student\'s width; write a number of units'
    elif layer is None:
      problem = f'cannot read "{item}"; {_ITEMS}'
    elif 0 in dataclasses.astuple(layer):
      problem = f'"{item}" has a 0 in it; every number must be at least 1'
    elif isinstance(layer, Convolution | MaxPool | AveragePool) and layers and (
        isinstance(layers[-1], AveragePool | Bottleneck | Hidden)):
      problem = (f'"{item}" needs a map, and there is none after'
                 f' "{layers[-1]}"; put it before')
    if problem:
      raise errors.UserError(f'architecture "{text}": {problem}')
    layers.append(layer)
  return Architecture(tuple(layers))


def with_width(text: str, width: int) -> str:
  """The architecture with the student's width in place of each 'H'.

  >>> with_width('250L-H', 8000)
  '250L-8k'

  Raises:
    UserError: no 'H' in the text, a width below 1, or a text that
      `parse_architecture` refuses.
  """
  items = text.split('-')
  if PLACEHOLDER not in items:
    raise errors.UserError(
        f'architecture "{text}": no "H" for the student\'s width; write it'
        ' where the width belongs, such as 250L-H')
  if width < 1:
    raise errors.UserError(
        f'architecture "{text}": the width must be at least 1, got {width}')
  filled = '-'.join(
      str(Hidden(width)) if item == PLACEHOLDER else item for item in items)
  parse_architecture(filled)
  return filled


def has_maps(architecture: Architecture) -> bool:
  """Whether the first layer works on maps, not on a flat input."""
  return bool(architecture.layers) and isinstance(
      architecture.layers[0], Convolution | MaxPool | AveragePool)

Shape = tuple[int, ...]


def map_shape(architecture: Architecture, input_shape: Shape) -> Shape:
  """Shape [L, c] or [h, w, c] that the first layer sees, or [F] if dense.

  A signal [L] counts as one channel, [L, 1], where the first layer works on
  maps; the input of a dense layer is flattened, channels last.

  Raises:
    UserError: the first layer needs a map and the input is none.
  """
  if not has_maps(architecture):
    return (math.prod(input_shape),)
  shape = (*input_shape, 1) if len(input_shape) == 1 else tuple(input_shape)
  if len(shape) not in (2, 3):
    raise errors.UserError(
        f'architecture "{architecture}": inputs of shape {input_shape} are no'
        ' maps; convolutions and pools take [L], [L, c] or [h, w, c]')
  return shape


def _next_shape(layer: Layer, shape: Shape) -> Shape:
  match layer:
    case Convolution():
      return (*shape[:-1], layer.maps)
    case MaxPool():
      return (*(pooling.pooled_length(n, layer.size, layer.stride)
                for n in shape[:-1]), shape[-1])
    case AveragePool():
      return shape[-1:]
    case _:
      return (layer.units,)


def output_shapes(
    architecture: Architecture, input_shape: Shape
) -> tuple[Shape, ...]:
  """Shape of each layer's output for one example, in order.

  Raises:
    UserError: the input is no map where one is needed, or a pool's window is
      larger than its map.
  """
  shape = map_shape(architecture, input_shape)
  shapes = []
  for layer in architecture.layers:
    before, shape = shape, _next_shape(layer, shape)
    if min(shape) < 1:
      raise errors.UserError(
          f'architecture "{architecture}" on inputs of shape {input_shape}:'
          f' "{layer}" needs at least {layer.size} positions along each axis,'
          f' and its map is {before}; use fewer or smaller pools')
    shapes.append(shape)
  return tuple(shapes)
