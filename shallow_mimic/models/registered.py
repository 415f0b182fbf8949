"""How a layer that a user registered is checked: it is what it states."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from shallow_mimic import errors
from shallow_mimic.models.layer import Layer, Shape, Site
from shallow_mimic.models.options import Options


class _Alone(nn.Module):
  """One layer as a net of its own."""

  layer: Layer
  options: Options

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    name = f'{self.layer.name}_0'
    y = self.layer.apply(
        x, Site(name, self.options, self.layer.stream(0)))
    return y.T if self.layer.units_major else y


@functools.lru_cache(maxsize=1024)
def check_layer(layer: Layer, shape: Shape, options: Options) -> None:
  """Holds what a user's layer states against what its module makes.

  Args:
    layer: of a kind that is registered, or one of ours.
    shape: of its input, for one example.
    options: the net's.

  Raises:
    UserError: its shape or its number of parameters is another, or it fails.
  """
  try:
    y, variables = jax.eval_shape(
        _Alone(layer, options).init_with_output, jax.random.key(0),
        jax.ShapeDtypeStruct((3, *shape), jnp.float32))
    for difference in _find_differences(
        layer, shape, options, y, dict(variables)):
      raise ValueError(difference)
  except Exception as error:
    what = '' if type(error) is ValueError else f'{type(error).__name__}: '
    first, _, _ = str(error).partition('\n')
    raise errors.UserError(
        f'the layer "{layer}" ({layer.name}, version {layer.version}) on'
        f' inputs of shape {shape}: {what}{first}; mend'
        f' {type(layer).__name__}') from error


def _find_differences(layer: Layer, shape: Shape, options: Options, y: Any,
                      variables: dict[str, Any]) -> Iterator[str]:
  """What a layer states other than it is made; only the first counts."""
  params = variables.pop('params', {})
  leaves = jax.tree.leaves(params)
  stated, count = layer.output_shape(shape), layer.count_parameters(
      shape, options)
  cost = layer.count_multiply_adds(shape)
  if y.shape != (3, *stated):
    yield f'it states outputs of shape {stated} and makes {y.shape[1:]}'
  if layer.gives_map != (len(stated) > 1):
    yield f'gives_map is {layer.gives_map}, but its outputs are {stated}'
  if count != (made := sum(leaf.size for leaf in leaves)):
    yield f'it states {count:,} parameters and makes {made:,}'
  if not isinstance(cost, int) or cost < 0:
    yield f'it states {cost!r} multiply-adds, no whole number from 0 on'
  wrong = [name for name in params if not name.startswith(f'{layer.name}_0')]
  if wrong:
    yield f'name its modules after site.name, not {", ".join(wrong)}'
  if variables:
    yield f'it keeps {", ".join(variables)} beside its parameters'
  if any(x.dtype != jnp.float32 for x in [y, *leaves]):
    yield 'its parameters and outputs must be float32'
