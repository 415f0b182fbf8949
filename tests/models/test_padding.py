"""A padded student is the student: logits, gradients, and zeros elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shallow_mimic.models.nets import make_net
from shallow_mimic.models.padding import pad_params, unit_mask, unpad_params
from shallow_mimic.models.sizes import param_shapes


def _draw(net, seed=0):
  """Parameters at random, biases too; quicker to make than `net.init`."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda a: jnp.asarray(
      rng.normal(size=a.shape) * 0.4, jnp.float32), param_shapes(net))


@pytest.mark.parametrize(('text', 'activation'), [
    ('{}', 'relu'), ('4L-{}', 'tanh'), ('{}', 'sigmoid'), ('{}', 'gelu'),
    ('3c3-p2-4L-{}', 'relu')])
def test_padded_net_is_the_net(text, activation):
  shape = (6, 6, 2) if 'c' in text else (11,)
  options = {'activation': activation, 'dropout_hidden': 0.25}
  narrow, wide = (make_net(text.format(n), shape, 5, **options)
                  for n in (7, 10))
  params = _draw(narrow)
  padded = pad_params(params, param_shapes(wide))
  mask = unit_mask(7, 10)
  rng = np.random.default_rng(1)
  x, targets = rng.normal(size=(6, *shape)), rng.normal(size=(6, 5))

  def loss(params, net, unit_mask):
    logits = net.apply(params, x, unit_mask=unit_mask,
                       dropout_key=jax.random.key(3))
    return ((logits - targets) ** 2).sum(), logits

  step = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)
  alone, logits = step(params, narrow, None)
  together, padded_logits = step(padded, wide, mask)
  np.testing.assert_allclose(padded_logits, logits, rtol=1e-4, atol=1e-5)
  real = unpad_params(together, param_shapes(narrow))
  for got, want in zip(
      jax.tree.leaves(real), jax.tree.leaves(alone), strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
  # What lies outside the student has no gradient at all, to the last bit.
  outside = jax.tree.map(lambda whole, part: whole - part, together,
                         pad_params(real, param_shapes(wide)))
  assert not any(leaf.any() for leaf in jax.tree.leaves(outside))


def test_the_mask_is_needed():
  """Negative control: without it a sigmoid's padded units get gradients."""
  narrow, wide = (make_net(str(n), (11,), 5, activation='sigmoid')
                  for n in (7, 10))
  padded = pad_params(_draw(narrow), param_shapes(wide))
  x = jnp.ones((2, 11))
  gradient = jax.grad(lambda p: wide.apply(p, x).sum())(padded)
  assert gradient['output']['kernel'][:, 7:].all()


def test_round_trip_and_zeros():
  small = {'a': jnp.ones((2, 3)), 'b': [jnp.ones(4)]}
  shapes = {'a': jax.ShapeDtypeStruct((5, 3), jnp.float32),
            'b': [jax.ShapeDtypeStruct((6,), jnp.float32)]}
  wide = pad_params(small, shapes)
  assert jax.tree.map(jnp.shape, wide) == {'a': (5, 3), 'b': [(6,)]}
  assert wide['a'][:2].all()
  assert not wide['a'][2:].any()
  back = unpad_params(wide, small)
  assert jax.tree.map(jnp.shape, back) == {'a': (2, 3), 'b': [(4,)]}
  assert back['b'][0].all()


def test_unit_mask():
  np.testing.assert_array_equal(unit_mask(2, 4), [1, 1, 0, 0])
  np.testing.assert_array_equal(unit_mask(4, 4), [1, 1, 1, 1])


@pytest.mark.parametrize(('call', 'message'), [
    (lambda: unit_mask(0, 4), 'width must be in 1…4, got 0'),
    (lambda: unit_mask(5, 4), 'width must be in 1…4, got 5'),
    (lambda: pad_params({'a': jnp.ones(3)}, {'a': jnp.ones(2)}),
     "['a']: (3,) does not fit into (2,)"),
    (lambda: unpad_params({'a': jnp.ones(2)}, {'a': jnp.ones(3)}),
     "['a']: (3,) does not fit into (2,)"),
    (lambda: pad_params({'a': jnp.ones(3)}, {'a': jnp.ones((3, 1))}),
     "['a']: (3,) does not fit into (3, 1)"),
])
def test_refuses(call, message):
  with pytest.raises(ValueError, match=r'must be|fit') as error:
    call()
  assert str(error.value) == message
