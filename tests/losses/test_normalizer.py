"""The logit normaliser by hand, against float64 and at its edges."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shallow_mimic import losses


def _random(shape, scale=3.0):
  rng = np.random.default_rng(0)
  return rng.normal(0, scale, shape).astype(np.float32)


def _says(message):
  return pytest.raises(ValueError, match=f'^{re.escape(message)}$')


def test_normaliser_by_hand():
  fitted = losses.LogitNormalizer.fit(np.array([[1.0, 2.0], [3.0, 8.0]]))
  # Means 2 and 5; deviations 1 and 3, dividing by N and not by N − 1.
  np.testing.assert_array_equal(fitted.mean, [2, 5])
  np.testing.assert_array_equal(fitted.std, [1, 3])
  np.testing.assert_array_equal(fitted.normalize([[4.0, 11.0]]), [[2, 2]])
  np.testing.assert_array_equal(fitted.denormalize([[2.0, 2.0]]), [[4, 11]])


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16, jnp.int32])
@pytest.mark.parametrize('shape', [(40, 5), (4, 10, 5), (2, 3, 7, 1), (5,)])
def test_normaliser_standardises_and_returns(shape, dtype):
  z = jnp.asarray(_random(shape, scale=30.0), dtype)
  fitted = losses.LogitNormalizer.fit(z)
  wide = np.asarray(z, np.float64).reshape(-1, shape[-1])
  std = np.where(wide.std(0) > 0, wide.std(0), 1)
  np.testing.assert_allclose(fitted.mean, wide.mean(0), rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(fitted.std, std, rtol=1e-5)
  normal = fitted.normalize(z)
  assert normal.dtype == fitted.mean.dtype == fitted.std.dtype == jnp.float32
  rows = np.asarray(normal).reshape(-1, shape[-1])
  np.testing.assert_allclose(rows.mean(0), np.zeros(shape[-1]), atol=1e-5)
  if len(rows) > 1:
    np.testing.assert_allclose(rows.std(0), np.ones(shape[-1]), rtol=1e-5)
  np.testing.assert_allclose(fitted.denormalize(normal),
                             z.astype(jnp.float32), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('value', [0.0, 0.1, -3.7, 1e4 / 3, 1e-30, 1e30])
def test_a_constant_class_gets_std_1_exactly(value):
  z = np.random.default_rng(0).normal(size=(10_007, 2)).astype(np.float32)
  z[:, 1] = value
  fitted = losses.LogitNormalizer.fit(z)
  assert fitted.std[1] == 1
  assert fitted.mean[1] == np.float32(value)
  np.testing.assert_array_equal(fitted.normalize(z)[:, 1], np.zeros(10_007))


@pytest.mark.parametrize('scale', [1e-30, 1e-3, 1e3, 1e30])
def test_normaliser_survives_squares_that_leave_float32(scale):
  z = _random((500, 3)) * np.float32(scale)
  fitted = losses.LogitNormalizer.fit(z)
  np.testing.assert_allclose(fitted.std, z.std(0, dtype=np.float64), rtol=1e-5)


def test_normaliser_is_exact_over_many_rows_far_from_0():
  rng = np.random.default_rng(0)
  z = rng.normal(1000, 2, (300_000, 2)).astype(np.float32)
  z[0] = 30_000  # a first row that is no one's centre
  fitted = losses.LogitNormalizer.fit(z)
  want = z.mean(0, dtype=np.float64), z.std(0, dtype=np.float64)
  np.testing.assert_allclose(fitted.mean, want[0], rtol=3e-7)
  np.testing.assert_allclose(fitted.std, want[1], rtol=2e-6)


def test_normaliser_is_a_pytree_for_jit_and_vmap():
  z = _random((3, 20, 5))
  stacked = jax.vmap(losses.LogitNormalizer.fit)(z)
  assert stacked.mean.shape == (3, 5)
  normal = jax.jit(jax.vmap(lambda n, x: n.normalize(x)))(stacked, z)
  for one, rows in zip(normal, z, strict=True):
    alone = losses.LogitNormalizer.fit(rows).normalize(rows)
    np.testing.assert_allclose(one, alone, rtol=1e-5, atol=1e-6)
  assert len(jax.tree.leaves(stacked)) == 2


def test_logits_that_a_normaliser_does_not_fit():
  fitted = losses.LogitNormalizer.fit(np.eye(3))
  for use in (fitted.normalize, fitted.denormalize):
    for shape in ((2, 4), (2, 1), ()):
      with _says(f'logits {shape} for a normaliser (3,)'):
        use(np.zeros(shape))


@pytest.mark.parametrize('shape', [(0, 3), (3, 0), ()])
def test_nothing_to_fit(shape):
  with _says(f'no logits [..., C] to fit: shape {shape}'):
    losses.LogitNormalizer.fit(np.zeros(shape))
