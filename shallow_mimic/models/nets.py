"""One sequential net for SNN, DNN and CNN: pure `init` and `apply`.

Fully connected layers are units-major: kernels [H, F] and activations [H, B],
so h = f(W x^T + b) needs no transpose, nor does a batch of students under
`vmap`, which was measured a third faster on a CPU than the usual [B, H]. Only
the logits are turned around, to [B, C].
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from shallow_mimic import errors
from shallow_mimic.models import architectures, geometry, layers, pooling
from shallow_mimic.models.architectures import (
    Architecture, AveragePool, Bottleneck, Convolution, Hidden, MaxPool,
    parse_architecture)
from shallow_mimic.models.dropout import dropout, keep_count

Params = dict[str, Any]

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    'relu': nn.relu, 'tanh': jnp.tanh, 'sigmoid': nn.sigmoid, 'gelu': nn.gelu,
}
NORMS = ('none', 'group')
PRECISIONS = ('default', 'high', 'highest')

_RECTIFIERS = ('relu', 'gelu')  # halve the variance: start from twice as much
_MONOTONE = ('relu', 'tanh', 'sigmoid')  # commute with a max pool


@dataclasses.dataclass(frozen=True)
class Options:
  """What an architecture's text does not say; see `make_net`."""

  activation: str = 'relu'
  dropout_input: float = 0.0
  dropout_hidden: float = 0.0
  dropout_conv: float = 0.0
  bias_spread: float = 0.0
  norm: str = 'none'
  precision: str | None = None


class _Stack(nn.Module):
  """The layers as one Flax module; `Net` is the way in.

  Parameters are named by kind and number, so that `hidden_0` stays
  `hidden_0` when a bottleneck before it is absorbed, and so does the stream
  of its dropout.
  """

  architecture: Architecture
  classes: int
  options: Options

  @nn.compact
  def __call__(self, x, dropout_key, unit_mask):
    x = self._drop(x, dropout_key, 0, self.options.dropout_input)
    if architectures.has_maps(self.architecture):
      x = self._apply_maps(x, dropout_key)
    x, examples_first = x.reshape(x.shape[0], -1), True
    for layer, number in _numbered(self.architecture, Bottleneck | Hidden):
      x = self._apply_dense(
          layer, number, x, examples_first, dropout_key, unit_mask)
      examples_first = False
    logits = layers.UnitsMajorDense(
        self.classes, precision=self.options.precision, name='output')
    return logits(x, examples_first=examples_first).T

  def _apply_maps(self, x, dropout_key):
    """Convolutions and pools: [B, L, c] or [B, h, w, c] → [B, …, c].

    A max pool goes before the bias and activation of the convolution that it
    follows where that changes nothing, since there is less to do after it.
    """
    maps = _numbered(self.architecture, Convolution | MaxPool | AveragePool)
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
      x = self._drop(x, dropout_key, 2 * number + 1, self.options.dropout_conv)
    return x

  def _convolve(self, layer, number, x, pool):
    """Convolution, pool if there is one, normalisation, activation."""
    normed = self.options.norm == 'group'
    x = layers.MapConvolution(
        layer.maps, layer.size, self._scale,
        None if normed else self.options.bias_spread, self.options.precision,
        name=f'convolution_{number}',
    )(x, functools.partial(_pool, pool) if pool else None)
    if normed:
      x = layers.GroupNorm(name=f'norm_{number}')(x)
    return self._activation(x)

  def _apply_dense(self, layer, number, x, examples_first, key, unit_mask):
    """One fully connected layer: → [H, B]."""
    linear = isinstance(layer, Bottleneck)
    x = layers.UnitsMajorDense(
        layer.units, 1.0 if linear else self._scale,
        None if linear else self.options.bias_spread, self.options.precision,
        name=f'{"bottleneck" if linear else "hidden"}_{number}',
    )(x, examples_first=examples_first)
    if linear:
      return x
    x = self._activation(x)
    if unit_mask is not None and unit_mask.shape == (layer.units,):
      x = x * unit_mask[:, None]
    return self._drop(x, key, 2 * number + 2, self.options.dropout_hidden)

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


def _pool(layer, x):
  if isinstance(layer, AveragePool):
    return pooling.average_pool(x)
  return pooling.max_pool(x, layer.size, layer.stride)


def _numbered(architecture, kinds):
  """Layers of the given kinds, each with its number among its own kind."""
  counts = collections.Counter()
  numbered = []
  for layer in architecture.layers:
    if isinstance(layer, kinds):
      numbered.append((layer, counts[type(layer)]))
      counts[type(layer)] += 1
  return numbered


