"""What a net costs: true parameters, multiply-adds, units, sequential depth."""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax

from shallow_mimic import errors
from shallow_mimic.models import architectures
from shallow_mimic.models.absorb import without_bottlenecks
from shallow_mimic.models.architectures import (
  Bottleneck,
  Convolution,
  Hidden,
  Layer,
  Shape,
  with_width,
)
from shallow_mimic.models.nets import Net, Params, make_net


@functools.lru_cache(maxsize=1024)
def param_shapes(net: Net) -> Params:
  """Shapes and types of the net's parameters, without making them.

  The same tree at each call, since tracing takes long: do not change it.
  """
  return jax.eval_shape(net.init, jax.random.key(0))


def count_parameters(net: Net) -> int:
  """True number of parameters, with biases, a bottleneck in its two factors.

  >>> count_parameters(make_net('250L-8k', (1845,), 183))
  3933433
  """
  return sum(after[-1] * (_fan_in(layer, before) + _extras(net, layer))
             for layer, before, after in _layers(net)
             if _fan_in(layer, before))


def _extras(net: Net, layer: Layer) -> int:
  """Parameters of an output unit or map beside its part of the kernel."""
  if isinstance(layer, Convolution) and net.options.norm != 'none':
    return 2
  return 0 if isinstance(layer, Bottleneck) else 1


def find_width(text: str, input_shape: Sequence[int], classes: int,
               parameters: int, **options: Any) -> int:
  """The width with which a student comes nearest to so many parameters.

  Of two that are as near, the smaller; see `count_parameters` for what counts.

  >>> find_width('250L-H', (1845,), 183, 3_933_433)
  8000

  Args:
    text: an architecture with one 'H' or more.
    input_shape: of one example.
    classes: C.
    parameters: how many are wanted.
    **options: as `make_net` takes them.

  Raises:
    UserError: the student has more than that with a single unit.
  """
  def count(width):
    return count_parameters(
        make_net(with_width(text, width), input_shape, classes, **options))

  if (least := count(1)) > parameters:
    raise errors.UserError(
        f'architecture "{text}" cannot be made as small as {parameters:,}'
        f' parameters: it has {least:,} at width 1')
  # Each unit has a bias, so that there are fewer units than parameters.
  below = bisect.bisect_right(range(1, parameters + 1), parameters, key=count)
  return min((below, below + 1), key=lambda w: abs(count(w) - parameters))


def count_absorbed(net: Net) -> int:
  """Number of parameters after each bottleneck is absorbed: W = U V."""
  return count_parameters(without_bottlenecks(net))


def count_multiply_adds(net: Net) -> int:
  """Multiply-adds of the kernels on one example.

  Convolutions count every position, those over the zero margin too; biases,
  pools and non-linearities count nothing.
  """
  return sum(math.prod(after) * _fan_in(layer, before)
             for layer, before, after in _layers(net))


def count_hidden_units(net: Net) -> int:
  """Units as the paper counts them: values of convolutions, pools and hidden.

  Linear bottlenecks have none. For '64c-p-1200L-30k' on 32×32 that is
  32·32·64 + 15·15·64 + 30,000 = 109,936, printed there as 109.9k.
  """
  return sum(math.prod(after) for layer, _, after in _layers(net)[:-1]
             if not isinstance(layer, Bottleneck))


def sequential_depth(net: Net) -> int:
  """Layers with a kernel, one after the other, the output layer included."""
  return sum(_fan_in(layer, before) > 0 for layer, before, _ in _layers(net))


def _layers(net: Net) -> list[tuple[Layer, Shape, Shape]]:
  """Each layer, the output one last, with its shapes before and after."""
  shapes = [architectures.map_shape(net.architecture, net.input_shape),
            *architectures.output_shapes(net.architecture, net.input_shape),
            (net.classes,)]
  layers = [*net.architecture.layers, Hidden(net.classes)]
  return list(zip(layers, shapes[:-1], shapes[1:], strict=True))


def _fan_in(layer: Layer, before: Shape) -> int:
  """Inputs of each output value; 0 where there is no kernel."""
  match layer:
    case Convolution():
      return layer.size ** (len(before) - 1) * before[-1]
    case Bottleneck() | Hidden():
      return math.prod(before)
    case _:
      return 0
