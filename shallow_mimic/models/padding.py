"""Padding a student's parameters with zeros to the width of its bucket.

A padded unit has a zero kernel, a zero bias and, by the unit mask, a zero
output whatever the activation; so it changes no logit, and neither it nor
the zeros that read from it ever get a gradient.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


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
