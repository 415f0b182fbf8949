"""Architectures written as the paper writes them: '128c-p-1200L-30k'.

Items, joined by '-', from the input on; the linear output layer is implied:
  128c    convolution with 128 maps and a filter of size 5; 128c3: of size 3
  p       max pool with a window of 3 and a stride of 2
  p2      max pool with a window of 2 and a stride of 2; p3s1: any stride
  a       average pool over all positions
  1200L   linear bottleneck of 1200 units: no bias, no non-linearity
  30k, 1.2k, 2000, 1000fc   fully connected non-linear hidden layer
  H       the student's width, filled in by `with_width`
and what a user's kinds read, see `layer`.
Convolutions keep the size of the map ('same'), pools take whole windows only
('valid').
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterator, Sequence

from shallow_mimic import errors
from shallow_mimic.models.kinds import Hidden
from shallow_mimic.models.layer import Layer, Shape

PLACEHOLDER = 'H'

_ITEMS = ('write items such as 128c, 128c3, p, p2, p3s2, a, 1200L, 8k, 2000 or'
          ' 1000fc, joined by "-"')


@dataclasses.dataclass(frozen=True)
class Architecture:
  """The layers between the input and the output layer; prints as written."""

  layers: tuple[Layer, ...]

  def __str__(self) -> str:
    return '-'.join(map(str, self.layers))


def _read_item(item: str) -> list[Layer]:
  """The layers that an item means: none, one, or too many."""
  read = [kind.read(item) for kind in Layer.registry.values()]
  return [layer for layer in read if layer is not None]


def _find_faults(item: str, read: Sequence[Layer],
                 previous: Layer | None) -> Iterator[str]:
  """What is wrong with an item behind another layer; only the first counts."""
  if item == PLACEHOLDER:
    yield '"H" stands for the student\'s width; write a number of units'
  if not read:
    mine = Layer.registry.versions()
    more = f'; registered: {", ".join(mine)}' if mine else ''
    yield f'cannot read "{item}"; {_ITEMS}{more}'
  layer, *others = read
  if others:
    names = ' and '.join(layer.name for layer in read)
    yield f'"{item}" is read by the layers {names}; change one\'s pattern'
  if any(type(n) is int and n == 0 for n in dataclasses.astuple(layer)):
    yield f'"{item}" has a 0 in it; every number must be at least 1'
  if layer.takes_map and previous is not None and not previous.gives_map:
    yield (f'"{item}" needs a map, and there is none after "{previous}"; put'
           ' it before')
  if layer.version and _read_item(str(layer)) != read:
    yield (f'"{item}" is printed as "{layer}", which is another layer or'
           f' none; mend {type(layer).__name__}.__str__')


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
    read = _read_item(item)
    for fault in _find_faults(item, read, layers[-1] if layers else None):
      raise errors.UserError(f'architecture "{text}": {fault}')
    layers += read
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


def find_registered(architecture: str | Architecture) -> dict[str, str]:
  """Kinds of layers that a user registered and a net uses, with versions.

  Args:
    architecture: parsed, or its text, which may hold an 'H'.

  >>> find_registered('250L-H')
  {}

  Raises:
    UserError: the text cannot be read.
  """
  if isinstance(architecture, str):
    items = ['1' if item == PLACEHOLDER else item
             for item in architecture.split('-')]
    architecture = parse_architecture('-'.join(items))
  return {layer.name: layer.version for layer in architecture.layers
          if layer.version}


def number_layers(architecture: Architecture) -> list[tuple[Layer, int]]:
  """The layers in order, each with its number among its own kind."""
  counts: collections.Counter[str] = collections.Counter()
  numbered = []
  for layer in architecture.layers:
    numbered.append((layer, counts[layer.name]))
    counts[layer.name] += 1
  return numbered


def map_shape(architecture: Architecture, input_shape: Shape) -> Shape:
  """Shape [L, c] or [h, w, c] that the first layer sees, or [F] if dense.

  A signal [L] counts as one channel, [L, 1], where the first layer works on
  maps; the input of a dense layer is flattened, channels last.

  Raises:
    UserError: the first layer needs a map and the input is none.
  """
  if not architecture.layers or not architecture.layers[0].takes_map:
    return (math.prod(input_shape),)
  shape = (*input_shape, 1) if len(input_shape) == 1 else tuple(input_shape)
  if len(shape) not in (2, 3):
    raise errors.UserError(
        f'architecture "{architecture}": inputs of shape {input_shape} are no'
        ' maps; convolutions and pools take [L], [L, c] or [h, w, c]')
  return shape


def layer_shapes(
    architecture: Architecture, input_shape: Shape
) -> tuple[Shape, ...]:
  """Shapes between layers for one example: the input's, then each output's.

  Raises:
    UserError: the input is no map where one is needed, or a pool's window is
      larger than its map.
  """
  shapes = [map_shape(architecture, input_shape)]
  for layer in architecture.layers:
    try:
      shape = layer.output_shape(layer_input(layer, shapes[-1]))
      if not (isinstance(shape, tuple) and shape and all(
          isinstance(length, int) and length > 0 for length in shape)):
        raise ValueError(f'states outputs of shape {shape!r}; it must be a'
                         ' tuple of whole numbers from 1 on')
      shapes.append(shape)
    except ValueError as error:
      raise errors.UserError(
          f'architecture "{architecture}" on inputs of shape {input_shape}:'
          f' "{layer}" {error}') from error
  return tuple(shapes)


def layer_input(layer: Layer, shape: Shape) -> Shape:
  """What a layer sees of an output of that shape: flat unless it wants maps."""
  return shape if layer.takes_map else (math.prod(shape),)
