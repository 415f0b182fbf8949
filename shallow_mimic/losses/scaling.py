"""Logits shifted, centred, standardised: gradients finite at any logits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from shallow_mimic.losses import arguments

Axes = int | tuple[int, ...]
# Added to a deviation, as by the authors of both losses that divide by one.
FLOOR = 1e-7


def peak(array: jax.Array, axis: Axes, where: jax.Array | None) -> jax.Array:
  """The largest element that is kept, -inf if none is; it has no gradient."""
  return jax.lax.stop_gradient(
      jnp.max(array, axis, keepdims=True, where=where, initial=-jnp.inf))


def shift(logits: jax.Array, axis: Axes, where: jax.Array | None) -> jax.Array:
  """The largest logit becomes 0; a dropped class -inf, of probability 0."""
  # After this no exp overflows, and a common offset cancels.
  shifted = logits - peak(logits, axis, where)
  return shifted if where is None else jnp.where(where, shifted, -jnp.inf)


def log_softmax(logits: jax.Array, axis: int, where: jax.Array | None,
                temperature: ArrayLike = 1.0) -> jax.Array:
  """Log softmax(logits / T) over the classes that are kept."""
  return jax.nn.log_softmax(shift(logits, axis, where) / temperature, axis)


def count(array: jax.Array, axis: Axes, where: jax.Array | None) -> jax.Array:
  """How many elements are kept, but at least 1, with the axis as length 1."""
  kept = jnp.ones(array.shape, bool) if where is None else where
  return jnp.maximum(1, jnp.sum(kept, axis, jnp.float32, keepdims=True))


def centre(array: jax.Array, axis: Axes, where: jax.Array | None) -> jax.Array:
  """The array minus its mean over the kept; 0 where dropped.

  A constant becomes 0 without any rounding. Values whose sum might overflow,
  some 1e37 / C, are cut.
  """
  size = count(array, axis, None)
  bound = jnp.finfo(jnp.float32).max / (16 * size)
  array = jnp.clip(array, -bound, bound)
  shifted = arguments.keep(array - peak(array, axis, where), where)
  mean = jnp.sum(shifted, axis, keepdims=True) / count(array, axis, where)
  return arguments.keep(shifted - mean, where)


def standardise(array: jax.Array, axis: Axes, where: jax.Array | None,
                floor: ArrayLike = FLOOR) -> jax.Array:
  """(x − mean) / (std + floor) over the kept, whose variance divides by C.

  The floor keeps values and gradients finite where nothing varies: 0, and at
  most 1 / floor.
  """
  centred = centre(array, axis, where)
  # Squares of what lies within [-1, 1] neither overflow nor vanish. The
  # result depends on the scale only through the floor, so it is a constant.
  size = jax.lax.stop_gradient(
      jnp.max(jnp.abs(centred), axis, keepdims=True, initial=0))
  varies = size > 1e-30
  size = jnp.where(varies, size, 1)
  scaled = centred / size
  variance = jnp.sum(jnp.square(scaled), axis, keepdims=True) / count(
      array, axis, where)
  # The gradient of a root at 0 is inf.
  std = jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1)), 0)
  return scaled / (std + floor / size)
