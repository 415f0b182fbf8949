"""Dropout: rates, scale, and the same decisions for a padded net."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shallow_mimic.models.dropout import dropout, keep_count


@pytest.mark.parametrize(('rate', 'kept'), [
    (0.0, 256), (0.5, 128), (0.2, 205), (0.25, 192), (0.998, 1), (0.001, 256)])
def test_keep_count(rate, kept):
  assert keep_count(rate) == kept


@pytest.mark.parametrize('rate', [-0.1, 1.0, 0.999, float('nan')])
def test_refuses_rate(rate):
  with pytest.raises(ValueError, match='dropout rate') as error:
    keep_count(rate)
  assert str(error.value) == f'a dropout rate must be in [0, 1), got {rate}'


@pytest.mark.parametrize('rate', [0.1, 0.2, 0.5, 0.8])
def test_rate_and_scale(rate):
  kept = keep_count(rate) / 256
  y = dropout(jax.random.key(0), jnp.full((400, 1001), 3.0), rate)
  np.testing.assert_allclose(np.unique(y), [0, 3 / kept], rtol=1e-6)
  deviation = np.sqrt(kept * (1 - kept) / y.size)
  assert abs((y != 0).mean() - kept) < 5 * deviation
  assert abs(kept - (1 - rate)) <= 1 / 512


def test_decisions_are_independent_of_each_other():
  """Four decisions come from each random word: none follows another."""
  y = np.asarray(dropout(jax.random.key(1), jnp.ones((2000, 64)), 0.5)) - 1
  correlation = y.T @ y / len(y) - np.eye(64)
  assert np.abs(correlation).max() < 5 / np.sqrt(len(y))


@pytest.mark.parametrize('batch', [1, 3, 4, 128, 130])
def test_prefix_property(batch):
  key = jax.random.key(7)
  alone = dropout(key, jnp.ones((10, batch)), 0.5)
  padded = dropout(key, jnp.ones((37, batch)), 0.5)
  np.testing.assert_array_equal(padded[:10], alone)
  if batch > 100:  # the test can tell rows apart
    assert (np.asarray(padded[1:11]) != np.asarray(alone)).any()


def test_keys_and_vmap():
  keys = jax.random.split(jax.random.key(3), 2)
  x = jnp.ones((8, 32))
  both = jax.vmap(lambda key: dropout(key, x, 0.5))(keys)
  np.testing.assert_array_equal(both[1], dropout(keys[1], x, 0.5))
  assert (both[0] != both[1]).any()


def test_tiny_rate_changes_nothing():
  x = jnp.arange(12.0).reshape(3, 4)
  np.testing.assert_array_equal(dropout(jax.random.key(0), x, 0.001), x)
