"""Shapes of what flows through an architecture, for one example."""

from __future__ import annotations

import math

from shallow_mimic import errors
from shallow_mimic.models import architectures, pooling
from shallow_mimic.models.architectures import (
  Architecture,
  AveragePool,
  Convolution,
  Layer,
  MaxPool,
)

Shape = tuple[int, ...]


def map_shape(architecture: Architecture, input_shape: Shape) -> Shape:
  """Shape [L, c] or [h, w, c] that the first layer sees, or [F] if dense.

  A signal [L] counts as one channel, [L, 1], where the first layer works on
  maps; the input of a dense layer is flattened, channels last.

  Raises:
    UserError: the first layer needs a map and the input is none.
  """
  if not architectures.has_maps(architecture):
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
