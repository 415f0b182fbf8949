"""Convolution of channels-last maps, in the form that each backend runs best.

XLA's CPU convolutions are slow to train with. Forward and backward, outside a
loop, the 2-d ones took 1.2 to 1.6 times as long as the form below (and the 1-d
ones 0.85 times); inside `lax.scan` or `fori_loop`, where a nested computation
gets a naive kernel, both took 60 to 90 times as long. So on a CPU a
convolution is a matrix product. The usual patches of k·k·cin columns cost more
to write than to multiply; here only the k shifts along a row are laid side by
side, one product gives the share of every row in the k output rows that it
reaches, and those shares are added up:

  [rows + k - 1, B, w, k·cin] @ [k·cin, k·cout]  →  Σ_k of [rows, B, w, cout]

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
    form: 'matmul' or 'xla'; None takes what is faster on the default backend
      ('matmul' on a CPU), 'xla' where B is symbolic (`jax.export`). Both give
      the same values to rounding; 'matmul' has reverse-mode derivatives only.
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
    form = 'matmul' if known and jax.default_backend() == 'cpu' else 'xla'
  if form == 'xla':
    return _convolve_by_xla(x, kernel, precision)
  if form != 'matmul':
    raise ValueError(f'unknown form of convolution {form!r}')
  if x.ndim == 4:
    return _convolve_by_matmul(x, kernel, precision)
  return _convolve_by_matmul(x[:, None], kernel[None], precision)[:, 0]


def _convolve_by_xla(x, kernel, precision):
  letters = 'L' if x.ndim == 3 else 'hw'
  return lax.conv_general_dilated(
      x, kernel, (1,) * len(letters), 'SAME', precision=precision,
      dimension_numbers=(f'N{letters}C', f'{letters}IO', f'N{letters}C'),
  )


def _margins(size: int) -> tuple[int, int]:
  """Zeros before and after an axis that keep its length ('same')."""
  return (size - 1) // 2, size // 2


def _row_shifts(x: jax.Array, kh: int, kw: int) -> jax.Array:
  """[b, h, w, cin] → [(h + kh - 1)·b·w, kw·cin], rows outermost."""
  width, channels = x.shape[2:]
  padded = jnp.pad(
      x.transpose(1, 0, 2, 3), (_margins(kh), (0, 0), _margins(kw), (0, 0)))
  shifts = [padded[:, :, j:j + width] for j in range(kw)]
  return jnp.concatenate(shifts, -1).reshape(-1, kw * channels)


def _flat_kernel(kernel: jax.Array) -> jax.Array:
  """[kh, kw, cin, cout] → [kw·cin, kh·cout]."""
  kh, kw, cin, cout = kernel.shape
  return kernel.transpose(1, 2, 0, 3).reshape(kw * cin, kh * cout)


def _block_forward(x, kernel, precision):
  """One block of examples: [b, h, w, cin] → [b, h, w, cout]."""
  b, h, w, _ = x.shape
  kh, kw, _, cout = kernel.shape
  shares = jnp.dot(
      _row_shifts(x, kh, kw), _flat_kernel(kernel), precision=precision)
  shares = shares.reshape(h + kh - 1, b, w, kh * cout)
  y = sum(shares[i:i + h, ..., i * cout:(i + 1) * cout] for i in range(kh))
  return y.transpose(1, 0, 2, 3)


def _block_backward(x, kernel, dy, precision):
  """One block's gradients: of its x, and its part of the flat kernel's."""
  b, h, w, cin = x.shape
  kh, kw, _, _ = kernel.shape
  dy = dy.transpose(1, 0, 2, 3)
  no = (0, 0)
  shares = jnp.concatenate(
      [jnp.pad(dy, ((i, kh - 1 - i), no, no, no)) for i in range(kh)], -1)
  shares = shares.reshape(-1, kh * dy.shape[-1])
  dkernel = jnp.dot(_row_shifts(x, kh, kw).T, shares, precision=precision)
  dshifts = jnp.dot(shares, _flat_kernel(kernel).T, precision=precision)
  dshifts = dshifts.reshape(h + kh - 1, b, w, kw * cin)
  dshifts = dshifts[_margins(kh)[0]:][:h]
  dx = 0
  for j in range(kw):  # each shift goes back to the column that it came from
    shift = j - _margins(kw)[0]
    part = dshifts[..., j * cin:(j + 1) * cin]
    zero = jnp.zeros((), part.dtype)
    dx += lax.pad(part, zero, [(0, 0, 0)] * 2 + [(shift, -shift, 0), (0, 0, 0)])
  return dx.transpose(1, 0, 2, 3), dkernel


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
def _convolve_by_matmul(x, kernel, precision):
  """Students under `vmap` take turns: batched products are slow on a CPU."""

  @jax.custom_batching.sequential_vmap
  def run(x, kernel):
    blocks, size = _split(x, kernel)
    if blocks == 1:
      return _block_forward(x, kernel, precision)
    y = lax.map(lambda x: _block_forward(x, kernel, precision),
                _to_blocks(x, blocks, size))
    return y.reshape(-1, *y.shape[2:])[:x.shape[0]]

  return run(x, kernel)


def _forward(x, kernel, precision):
  return _convolve_by_matmul(x, kernel, precision), (x, kernel)


def _backward(precision, saved, dy):
  """Recomputes the row shifts: they are cheaper to make than to keep."""

  @jax.custom_batching.sequential_vmap
  def run(x, kernel, dy):
    def add_block(total, block):
      dx, dkernel = _block_backward(block[0], kernel, block[1], precision)
      return total + dkernel, dx

    blocks, size = _split(x, kernel)
    kh, kw, cin, cout = kernel.shape
    total = jnp.zeros((kw * cin, kh * cout), kernel.dtype)
    if blocks == 1:
      dkernel, dx = add_block(total, (x, dy))
    else:
      dkernel, dx = lax.scan(
          add_block, total,
          (_to_blocks(x, blocks, size), _to_blocks(dy, blocks, size)))
      dx = dx.reshape(-1, *dx.shape[2:])[:x.shape[0]]
    return dx, dkernel.reshape(kw, cin, kh, cout).transpose(2, 0, 1, 3)

  return run(*saved, dy)


_convolve_by_matmul.defvjp(_forward, _backward)
