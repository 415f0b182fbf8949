"""What a net costs: true parameters, multiply-adds, units, sequential depth."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Sequence
from typing import Any

import jax

from shallow_mimic import errors
from shallow_mimic.models import architectures
from shallow_mimic.models.absorb import without_bottlenecks
from shallow_mimic.models.architectures import layer_input, with_width
from shallow_mimic.models.kinds import Hidden
from shallow_mimic.models.layer import Layer, Shape
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
  return sum(layer.count_parameters(shape, net.options)
             for layer, shape in _layers(net))


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
  return sum(layer.count_multiply_adds(shape) for layer, shape in _layers(net))


def count_hidden_units(net: Net) -> int:
  """Units as the paper counts them: values of convolutions, pools and hidden.

  Linear bottlenecks have none. For '64c-p-1200L-30k' on 32×32 that is
  32·32·64 + 15·15·64 + 30,000 = 109,936, printed there as 109.9k.
  """
  return sum(layer.count_hidden_units(shape)
             for layer, shape in _layers(net)[:-1])


def sequential_depth(net: Net) -> int:
  """Layers with a kernel, one after the other, the output layer included."""
  return sum(layer.is_sequential(shape) for layer, shape in _layers(net))


def _layers(net: Net) -> list[tuple[Layer, Shape]]:
  """Each layer, the output one last, with the shape of what it sees."""
  shapes = architectures.layer_shapes(net.architecture, net.input_shape)
  layers = [*net.architecture.layers, Hidden(net.classes)]
  return [(layer, layer_input(layer, shape))
          for layer, shape in zip(layers, shapes, strict=True)]
