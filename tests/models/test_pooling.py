"""Pooling by brute force, and who gets the gradient of a tie."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shallow_mimic.models.pooling import average_pool, max_pool, pooled_length


def _brute(x, dy, size, stride):
  """Values, and the gradient sent to the first of the largest."""
  lengths = [len(range(0, n - size + 1, stride)) for n in x.shape[1:-1]]
  y = np.zeros((len(x), *lengths, x.shape[-1]), x.dtype)
  dx = np.zeros_like(x)
  for b, c in np.ndindex(len(x), x.shape[-1]):
    for position in np.ndindex(*lengths):
      corner = [p * stride for p in position]
      window = tuple(slice(s, s + size) for s in corner)
      values = x[b][..., c][window]
      at = np.unravel_index(values.argmax(), values.shape)
      y[(b, *position, c)] = values[at]
      place = [int(s + a) for s, a in zip(corner, at, strict=True)]
      dx[(b, *place, c)] += dy[(b, *position, c)]
  return y, dx


@pytest.mark.parametrize(('shape', 'size', 'stride'), [
    ((2, 9, 3), 3, 2), ((2, 8, 3), 2, 2), ((1, 7, 1), 3, 1), ((2, 9, 2), 2, 3),
    ((2, 8, 9, 3), 3, 2), ((2, 6, 7, 2), 2, 2), ((1, 5, 5, 2), 3, 3),
    ((2, 3, 3, 1), 3, 2), ((1, 6, 6, 1), 1, 2)])
def test_max_pool(shape, size, stride):
  rng = np.random.default_rng(0)
  x = rng.integers(-3, 3, shape).astype(np.float32)  # many ties
  lengths = [pooled_length(n, size, stride) for n in shape[1:-1]]
  dy = rng.normal(size=(shape[0], *lengths, shape[-1])).astype(np.float32)

  @jax.jit
  def both(x, dy):
    y, pull = jax.vjp(lambda x: max_pool(x, size, stride), x)
    return y, pull(dy)[0]

  y, dx = both(x, dy)
  want_y, want_dx = _brute(x, dy, size, stride)
  np.testing.assert_array_equal(y, want_y)
  np.testing.assert_allclose(dx, want_dx, atol=1e-6)


@pytest.mark.parametrize('shape', [(3, 7, 2), (3, 4, 5, 2)])
def test_average_pool(shape):
  x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
  y = average_pool(jnp.asarray(x))
  want = [[x[b, ..., c].astype(float).mean() for c in range(2)]
          for b in range(3)]
  np.testing.assert_allclose(y, want, rtol=1e-6)