@dataclasses.dataclass(frozen=True)
class Net:
  """A sequential net without its parameters; hashable, so static under jit.

  Attributes:
    architecture: the layers between input and output.
    input_shape: of one example.
    classes: C, units of the linear output layer.
    options: see `make_net`.
  """

  architecture: Architecture
  input_shape: tuple[int, ...]
  classes: int
  options: Options = Options()

  def init(self, key: jax.Array) -> Params:
    """Fresh parameters: nested dicts of float32 arrays.

    Kernels are drawn N(0, s / fan-in), with s = 2 (He) before relu and gelu
    and s = 1 (LeCun) before tanh, sigmoid, a bottleneck or the logits.
    Biases of convolutions and hidden layers are drawn N(0, bias_spread²).
    """
    x = jnp.zeros((1, *self.input_shape), jnp.float32)
    return self._stack.init(key, self._to_map(x), None, None)['params']

  def apply(
      self,
      params: Params,
      x: ArrayLike,
      *,
      dropout_key: jax.Array | None = None,
      unit_mask: jax.Array | None = None,
  ) -> jax.Array:
    """Logits of a batch.

    Args:
      params: as from `init`.
      x: [B, *input_shape], any real type.
      dropout_key: turns dropout on; the same key drops the same values.
      unit_mask: [H], 1 for real units and 0 for padded ones: multiplies the
        output of every hidden layer of H units.

    Returns:
      [B, C] logits, float32.

    Raises:
      ValueError: x is not a batch of inputs of the net's shape.
    """
    x = jnp.asarray(x, jnp.float32)
    if x.shape[1:] != self.input_shape or not x.ndim:
      raise ValueError(f'x must be [B, *{self.input_shape}], got {x.shape}')
    logits = self._stack.apply(
        {'params': params}, self._to_map(x), dropout_key, unit_mask)
    return logits.astype(jnp.float32)

  @property
  def _stack(self) -> _Stack:
    return _Stack(self.architecture, self.classes, self.options)

  def _to_map(self, x: jax.Array) -> jax.Array:
    return x.reshape(
        x.shape[0], *geometry.map_shape(self.architecture, self.input_shape))


def make_net(
    architecture: str | Architecture,
    input_shape: Sequence[int],
    classes: int,
    **options: Any,
) -> Net:
  """A net from its architecture's text, all of it checked.

  Args:
    architecture: as `parse_architecture` reads, such as '128c-p-1200L-30k'.
    input_shape: of one example: [F] or any flat or dense shape; for
      convolutions [L], [L, c] or [h, w, c]. Maps are flattened channels last.
    classes: C.
    **options: fields of `Options`:
      activation: 'relu', 'tanh', 'sigmoid' or 'gelu', of every convolution
        and hidden layer.
      dropout_input, dropout_conv, dropout_hidden: rates at the input, after
        every pool, and after every hidden layer, in steps of 1/256; active
        where `apply` is given a key.
      bias_spread: standard deviation of the first biases.
      norm: 'group' normalises after each convolution, before its activation.
      precision: of products: 'default', 'high', 'highest'; None is jax's own.

  >>> net = make_net('250L-8k', (1845,), 183)
  >>> net.apply(net.init(jax.random.key(0)), jnp.zeros((2, 1845))).shape
  (2, 183)

  Raises:
    UserError: the architecture cannot be read or does not fit the input, or
      an option has no such value.
  """
  if isinstance(architecture, str):
    architecture = parse_architecture(architecture)
  options = Options(**options)
  _check_choice('activation', options.activation, tuple(ACTIVATIONS))
  _check_choice('norm', options.norm, NORMS)
  if options.precision is not None:
    _check_choice('precision', options.precision, PRECISIONS)
  for name in ('dropout_input', 'dropout_conv', 'dropout_hidden'):
    try:
      keep_count(getattr(options, name))
    except ValueError as error:
      raise errors.UserError(f'{name}: {error}') from error
  if not options.bias_spread >= 0:
    raise errors.UserError(
        f'bias_spread must be at least 0, got {options.bias_spread}')
  if classes < 1:
    raise errors.UserError(f'classes must be at least 1, got {classes}')
  input_shape = tuple(map(int, input_shape))
  geometry.output_shapes(architecture, input_shape)
  return Net(architecture, input_shape, int(classes), options)


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
  if value not in known:
    raise errors.UserError(
        f'unknown {name} "{value}"; choose one of {", ".join(known)}')
