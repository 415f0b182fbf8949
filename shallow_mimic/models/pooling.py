"""Pooling of channels-last maps.

XLA's CPU code for the gradient of `reduce_window` (select-and-scatter) takes
many times as long as the form below, which is used on every backend: the
forward pass notes which place in its window won, and the gradient is put
together from as many strided parts as the stride leaves remainders. Pads with
gaps, one for each place, took twice as long where windows overlap.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

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


def find_largest(arrays: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
  """Largest value at each place of arrays of one shape, and whose it is.

  Returns:
    The values, and the numbers of the arrays, uint8 or uint32: of equal values
    the first.
  """
  best, winner = arrays[0], jnp.zeros(arrays[0].shape, jnp.uint32)
  for number, array in enumerate(arrays[1:], 1):
    winner = jnp.where(array > best, jnp.uint32(number), winner)
    best = jnp.maximum(best, array)
  return best, winner.astype(jnp.uint8 if len(arrays) <= 256 else jnp.uint32)


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
  """Saves the place in its window of each winner, and an empty x: its shape."""
  y, winner = find_largest(
      [window for _, window in _windows(x, size, stride)])
  return y, (winner, jnp.zeros((0, *x.shape[1:]), x.dtype))


def _backward(size, stride, saved, dy):
  """Sorts dx by position modulo the stride: few windows reach each kind."""
  winner, like = saved
  lengths = like.shape[1:-1]
  counts = [-(-n // stride) for n in lengths]
  places = list(itertools.product(range(size), repeat=len(lengths)))
  zero = jnp.zeros((), dy.dtype)

  def one_kind(remainders):
    total = jnp.zeros((len(dy), *counts, dy.shape[-1]), dy.dtype)
    for place, offsets in enumerate(places):
      if tuple(o % stride for o in offsets) == remainders:
        shifts = [(o // stride, n - o // stride - m, 0) for o, n, m in zip(
            offsets, counts, dy.shape[1:-1], strict=True)]
        mine = jnp.where(winner == place, dy, zero)
        total += lax.pad(mine, zero, [(0, 0, 0), *shifts, (0, 0, 0)])
    return total

  def interleave(remainders):
    axis = len(remainders) + 1
    if axis > len(lengths):
      return one_kind(remainders)
    kinds = [interleave((*remainders, r)) for r in range(stride)]
    dx = jnp.stack(kinds, axis + 1)
    return dx.reshape(*dx.shape[:axis], -1, *dx.shape[axis + 2:])

  dx = interleave(())
  return (lax.slice(dx, (0,) * dx.ndim, (
      len(dy), *lengths, dy.shape[-1])),)


max_pool.defvjp(_forward, _backward)


def average_pool(x: jax.Array) -> jax.Array:
  """Mean of each map over all its positions: [B, …, c] → [B, c]."""
  return x.mean(tuple(range(1, x.ndim - 1)))
