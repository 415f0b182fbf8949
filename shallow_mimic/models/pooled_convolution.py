"""A convolution and the max pool behind it, in one where that is quicker.

The first convolution of a net has few channels to sum over, and on a CPU most
of its time goes into maps that the pool then throws away. Where windows of the
pool do not overlap, each sees (k + p - 1)² places of the image, and its p²
values are p² shifted filters on these:

  [B·h'·w', (k + p - 1)²·cin] @ [(k + p - 1)²·cin, p²·cout] → max over p²

With k = 3, p = 2 and 3 channels that is 1.8 times the multiplications and less
than half the time.
"""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp

from shallow_mimic.models.convolution import convolve, same_margins
from shallow_mimic.models.pooling import find_largest, max_pool, pooled_length

# Columns of the windows beyond which it was not measured to be quicker.
_MOST_COLUMNS = 64


def convolve_and_pool(
    x: jax.Array,
    kernel: jax.Array,
    size: int,
    stride: int,
    *,
    joined: bool | None = None,
    precision: str | None = None,
) -> jax.Array:
  """Convolution 'same', then the largest value in each 'valid' window.

  Args:
    x: [B, L, cin] signals or [B, h, w, cin] images.
    kernel: [k, cin, cout] or [kh, kw, cin, cout].
    size: of the pool's window, along each spatial axis.
    stride: from one window to the next, along each spatial axis.
    joined: whether both are one product, for images with size = stride alone;
      None takes what is faster on the default backend. Both give the same
      values to rounding; joined it has reverse-mode derivatives only.
    precision: of the products, as in `jax.lax.Precision`.

  Returns:
    [B, L', cout] or [B, h', w', cout] with n' = (n - size) // stride + 1.
  """
  if joined is None:
    joined = (
        x.ndim == 4 and size == stride and isinstance(x.shape[0], int)
        and jax.default_backend() == 'cpu'
        and _count_columns(kernel, size) <= _MOST_COLUMNS)
  if joined:
    return _convolve_and_pool(x, kernel, size, precision)
  return max_pool(convolve(x, kernel, precision=precision), size, stride)


def _count_columns(kernel, size):
  """How many values of the image a window of the pool depends on."""
  kh, kw, cin, _ = kernel.shape
  return (kh + size - 1) * (kw + size - 1) * cin


def _windows(x, kernel_size, size):
  """All that each window sees: [B, h, w, cin] → [B·h'·w', columns]."""
  lengths = [pooled_length(n, size, size) for n in x.shape[1:3]]
  margins = map(same_margins, kernel_size)
  padded = jnp.pad(x, ((0, 0), *margins, (0, 0)))
  places = itertools.product(*(range(k + size - 1) for k in kernel_size))
  return jnp.concatenate([
      padded[:, i:i + size * lengths[0]:size, j:j + size * lengths[1]:size]
      for i, j in places], -1).reshape(len(x) * lengths[0] * lengths[1], -1)


def _shift_filters(kernel, size):
  """The filters at each place of a pool's window: [columns, size²·cout]."""
  room = size - 1
  shifted = [
      jnp.pad(kernel, ((i, room - i), (j, room - j), (0, 0), (0, 0)))
      for i, j in itertools.product(range(size), repeat=2)]
  return jnp.stack(shifted, 3).reshape(-1, size ** 2 * kernel.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve_and_pool(x, kernel, size, precision):
  """Students under `vmap` take turns: batched products are slow on a CPU."""
  return _forward(x, kernel, size, precision)[0]


def _forward(x, kernel, size, precision):

  @jax.custom_batching.sequential_vmap
  def run(x, kernel):
    windows = _windows(x, kernel.shape[:2], size)
    values = jnp.dot(windows, _shift_filters(kernel, size),
                     precision=precision)
    return *find_largest(jnp.split(values, size ** 2, 1)), windows

  best, winner, windows = run(x, kernel)
  lengths = [pooled_length(n, size, size) for n in x.shape[1:3]]
  y = best.reshape(len(x), *lengths, kernel.shape[-1])
  return y, (kernel, windows, winner, jnp.zeros((0, *x.shape[1:]), x.dtype))


def _backward(size, precision, saved, dy):
  """Two functions: of a first layer only the kernel's gradient is wanted."""
  kernel, windows, winner, like = saved
  x_shape = jax.ShapeDtypeStruct((len(dy), *like.shape[1:]), like.dtype)

  def spread(winner, dy):
    flat = dy.reshape(winner.shape)
    return jnp.concatenate([
        jnp.where(winner == place, flat, 0) for place in range(size ** 2)], 1)

  @jax.custom_batching.sequential_vmap
  def kernel_gradient(windows, winner, dy):
    found = jnp.dot(windows.T, spread(winner, dy), precision=precision)
    return jax.linear_transpose(
        lambda kernel: _shift_filters(kernel, size), kernel)(found)[0]

  @jax.custom_batching.sequential_vmap
  def map_gradient(kernel, winner, dy):
    found = jnp.dot(spread(winner, dy), _shift_filters(kernel, size).T,
                    precision=precision)
    return jax.linear_transpose(
        lambda x: _windows(x, kernel.shape[:2], size), x_shape)(found)[0]

  return map_gradient(kernel, winner, dy), kernel_gradient(windows, winner, dy)


_convolve_and_pool.defvjp(_forward, _backward)
