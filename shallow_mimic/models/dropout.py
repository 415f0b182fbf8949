"""Inverted dropout from a quarter of the usual random bits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def keep_count(rate: float) -> int:
  """How many of 256 equally likely bytes keep a value.

  Raises:
    ValueError: the rate is not in [0, 1), or so near 1 that nothing is kept.
  """
  if not 0 <= rate < 1 or (kept := round(256 * (1 - rate))) == 0:
    raise ValueError(f'a dropout rate must be in [0, 1), got {rate}')
  return kept


def dropout(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
  """Zeroes values with probability `rate` and scales up the rest.

  The rate is rounded to a multiple of 1/256, because each random word of 32
  bits makes four decisions (random bits cost more than anything else in a
  small net on a CPU); the scale uses the rounded rate, so that the mean is
  kept exactly.

  Prefix property: rows 0…n-1 of an array's first axis meet the same
  decisions however many rows follow. So a student whose hidden units
  [H, B] were padded drops the same units as it would alone.
  """
  kept = keep_count(rate)
  if kept == 256:
    return x
  last = x.shape[-1]
  words = jax.random.bits(key, (*x.shape[:-1], -(-last // 4)), jnp.uint32)
  chances = lax.bitcast_convert_type(words, jnp.uint8)
  chances = chances.reshape(*x.shape[:-1], -1)[..., :last]
  scale = jnp.asarray(256 / kept, x.dtype)
  return jnp.where(chances < np.uint8(kept), x * scale, jnp.zeros_like(x))
