"""A convolution and its pool in one: as one after the other, to rounding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shallow_mimic.models.convolution import convolve
from shallow_mimic.models.pooled_convolution import convolve_and_pool
from shallow_mimic.models.pooling import max_pool

# [B, h, w, cin], filter sizes, cout, size of the pool: maps that the pool does
# not divide, even filters, a filter larger than the map.
CASES = [
    ((3, 8, 8, 3), (3, 3), 5, 2), ((2, 7, 9, 2), (3, 3), 4, 2),
    ((2, 6, 6, 1), (4, 2), 3, 3), ((2, 5, 4, 2), (5, 5), 2, 2),
    ((1, 3, 3, 1), (1, 1), 2, 2), ((2, 4, 6, 3), (2, 2), 1, 1),
]


def _draw(shape, sizes, cout, *, ties=False):
  rng = np.random.default_rng(0)
  draw = (lambda *s: rng.integers(-2, 3, s)) if ties else (
      lambda *s: rng.normal(size=s))
  return (jnp.asarray(draw(*shape), jnp.float32),
          jnp.asarray(draw(*sizes, shape[-1], cout), jnp.float32))


def _apart(x, kernel, size):
  return max_pool(convolve(x, kernel, form='xla'), size, size)


def _with_gradients(function, x, kernel):
  """Values, and gradients of a sum that no two values enter alike."""
  y, pull = jax.vjp(function, x, kernel)
  weights = np.random.default_rng(1).normal(size=y.shape)
  return y, *pull(jnp.asarray(weights, jnp.float32))


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize(('shape', 'sizes', 'cout', 'size'), CASES)
def test_joined_is_one_after_the_other(shape, sizes, cout, size, ties):
  """Whole numbers make ties: the first of equals has the gradient in both."""
  x, kernel = _draw(shape, sizes, cout, ties=ties)

  def joined(x, kernel):
    return convolve_and_pool(
        x, kernel, size, size, joined=True)

  got, want = (jax.jit(functools.partial(_with_gradients, f))(x, kernel)
               for f in (joined, lambda x, kernel: _apart(x, kernel, size)))
  for mine, theirs in zip(got, want, strict=True):
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)


def test_vmap_over_kernels_equals_one_by_one():
  x, kernel = _draw((3, 6, 6, 2), (3, 3), 4)
  kernels = jnp.stack([kernel, -2 * kernel])

  def step(kernel, x):
    return _with_gradients(
        lambda x, kernel: convolve_and_pool(x, kernel, 2, 2, joined=True),
        x, kernel)

  together = jax.jit(jax.vmap(step, (0, None)))(kernels, x)
  for i in range(2):
    for got, want in zip(together, step(kernels[i], x), strict=True):
      np.testing.assert_allclose(got[i], want, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(('shape', 'kernel', 'pool', 'joined'), [
    ((2, 8, 8, 3), (3, 3, 3, 4), (2, 2), True),
    ((2, 8, 8, 3), (3, 3, 3, 4), (3, 2), False),  # Windows overlap.
    ((2, 8, 8, 8), (3, 3, 8, 4), (2, 2), False),  # Too many columns.
    ((2, 8, 3), (3, 3, 4), (2, 2), False),  # Signals.
])
def test_joined_where_it_is_quicker(monkeypatch, shape, kernel, pool, joined):
  def told():
    text = str(jax.make_jaxpr(lambda x, k: convolve_and_pool(x, k, *pool))(
        jnp.zeros(shape), jnp.zeros(kernel)))
    return 'name=_convolve_and_pool' in text

  assert told() is joined
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert not told()
