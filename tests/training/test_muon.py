"""Muon's directions: orthogonal, blind to padding, and Optax's own values."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from shallow_mimic.training import optimizers

SHAPES = [(7, 3), (3, 7), (5, 5), (1, 4), (64, 20)]


def draw(shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('shape', SHAPES)
def test_singular_values_become_about_one(shape):
  matrix = draw(shape)
  got = np.asarray(optimizers.orthogonalise(jnp.asarray(matrix)), np.float64)
  values = np.linalg.svd(got, compute_uv=False)
  assert values.min() > 0.6 and values.max() < 1.25
  left, _, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
  # The same singular vectors: Uᵀ got V is diagonal.
  inside = left.T @ got @ right.T
  np.testing.assert_allclose(inside, np.diag(np.diag(inside)), atol=1e-4)


@pytest.mark.parametrize('shape', SHAPES)
def test_the_iteration_is_the_polynomial_on_singular_values(shape):
  matrix = draw(shape, seed=1).astype(np.float64)
  left, values, right = np.linalg.svd(matrix, full_matrices=False)
  values /= np.linalg.norm(values)
  for _ in range(5):
    values = 3.4445 * values - 4.775 * values**3 + 2.0315 * values**5
  np.testing.assert_allclose(
      optimizers.orthogonalise(jnp.asarray(matrix, jnp.float32)),
      (left * values) @ right, atol=2e-5)


@pytest.mark.parametrize('shape', SHAPES)
def test_padding_changes_nothing_and_stays_zero(shape):
  params = {'hidden_0': {'kernel': draw(shape), 'bias': draw(shape[:1])}}
  gradient = jax.tree.map(lambda p: draw(p.shape, seed=2), params)

  def pad(tree):
    return jax.tree.map(
        lambda leaf: np.pad(leaf, [(0, 9)] + [(0, 2)] * (leaf.ndim - 1)), tree)

  transform = optimizers.scale_by_muon(0.9)
  alone, _ = transform.update(gradient, transform.init(params))
  padded, _ = transform.update(pad(gradient), transform.init(pad(params)))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
               pad(jax.device_get(alone)), jax.device_get(padded))


def test_entries_have_a_root_mean_square_of_about_a_fifth():
  params = {'hidden_0': draw((300, 40))}
  transform = optimizers.scale_by_muon(0.9)
  got, _ = transform.update(params, transform.init(params))
  assert 0.15 < np.sqrt(np.mean(np.square(got['hidden_0']))) < 0.24


def test_filters_are_matrices_and_the_output_and_biases_have_adam():
  params = {
      'convolution_0': {'kernel': draw((3, 3, 2, 5)), 'bias': draw((5,))},
      'output': {'kernel': draw((4, 6)), 'bias': draw((4,))}}
  transform, adam = optimizers.scale_by_muon(0.8), optax.scale_by_adam()
  state, adam_state = transform.init(params), adam.init(params)
  velocity = 0
  for step in range(3):
    gradient = jax.tree.map(
        lambda p, step=step: draw(p.shape, seed=step), params)
    got, state = transform.update(gradient, state)
    want, adam_state = adam.update(gradient, adam_state)
    raw = gradient['convolution_0']['kernel']
    velocity = raw + 0.8 * velocity
    matrix = (raw + 0.8 * velocity).reshape(18, 5)
    want['convolution_0']['kernel'] = (
        0.2 * np.sqrt(18) * optimizers.orthogonalise(matrix)).reshape(raw.shape)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
                 got, want)


def test_no_gradient_gives_no_direction():
  params = {'hidden_0': draw((6, 3))}
  transform = optimizers.scale_by_muon(0.9)
  got, _ = transform.update({'hidden_0': jnp.zeros((6, 3))},
                            transform.init(params))
  np.testing.assert_array_equal(got['hidden_0'], 0)
