"""One sequential net for SNN, DNN and CNN: pure `init` and `apply`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from shallow_mimic import errors
from shallow_mimic.models import architectures
from shallow_mimic.models.architectures import (
    Architecture,
    layer_input,
    parse_architecture,
)
from shallow_mimic.models.kinds import Hidden
from shallow_mimic.models.options import Options, check_options
from shallow_mimic.models.registered import check_layer
from shallow_mimic.models.stack import Stack

Params = dict[str, Any]


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
  options: Options = dataclasses.field(default_factory=Options)

  def init(self, key: jax.Array) -> Params:
    """Fresh parameters: nested dicts of float32 arrays.

    Kernels are drawn N(0, s / fan-in), with s = 2 (He) before relu and gelu
    and s = 1 (LeCun) before tanh, sigmoid, a bottleneck or the logits.
    Biases of convolutions and hidden layers are drawn N(0, bias_spread²).
    """
    return _init(self, key)

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
      ValueError: x is not a batch of inputs of the net's shape, or no hidden
        layer is as long as the mask.
    """
    x = jnp.asarray(x, jnp.float32)
    if x.shape[1:] != self.input_shape or not x.ndim:
      raise ValueError(f'x must be [B, *{self.input_shape}], got {x.shape}')
    if unit_mask is not None and Hidden(unit_mask.size) not in (
        self.architecture.layers):
      raise ValueError(f'unit_mask {unit_mask.shape} fits no hidden layer of'
                       f' "{self.architecture}"')
    logits: Any = self._stack.apply(
        {'params': params}, self._to_map(x), dropout_key, unit_mask)
    return logits.astype(jnp.float32)

  @property
  def _stack(self) -> Stack:
    return Stack(self.architecture, self.classes, self.options)

  def _to_map(self, x: jax.Array) -> jax.Array:
    shape = architectures.map_shape(self.architecture, self.input_shape)
    return x.reshape(x.shape[0], *shape)


@functools.partial(jax.jit, static_argnums=0)
def _init(net: Net, key: jax.Array) -> Params:
  """Jitted, so that the pass through the net that Flax asks for is not run."""
  x = jnp.zeros((1, *net.input_shape), jnp.float32)
  return net._stack.init(key, net._to_map(x), None, None)['params']


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
      norm: 'group' normalises after each convolution, before its activation,
        in as many groups of maps as divide them, up to `groups`.
      standardised: whether the filters of convolutions are standardised.
      precision: of products: 'default', 'high', 'highest'; None is jax's own.

  >>> net = make_net('250L-8k', (1845,), 183)
  >>> net.apply(net.init(jax.random.key(0)), jnp.zeros((2, 1845))).shape
  (2, 183)

  Raises:
    UserError: the architecture cannot be read or does not fit the input, or
      an option has no such value, or a layer that a user registered is not
      what it states.
  """
  if isinstance(architecture, str):
    architecture = parse_architecture(architecture)
  chosen = Options(**options)
  check_options(chosen)
  if classes < 1:
    raise errors.UserError(f'classes must be at least 1, got {classes}')
  input_shape = tuple(map(int, input_shape))
  shapes = architectures.layer_shapes(architecture, input_shape)
  for layer, shape in zip(architecture.layers, shapes[:-1], strict=True):
    if layer.version:
      check_layer(layer, layer_input(layer, shape), chosen)
  return Net(architecture, input_shape, int(classes), chosen)
