"""A net with its bottleneck absorbed is the same function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shallow_mimic.models.absorb import absorb_bottleneck
from shallow_mimic.models.nets import make_net
from shallow_mimic.models.sizes import (
    count_absorbed,
    count_parameters,
    param_shapes,
)


def _draw(net, seed=0):
  """Parameters at random, biases too; quicker to make than `net.init`."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda a: jnp.asarray(
      rng.normal(size=a.shape) * 0.4, jnp.float32), param_shapes(net))


@pytest.mark.parametrize(('text', 'shape', 'absorbed'), [
    ('4L-30', (11,), '30'), ('4c3-p-4L-30', (9, 9, 2), '4c3-p-30'),
    ('30-4L-20', (11,), '30-20'), ('30-4L', (11,), '30'),
    ('4L-3L-30', (11,), '30'), ('4L-30-3L-20', (11,), '30-20'),
    ('30', (11,), '30')])
def test_same_outputs(text, shape, absorbed):
  options = {'activation': 'tanh', 'dropout_hidden': 0.5,
             'dropout_input': 0.2, 'dropout_conv': 0.2}
  net = make_net(text, shape, 6, **options)
  params = _draw(net)
  flat_net, flat = absorb_bottleneck(net, params)
  assert flat_net == make_net(absorbed, shape, 6, **options)
  x = np.random.default_rng(1).normal(size=(5, *shape))
  with_key = 'c3' in text or text == '30-4L-20'
  for key in (None, jax.random.key(2))[:1 + with_key]:
    np.testing.assert_allclose(
        jax.jit(flat_net.apply)(flat, x, dropout_key=key),
        jax.jit(net.apply)(params, x, dropout_key=key), rtol=1e-4, atol=1e-5)
  assert sum(a.size for a in jax.tree.leaves(flat)) == count_absorbed(net)
  assert count_parameters(flat_net) == count_absorbed(net)


def test_parameters_given_are_left_alone():
  net = make_net('4L-30', (11,), 6)
  params = _draw(net)
  absorb_bottleneck(net, params)
  assert params['hidden_0']['kernel'].shape == (30, 4)
  assert 'bottleneck_0' in params
