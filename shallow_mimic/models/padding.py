"""Padding a student's parameters with zeros to the width of its bucket.

A padded unit has a zero kernel, a zero bias and, by the unit mask, a zero
output whatever the activation; so it changes no logit, and neither it nor
the zeros that read from it ever get a gradient.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shallow_mimic import errors
from shallow_mimic.models.architectures import (
    PLACEHOLDER,
    find_registered,
    parse_architecture,
    with_width,
)
from shallow_mimic.models.kinds import Hidden
from shallow_mimic.models.nets import Net, make_net
from shallow_mimic.models.sizes import param_shapes


def pad_params(params: Any, shapes: Any) -> Any:
  """Zeros after the end of each axis, up to the wider net's shapes; NumPy's.

  Args:
    params: any tree of arrays.
    shapes: the same tree of arrays or `jax.ShapeDtypeStruct`, such as
      `param_shapes` of the wider net.

  Raises:
    ValueError: a shape is smaller than the array, or of another rank.
  """
  def pad(path, x, wide):
    _check_fit(path, x.shape, wide.shape)
    return np.pad(x, [(0, m - n) for n, m in zip(
        x.shape, wide.shape, strict=True)])

  return jax.tree_util.tree_map_with_path(pad, params, shapes)


def unpad_params(params: Any, shapes: Any) -> Any:
  """The narrower net's part of padded parameters: the start of each axis.

  Raises:
    ValueError: a shape is larger than the array, or of another rank.
  """
  def unpad(path, x, narrow):
    _check_fit(path, narrow.shape, x.shape)
    return x[tuple(slice(n) for n in narrow.shape)]

  return jax.tree_util.tree_map_with_path(unpad, params, shapes)


def unit_mask(width: int, padded: int) -> jax.Array:
  """1 for each of `width` real units, 0 for the padded rest: [padded].

  Raises:
    ValueError: the width is not in 1…padded.
  """
  if not 1 <= width <= padded:
    raise ValueError(f'width must be in 1…{padded}, got {width}')
  return (jnp.arange(padded) < width).astype(jnp.float32)


def _check_fit(path, narrow, wide):
  if len(narrow) != len(wide) or any(
      n > m for n, m in zip(narrow, wide, strict=True)):
    raise ValueError(f'{jax.tree_util.keystr(path)}: {narrow} does not fit'
                     f' into {wide}')


def ignores_padding(text: str, **options: Any) -> bool:
  """Whether padded units change nothing in the layers after the first 'H'.

  Ours leave them out. Where there is a layer that a user registered, a small
  student is compared with itself padded: a layer that mixes its inputs, such
  as a layer norm, may not share a bucket with students of other widths.

  Args:
    text: of the architecture; a teacher's has no 'H' and is never padded.
    **options: as `make_net` takes them.
  """
  items = text.split('-')
  if PLACEHOLDER not in items:
    return True
  tail = '-'.join(items[items.index(PLACEHOLDER):])
  if not find_registered(tail):
    return True
  fixed = parse_architecture(with_width(tail, 1)).layers
  free = (width for width in itertools.count(2) if Hidden(width) not in fixed)
  width, padded = next(free), next(free)
  try:
    narrow, wide = (make_net(with_width(tail, w), (4,), 3, **options)
                    for w in (width, padded))
  except errors.UserError:  # It is not made for as few units.
    return False
  return _is_same_padded(narrow, wide, width, padded)


@functools.lru_cache(maxsize=256)
def _is_same_padded(narrow: Net, wide: Net, width: int, padded: int) -> bool:
  """Whether logits and gradients of a narrow net are those of it padded."""
  rng = np.random.default_rng(0)
  params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(
      np.float32), param_shapes(narrow))
  x = rng.normal(size=(5, *narrow.input_shape))

  def measure(params: Any, net: Net, mask: jax.Array | None) -> Any:
    logits = net.apply(
        params, x, dropout_key=jax.random.key(0), unit_mask=mask)
    return jnp.sum(logits ** 2), logits

  step = jax.jit(jax.grad(measure, has_aux=True), static_argnums=1)
  alone = step(params, narrow, None)
  gradient, logits = step(
      pad_params(params, param_shapes(wide)), wide, unit_mask(width, padded))
  real = unpad_params(gradient, param_shapes(narrow))
  outside = jax.tree.map(np.subtract, gradient, pad_params(
      real, param_shapes(wide)))
  near = jax.tree.map(lambda a, b: np.allclose(a, b, 1e-3, 1e-3),
                      (real, logits), alone)
  return jax.tree.all(near) and not any(
      leaf.any() for leaf in jax.tree.leaves(outside))
