"""The layers between an input and its logits, as one Flax module.

Fully connected layers are units-major: kernels [H, F] and activations [H, B],
so h = f(W x^T + b) needs no transpose, nor does a batch of students under
`vmap`, which was measured a third faster on a CPU than the usual [B, H]. Only
the logits are turned around, to [B, C].
"""

from __future__ import annotations

import collections
import dataclasses
import types
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from shallow_mimic.models import architectures, layers, pooling
from shallow_mimic.models.architectures import (
  Architecture,
  AveragePool,
  Bottleneck,
  Convolution,
  Hidden,
  Layer,
  MaxPool,
)
from shallow_mimic.models.dropout import dropout

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    'relu': nn.relu, 'tanh': jnp.tanh, 'sigmoid': nn.sigmoid, 'gelu': nn.gelu,
}
NORMS = ('none', 'group')
PRECISIONS = ('default', 'high', 'highest')
DENSE = Bottleneck | Hidden

_RECTIFIERS = ('relu', 'gelu')  # halve the variance: start from twice as much
_MONOTONE = ('relu', 'tanh', 'sigmoid')  # commute with a max pool
_INPUT_STREAM = 0
_MAPS = Convolution | MaxPool | AveragePool


@dataclasses.dataclass(frozen=True)
class Options:
  """What an architecture's text does not say; see `nets.make_net`."""

  activation: str = 'relu'
  dropout_input: float = 0.0
  dropout_hidden: float = 0.0
  dropout_conv: float = 0.0
  bias_spread: float = 0.0
  norm: str = 'none'
  groups: int = 32
  standardised: bool = False
  precision: str | None = None


class Stack(nn.Module):
  """What `nets.Net` runs.

  Parameters are named by kind and number, so that `hidden_0` stays
  `hidden_0` when a bottleneck before it is absorbed, and so does the stream
  of its dropout.
  """

  architecture: Architecture
  classes: int
  options: Options

  @nn.compact
  def __call__(
      self,
      x: jax.Array,
      dropout_key: jax.Array | None,
      unit_mask: jax.Array | None,
  ) -> jax.Array:
    """Takes a batch of maps or of flat inputs; gives logits [B, C]."""
    x = self._drop(x, dropout_key, _INPUT_STREAM, self.options.dropout_input)
    if architectures.has_maps(self.architecture):
      x = self._apply_maps(x, dropout_key)
    x, examples_first = x.reshape(x.shape[0], -1), True
    for layer, number in numbered_layers(self.architecture, DENSE):
      x = self._apply_dense(
          layer, number, x, examples_first=examples_first,
          dropout_key=dropout_key, unit_mask=unit_mask)
      examples_first = False
    logits = layers.UnitsMajorDense(
        self.classes, precision=self.options.precision, name='output',
    )(x, examples_first=examples_first)
    # Without the barrier XLA turns the products around too, to a form that its
    # CPU code runs slowly: a step of a family took a fifth longer.
    return jax.lax.optimization_barrier(logits).T

  def _apply_maps(self, x, dropout_key):
    """Convolutions and pools: [B, L, c] or [B, h, w, c] → [B, …, c].

    A max pool goes before the bias and activation of the convolution that it
    follows where that changes nothing, since there is less to do after it.
    """
    maps = numbered_layers(self.architecture, _MAPS)
    pooled = False
    for (layer, number), (following, _) in zip(
        maps, [*maps[1:], (None, 0)], strict=True):
      if isinstance(layer, Convolution):
        pooled = self._pool_first and isinstance(following, MaxPool)
        x = self._convolve(layer, number, x, following if pooled else None)
        continue
      if not pooled:
        x = _pool(layer, x)
      pooled = False
      x = self._drop(x, dropout_key, _stream(layer, number),
                     self.options.dropout_conv)
    return x

  def _convolve(self, layer, number, x, pool):
    """Convolution, pool if there is one, normalisation, activation."""
    normed = self.options.norm == 'group'
    x = layers.MapConvolution(
        layer.maps, layer.size, self._scale,
        None if normed else self.options.bias_spread, self.options.precision,
        self.options.standardised, name=f'convolution_{number}',
    )(x, (pool.size, pool.stride) if pool else None)
    if normed:
      x = layers.GroupNorm(self.options.groups, name=f'norm_{number}')(x)
    return self._activation(x)

  def _apply_dense(self, layer, number, x, *, examples_first, dropout_key,
                   unit_mask):
    """One fully connected layer: → [H, B]."""
    linear = isinstance(layer, Bottleneck)
    x = layers.UnitsMajorDense(
        layer.units, 1.0 if linear else self._scale,
        None if linear else self.options.bias_spread, self.options.precision,
        name=dense_name(layer, number),
    )(x, examples_first=examples_first)
    if linear:
      return x
    x = self._activation(x)
    if unit_mask is not None and unit_mask.shape == (layer.units,):
      x = x * unit_mask[:, None]
    return self._drop(x, dropout_key, _stream(layer, number),
                      self.options.dropout_hidden)

  @property
  def _activation(self):
    return ACTIVATIONS[self.options.activation]

  @property
  def _scale(self):
    return 2.0 if self.options.activation in _RECTIFIERS else 1.0

  @property
  def _pool_first(self):
    return (self.options.activation in _MONOTONE
            and self.options.norm == 'none')

  def _drop(self, x, key, stream, rate):
    if key is None or not rate:
      return x
    return dropout(jax.random.fold_in(key, stream), x, rate)


def _stream(layer, number):
  """Number of a layer's own dropout stream; the input's is 0."""
  return 3 * number + (MaxPool, Hidden, AveragePool).index(type(layer)) + 1


def _pool(layer, x):
  if isinstance(layer, AveragePool):
    return pooling.average_pool(x)
  return pooling.max_pool(x, layer.size, layer.stride)


def numbered_layers(
    architecture: Architecture, kinds: type | types.UnionType
) -> list[tuple[Layer, int]]:
  """Layers of the given kinds, each with its number among its own kind."""
  counts = collections.Counter()
  numbered = []
  for layer in architecture.layers:
    if isinstance(layer, kinds):
      numbered.append((layer, counts[type(layer)]))
      counts[type(layer)] += 1
  return numbered


def dense_name(layer: Bottleneck | Hidden, number: int) -> str:
  """Name of a fully connected layer's parameters; the last is 'output'."""
  return f'{type(layer).__name__.lower()}_{number}'
