"""Convolution of channels-last maps, in the form that each backend runs best.

Two of XLA's CPU kernels are slow, both measured with jax 0.10. Convolutions of
images go to a library that keeps to one core, unless their zeros are lopsided;
with one row of zeros more below, and that row's output cut off, they take all
cores and about half the time. And the gradient of a kernel took 60 to 90 times
as long as below inside `lax.scan` or `fori_loop`, where a nested computation
gets a naive kernel. So on a CPU row i of it is one matrix product. The usual
patches of k·k·cin columns cost more to write than to multiply; only the k
shifts along a row are laid side by side:

  [k·cin, rows from i to i + h, B, w] @ [h, B, w, cout]

Large batches go through in blocks of examples that stay in the cache.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax

# A block's working memory: all at once if it fits a last-level cache, else
# about a core's own cache. Measured flat within a factor of two of these.
_WHOLE_BYTES = 8 << 20
_BLOCK_BYTES = 2 << 20

_Margins = tuple[int, int]


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    *,
    form: str | None = None,
    precision: str | None = None,
) -> jax.Array:
  """Convolution 'same', stride 1, in channels-last layout, not flipped.

  An even filter reaches one position further to the right than to the left.

  Args:
    x: [B, L, cin] signals or [B, h, w, cin] images.
    kernel: [k, cin, cout] or [kh, kw, cin, cout].
    form: 'cpu' or 'xla'; None takes what is faster on the default backend,
      'xla' where B is symbolic (`jax.export`). Both give the same values to
      rounding; 'cpu' has reverse-mode derivatives only.
    precision: of the products, as in `jax.lax.Precision`.

  Returns:
    [B, L, cout] or [B, h, w, cout].

  Raises:
    ValueError: the shapes do not belong together, or the form is unknown.
  """
  if x.ndim != kernel.ndim or x.ndim not in (3, 4) or (
      x.shape[-1] != kernel.shape[-2]):
    raise ValueError(f'cannot convolve x {x.shape} with kernel {kernel.shape}')
  if form is None:
    known = isinstance(x.shape[0], int)  # Else there are no blocks to cut.
    form = 'cpu' if known and jax.default_backend() == 'cpu' else 'xla'
  if form == 'xla':
    return _convolve_by_xla(x, kernel, precision)
  if form != 'cpu':
    raise ValueError(f'unknown form of convolution {form!r}')
  if x.ndim == 4:
    return _convolve_on_cpu(x, kernel, precision)
  return _convolve_on_cpu(x[:, None], kernel[None], precision)[:, 0]


def _convolve_by_xla(x, kernel, precision, padding='SAME'):
  letters = 'L' if x.ndim == 3 else 'hw'
  return lax.conv_general_dilated(
      x, kernel, (1,) * len(letters), padding, precision=precision,
      dimension_numbers=(f'N{letters}C', f'{letters}IO', f'N{letters}C'),
  )


def same_margins(size: int) -> _Margins:
  """Zeros before and after an axis that keep its length ('same')."""
  return (size - 1) // 2, size // 2


def _convolve_on_all_cores(x, kernel, margins, precision):
  """Convolution with zeros around, [B, h, w, cin] → [B, h, w, cout]."""
  height = x.shape[1]
  if height == 1:
    return _convolve_by_xla(x, kernel, precision, margins)
  (above, below), sides = margins
  y = _convolve_by_xla(x, kernel, precision, ((above, below + 1), sides))
  return y[:, :height]


def _block_kernel_gradient(x, dy, kh, kw, precision):
  """One block's part of the kernel's gradient: [kh, kw·cin, cout]."""
  _, h, w, cin = x.shape
  dy = dy.transpose(1, 0, 2, 3).reshape(-1, dy.shape[-1])
  rows, columns = same_margins(kh), same_margins(kw)
  padded = jnp.pad(x.transpose(3, 1, 0, 2), ((0, 0), rows, (0, 0), columns))
  shifts = jnp.concatenate([padded[..., j:j + w] for j in range(kw)])
  return jnp.stack([
      jnp.dot(shifts[:, i:i + h].reshape(kw * cin, -1), dy,
              precision=precision) for i in range(kh)])


def _split(x: jax.Array, kernel: jax.Array) -> tuple[int, int]:
  """Number of blocks, and examples in each."""
  batch, h, w, cin = x.shape
  kh, kw, _, cout = kernel.shape
  each = (h + kh - 1) * w * (kw * cin + kh * cout) * x.dtype.itemsize
  if batch * each <= _WHOLE_BYTES:
    return 1, batch
  blocks = -(-batch // max(1, _BLOCK_BYTES // each))
  return blocks, -(-batch // blocks)


def _to_blocks(x: jax.Array, blocks: int, size: int) -> jax.Array:
  """[B, …] → [blocks, size, …]; missing examples are zeros: no gradient."""
  missing = blocks * size - x.shape[0]
  if missing:
    x = jnp.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1))
  return x.reshape(blocks, size, *x.shape[1:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve_on_cpu(x, kernel, precision):
  """Students under `vmap` take turns: batched products are slow on a CPU."""

  @jax.custom_batching.sequential_vmap
  def run(x, kernel):
    margins = [same_margins(size) for size in kernel.shape[:2]]
    return _convolve_on_all_cores(x, kernel, margins, precision)

  return run(x, kernel)


def _forward(x, kernel, precision):
  return _convolve_on_cpu(x, kernel, precision), (x, kernel)


def _backward(precision, saved, dy):
  """Two functions: of a first layer only the kernel's gradient is wanted."""
  x, kernel = saved
  kh, kw, cin, cout = kernel.shape

  @jax.custom_batching.sequential_vmap
  def map_gradient(kernel, dy):
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    margins = [same_margins(size)[::-1] for size in (kh, kw)]
    return _convolve_on_all_cores(dy, turned, margins, precision)

  @jax.custom_batching.sequential_vmap
  def kernel_gradient(x, dy):
    blocks, size = _split(x, kernel)
    if blocks == 1:
      return _block_kernel_gradient(x, dy, kh, kw, precision)

    def add_block(total, block):
      return total + _block_kernel_gradient(*block, kh, kw, precision), None

    total, _ = lax.scan(
        add_block, jnp.zeros((kh, kw * cin, cout), kernel.dtype),
        (_to_blocks(x, blocks, size), _to_blocks(dy, blocks, size)))
    return total

  return map_gradient(kernel, dy), kernel_gradient(x, dy).reshape(kernel.shape)


_convolve_on_cpu.defvjp(_forward, _backward)
