"""Pooling of channels-last maps.

XLA's CPU code for the gradient of `reduce_window` (select-and-scatter) takes
about eight times as long as the form below, which is used on every backend.
"""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
from jax import lax


def pooled_length(length: int, size: int, stride: int) -> int:
  """Windows of a 'valid' pool along one axis; 0 or less: none fits."""
  return (length - size) // stride + 1


def _windows(x: jax.Array, size: int, stride: int):
  """For each position in a window: its offsets, and its strided slice."""
  lengths = [pooled_length(n, size, stride) for n in x.shape[1:-1]]
  for offsets in itertools.product(range(size), repeat=len(lengths)):
    ends = [i + (n - 1) * stride + 1
            for i, n in zip(offsets, lengths, strict=True)]
    yield offsets, lax.slice(
        x, (0, *offsets, 0), (x.shape[0], *ends, x.shape[-1]),
        (1, *[stride] * len(lengths), 1))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def max_pool(x: jax.Array, size: int, stride: int) -> jax.Array:
  """Largest value in each 'valid' window of every map.

  Of equal values the first, in row-major order, takes the gradient, as it
  does in PyTorch and in XLA's own pooling.

  Args:
    x: [B, L, c] or [B, h, w, c].
    size: of the window, along each spatial axis.
    stride: from one window to the next, along each spatial axis.

  Returns:
    [B, L', c] or [B, h', w', c] with n' = (n - size) // stride + 1.
  """
  slices = [window for _, window in _windows(x, size, stride)]
  return functools.reduce(jnp.maximum, slices)


def _forward(x, size, stride):
  y = max_pool(x, size, stride)
  return y, (x, y)


def _backward(size, stride, saved, dy):
  x, y = saved
  zero = jnp.zeros((), dy.dtype)
  free = jnp.ones(y.shape, bool)
  dx = 0
  for offsets, window in _windows(x, size, stride):
    first = free & (window == y)
    free &= ~first
    spread = [(i, n - i - (m - 1) * stride - 1, stride - 1) for i, n, m in zip(
        offsets, x.shape[1:-1], y.shape[1:-1], strict=True)]
    dx += lax.pad(jnp.where(first, dy, zero), zero,
                  [(0, 0, 0), *spread, (0, 0, 0)])
  return (dx,)


max_pool.defvjp(_forward, _backward)


def average_pool(x: jax.Array) -> jax.Array:
  """Mean of each map over all its positions: [B, …, c] → [B, c]."""
  return x.mean(tuple(range(1, x.ndim - 1)))
