"""The layers between an input and its logits, as one Flax module.

Fully connected layers are units-major: kernels [H, F] and activations [H, B],
so h = f(W x^T + b) needs no transpose, nor does a batch of students under
`vmap`, which was measured a third faster on a CPU than the usual [B, H]. Only
the logits are turned around, to [B, C].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import flax.linen as nn
import jax

from shallow_mimic.models import architectures, modules
from shallow_mimic.models.architectures import Architecture
from shallow_mimic.models.layer import Layer, Site
from shallow_mimic.models.options import Options

_INPUT_STREAM = 0


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
    x = Site('', self.options, _INPUT_STREAM, dropout_key).drop(
        x, self.options.dropout_input)
    examples_first = True
    for layer, site in self._sites():
      if not examples_first and not layer.units_major:
        x, examples_first = x.T, True
      if examples_first and not layer.takes_map:
        x = x.reshape(x.shape[0], -1)
      x = layer.apply(x, dataclasses.replace(
          site, dropout_key=dropout_key, unit_mask=unit_mask,
          examples_first=examples_first))
      examples_first = not layer.units_major
    if examples_first:
      x = x.reshape(x.shape[0], -1)
    logits = modules.UnitsMajorDense(
        self.classes, precision=self.options.precision, name='output',
    )(x, examples_first=examples_first)
    # Without the barrier XLA turns the products around too, to a form that its
    # CPU code runs slowly: a step of a family took a fifth longer.
    return jax.lax.optimization_barrier(logits).T

  def _sites(self) -> Iterator[tuple[Layer, Site]]:
    """Each layer with its name, its stream and its neighbours."""
    numbered = architectures.number_layers(self.architecture)
    layers = [None, *self.architecture.layers, None]
    for (layer, number), previous, following in zip(
        numbered, layers[:-2], layers[2:], strict=True):
      yield layer, Site(
          f'{layer.name}_{number}', self.options, layer.stream(number),
          previous=previous, following=following)
