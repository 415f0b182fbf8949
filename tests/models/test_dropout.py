"""Dropout: rates, scale, where a net uses it, and padding changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shallow_mimic.models.dropout import dropout, keep_count
from shallow_mimic.models.nets import make_net
from shallow_mimic.models.sizes import param_shapes


def _draw(net, seed=0):
  """Parameters at random, biases too; quicker to make than `net.init`."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda a: jnp.asarray(
      rng.normal(size=a.shape) * 0.4, jnp.float32), param_shapes(net))


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


class TestNet:
  """Where the dropout of a net acts, and when."""

  def test_is_off_without_a_key(self):
    rates = dict.fromkeys(
        ('dropout_input', 'dropout_conv', 'dropout_hidden'), 0.5)
    net = make_net('4c-p2-9', (8, 8, 1), 6, **rates)
    plain = make_net('4c-p2-9', (8, 8, 1), 6)
    params = _draw(net)
    x = jnp.ones((2, 8, 8, 1))
    np.testing.assert_array_equal(
        net.apply(params, x), plain.apply(params, x))
    np.testing.assert_array_equal(
        plain.apply(params, x), plain.apply(
            params, x, dropout_key=jax.random.key(1)))

  @pytest.mark.parametrize(('place', 'text'), [
      ('dropout_input', 'p1s1-1'), ('dropout_conv', '1c-p2-1'),
      ('dropout_conv', '1c-a-1'), ('dropout_hidden', '1c-p2-1')])
  def test_expected_value(self, place, text):
    """Positive and linear after the dropout: it does not move the mean."""
    net = make_net(text, (4, 4, 1), 1, **{place: 0.5})
    params = jax.tree.map(jnp.ones_like, param_shapes(net))
    x = jnp.ones((4000, 4, 4, 1))
    plain = net.apply(params, x)
    dropped = jax.jit(net.apply)(params, x, dropout_key=jax.random.key(2))
    assert float(dropped.std()) > 0
    error = float(dropped.mean() - plain.mean())
    assert abs(error) < 5 * float(dropped.std()) / 4000**0.5

  def test_layers_have_streams_of_their_own(self):
    net = make_net('64-64', (64,), 64, dropout_hidden=0.5, dropout_input=0.5)
    eye = {'kernel': jnp.eye(64), 'bias': jnp.zeros(64)}
    params = {'hidden_0': eye, 'hidden_1': eye, 'output': eye}
    kept = net.apply(params, jnp.ones((64, 64)),
                     dropout_key=jax.random.key(0)) > 0
    # Three independent halves; any two alike would leave a quarter.
    assert float(kept.mean()) == pytest.approx(1 / 8, abs=0.03)

  def test_padded_net_drops_the_same_units(self):
    narrow, wide = (make_net(text, (7,), 3, dropout_hidden=0.5)
                    for text in ('5', '8'))
    params = _draw(narrow)
    pad = {'hidden_0': {'kernel': ((0, 3), (0, 0)), 'bias': (0, 3)},
           'output': {'kernel': ((0, 0), (0, 3)), 'bias': (0, 0)}}
    padded = {layer: {name: jnp.pad(array, pad[layer][name])
                      for name, array in arrays.items()}
              for layer, arrays in params.items()}
    x, key = jnp.ones((10, 7)), jax.random.key(5)
    alone = narrow.apply(params, x, dropout_key=key)
    np.testing.assert_allclose(
        wide.apply(padded, x, dropout_key=key), alone, rtol=1e-5, atol=1e-6)
    assert (alone != narrow.apply(params, x)).any()
