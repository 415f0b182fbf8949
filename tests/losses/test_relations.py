"""Pearson distances: against `corrcoef`, over classes and over the batch."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from shallow_mimic import losses

inter_only = functools.partial(losses.pearson_distance, gamma=0.0)
intra_only = functools.partial(losses.pearson_distance, beta=0.0)


def _random(shape=(6, 5)):
  return np.random.default_rng(4).normal(0, 2, (2, *shape)).astype(np.float32)


def _distances(g, z):
  """1 − ρ of each pair of rows, in float64."""
  return np.array([1 - np.corrcoef(a, b)[0, 1]
                   for a, b in zip(g, z, strict=True)])


def _gradient(loss, g, z):
  return jax.jit(jax.grad(lambda g: loss(g, z).sum()))(jnp.asarray(g))


def test_by_hand():
  # Rows (.6, .4), (.2, .8) against (.7, .3), (.4, .6): every pair of numbers
  # goes the same way, ρ = 1; against (.4, .6), (.7, .3) the other way, 1 − ρ
  # is 2, in rows and columns.
  z = np.log([[0.6, 0.4], [0.2, 0.8]])
  same, other = np.log([[0.7, 0.3], [0.4, 0.6]]), np.log([[0.4, 0.6],
                                                          [0.7, 0.3]])
  np.testing.assert_allclose(losses.pearson_distance(same, z), [0, 0],
                             atol=1e-6)
  np.testing.assert_allclose(
      losses.pearson_distance(other, z, beta=3.0, gamma=0.5), [7, 7],
      rtol=1e-5)


@pytest.mark.parametrize('t', [0.5, 1.0, 4.0])
def test_both_relations_against_corrcoef(t):
  g, z = _random()
  q, p = (special.softmax(side.astype(np.float64) / t, -1) for side in (g, z))
  inter, intra = t * t * _distances(q, p), t * t * _distances(q.T, p.T)
  np.testing.assert_allclose(inter_only(g, z, temperature=t), inter, rtol=1e-4,
                             atol=1e-5)
  got = intra_only(g, z, temperature=t)
  np.testing.assert_allclose(np.mean(got), np.mean(intra), rtol=1e-4)
  assert np.ptp(got) > 0.1  # each example has its own share
  both = losses.pearson_distance(g, z, beta=2.0, gamma=3.0, temperature=t)
  np.testing.assert_allclose(np.mean(both),
                             2 * inter.mean() + 3 * intra.mean(), rtol=1e-4)


def test_an_example_sees_its_batch_through_intra_alone():
  g, z = _random()
  alone = jax.vmap(inter_only)(g, z)
  np.testing.assert_allclose(inter_only(g, z), alone, rtol=1e-5)
  np.testing.assert_array_equal(jax.vmap(intra_only)(g, z), np.zeros(6))
  order = np.array([3, 1, 5, 0, 2, 4])
  np.testing.assert_allclose(intra_only(g[order], z[order]),
                             intra_only(g, z)[order], rtol=1e-5)


def test_all_axes_but_the_classes_are_one_batch():
  g, z = _random()
  want = intra_only(g, z).reshape(2, 3)
  deep = (side.reshape(2, 3, 5) for side in (g, z))
  np.testing.assert_allclose(intra_only(*deep), want, rtol=1e-5)


def test_examples_without_classes_are_not_of_the_batch():
  g, z = _random()
  kept = np.array([[True], [False], [True], [True], [False], [True]])
  got = np.asarray(losses.pearson_distance(g, z, where=kept))
  np.testing.assert_array_equal(got[[1, 4]], [0, 0])
  rows = kept[:, 0]
  np.testing.assert_allclose(
      got[rows], losses.pearson_distance(g[rows], z[rows]), rtol=1e-5)
  none = losses.pearson_distance(g, z, where=np.zeros((1, 1), bool))
  np.testing.assert_array_equal(none, np.zeros(6))


def test_classes_kept_by_some_examples_only():
  # A class's ρ is of the examples that keep it; shares average to the mean.
  g, z = _random()
  kept = np.random.default_rng(0).random((6, 5)) < 0.7
  kept[:, 2], kept[0] = False, False
  q, p = (np.where(kept, np.exp(side), 0) for side in (g, z))
  q, p = (side / np.maximum(side.sum(-1, keepdims=True), 1e-9)
          for side in (q, p))
  intra = [1 - np.corrcoef(q[rows, c], p[rows, c])[0, 1]
           for c, rows in enumerate(kept.T) if rows.any()]
  got = intra_only(g, z, where=kept)
  assert (kept.sum(0)[[0, 1, 3, 4]] > 2).all()
  np.testing.assert_allclose(np.sum(got) / kept.any(-1).sum(), np.mean(intra),
                             rtol=1e-4)


def test_a_rare_class_counts_as_much_as_a_common_one():
  g, z = _random()
  g[:, 1] -= 30  # probabilities of some 1e-13
  z[:, 1] -= 25
  q, p = (special.softmax(side.astype(np.float64), -1) for side in (g, z))
  np.testing.assert_allclose(np.mean(intra_only(g, z)),
                             _distances(q.T, p.T).mean(), rtol=1e-4)
  # The gradient is for logits, so it does not fade or explode.
  gradient = np.abs(_gradient(intra_only, g, z)).max(0)
  assert 0.01 < gradient[1] / gradient.max() <= 1


@pytest.mark.parametrize('value', [0.0, 5.0, -1e30])
def test_students_that_do_not_vary(value):
  _, z = _random()
  g = np.full_like(z, value)
  # Half of the mean squared z-score of the teacher, 1.
  np.testing.assert_allclose(inter_only(g, z), np.full(6, 0.5), rtol=1e-5)
  np.testing.assert_allclose(np.mean(intra_only(g, z)), 0.5, rtol=1e-5)
  gradient = _gradient(losses.pearson_distance, g, z)
  assert np.isfinite(gradient).all()
  np.testing.assert_array_equal(losses.pearson_distance(g, g + 1), np.zeros(6))


def test_probabilities_that_vanish():
  g, z = _random()
  g[:, 0], z[:, 3] = -200, -80
  value = losses.pearson_distance(g, z)
  assert np.isfinite(value).all()
  assert np.isfinite(_gradient(losses.pearson_distance, g, z)).all()


@pytest.mark.parametrize('weight', [-0.1, np.inf, np.nan])
@pytest.mark.parametrize('name', ['beta', 'gamma'])
def test_weights_out_of_range(name, weight):
  message = f'{name} must be finite and not negative, got {weight}'
  with pytest.raises(ValueError, match=f'^{re.escape(message)}$'):
    losses.pearson_distance(np.zeros(3), np.zeros(3), **{name: weight})


@pytest.mark.parametrize('temperature', [0.0, np.nan])
def test_temperature_out_of_range(temperature):
  message = f'temperature must be positive and finite, got {temperature}'
  with pytest.raises(ValueError, match=f'^{re.escape(message)}$'):
    losses.pearson_distance(np.zeros(3), np.zeros(3), temperature=temperature)
