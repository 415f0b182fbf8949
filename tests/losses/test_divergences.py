"""Decoupled and standardised divergences: by hand, their laws and limits."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from shallow_mimic import losses


def _random(shape=(6, 5), scale=2.0):
  rng = np.random.default_rng(3)
  g, z = rng.normal(0, scale, (2, *shape)).astype(np.float32)
  return g, z, rng.integers(0, shape[-1], shape[:-1])


def _gradient(loss, g, *rest):
  return jax.jit(jax.grad(lambda g: loss(g, *rest).sum()))(jnp.asarray(g))


def _says(message):
  return pytest.raises(ValueError, match=f'^{re.escape(message)}$')


# Decoupled ------------------------------------------------------------------


def test_decoupled_by_hand():
  g, z = np.log([0.5, 0.25, 0.25]), np.log([0.6, 0.3, 0.1])
  # Of class 0: .6 ln(.6 / .5) + .4 ln(.4 / .5) = .109393 − .089257; of the
  # others (.75, .25) and (.5, .5): .75 ln 1.5 + .25 ln .5 = .304099 − .173287.
  tckd, nckd = 0.0201355, 0.1308120
  got = losses.decoupled_kl(g, z, 0, alpha=2.0, beta=3.0)
  np.testing.assert_allclose(got, 2 * tckd + 3 * nckd, rtol=1e-5)
  np.testing.assert_allclose(losses.decoupled_kl(g, z, 0), tckd + 8 * nckd,
                             rtol=1e-5)


@pytest.mark.parametrize('t', [1.0, 4.0])
def test_kl_is_tckd_plus_nckd_by_what_the_teacher_leaves(t):
  # Zhao et al., eq. 6.
  g, z, y = _random()
  p_t = special.softmax(z / t, -1)[np.arange(6), y]
  whole = losses.distillation_kl(g, z, temperature=t)

  def loss(g, z, y, beta):
    return losses.decoupled_kl(
        g, z, y, alpha=1.0, beta=beta, temperature=t)

  np.testing.assert_allclose(jax.vmap(loss)(g, z, y, 1 - p_t), whole,
                             rtol=1e-5)
  # At β = 1 it is larger by p_t · NCKD.
  nckd = losses.decoupled_kl(g, z, y, alpha=0.0, beta=1.0, temperature=t)
  np.testing.assert_allclose(loss(g, z, y, 1.0) - whole, p_t * nckd,
                             rtol=1e-4, atol=1e-6)


def test_without_alpha_only_the_other_classes_count():
  g, z, y = _random()
  loss = functools.partial(losses.decoupled_kl, alpha=0.0, beta=1.0)
  others = np.arange(5) != y[:, None]
  np.testing.assert_allclose(
      loss(g, z, y), losses.distillation_kl(g, z, where=others), rtol=1e-5)
  own = np.asarray(_gradient(loss, g, z, y))[~others]
  np.testing.assert_array_equal(own, np.zeros(6))
  # T → ∞: squares of the other logits, centred among themselves.
  np.testing.assert_allclose(
      loss(g, z, y, temperature=100.0),
      losses.centred_logit_regression(g, z, where=others) / 4,
      rtol=0.05, atol=3e-3)


def test_without_beta_only_the_probability_of_the_label_counts():
  g, z, y = _random()
  loss = functools.partial(losses.decoupled_kl, alpha=1.0, beta=0.0)
  p, q = (special.softmax(side, -1)[np.arange(6), y] for side in (z, g))
  want = special.rel_entr(p, q) + special.rel_entr(1 - p, 1 - q)
  np.testing.assert_allclose(loss(g, z, y), want, rtol=1e-4, atol=1e-6)
  none = losses.decoupled_kl(g, z, y, alpha=0.0, beta=0.0)
  np.testing.assert_array_equal(none, np.zeros(6))


def test_of_two_classes_there_is_nothing_but_tckd():
  g, z, y = _random((6, 2))
  np.testing.assert_allclose(
      losses.decoupled_kl(g, z, y, alpha=0.5, temperature=2.0),
      0.5 * losses.distillation_kl(g, z, temperature=2.0), rtol=1e-5)


def test_a_term_without_weight_may_be_infinite():
  # 6e38 apart: the student gives class 1 the probability 0, the teacher 1.
  g, z = jnp.array([3e38, -3e38, 0.0]), jnp.array([-3e38, 3e38, 0.0])
  assert losses.decoupled_kl(g, z, 1, alpha=1.0) == np.inf
  # Of 0 and 2 alone: the teacher is sure of 2, the student of 0, by 3e38.
  np.testing.assert_allclose(
      losses.decoupled_kl(g, z, 1, alpha=0.0, beta=0.5), 1.5e38, rtol=1e-6)
  gradient = jax.grad(losses.decoupled_kl)(g, z, 1)
  # TCKD −1 at the label, +1 where the rest is; NCKD 8 times ±1.
  np.testing.assert_allclose(gradient, [1.0 + 8, -1.0, -8.0], rtol=1e-6)


def test_without_a_label_the_teacher_decides():
  g, z, y = _random()
  z[2] = [1, 4, 4, 0, 4]  # the first of equals
  none, guess = np.full(6, -1), z.argmax(-1)
  assert guess[2] == 1
  want = losses.decoupled_kl(g, z, guess)
  np.testing.assert_array_equal(losses.decoupled_kl(g, z, none), want)
  some = np.where(np.arange(6) < 3, y, -1)
  got = losses.decoupled_kl(g, z, some.astype(np.int8))
  np.testing.assert_allclose(got[:3], losses.decoupled_kl(g, z, y)[:3],
                             rtol=1e-6)
  np.testing.assert_allclose(got[3:], want[3:], rtol=1e-6)
  # Of the kept.
  kept = np.arange(5) != guess[:, None]
  second = np.where(kept, z, -np.inf).argmax(-1)
  np.testing.assert_array_equal(
      losses.decoupled_kl(g, z, none, where=kept),
      losses.decoupled_kl(g, z, second, where=kept))


@pytest.mark.parametrize('label', [-2, 5, 1000])
def test_any_other_label_is_seen_as_nan_but_stays_there(label):
  g, z, y = _random()
  want = losses.decoupled_kl(g, z, y)
  y[2] = label
  got = losses.decoupled_kl(g, z, y)
  assert np.isnan(got[2])
  others = np.arange(6) != 2
  np.testing.assert_array_equal(got[others], want[others])
  gradient = _gradient(
      lambda g: jnp.where(others, losses.decoupled_kl(g, z, y), 0), g)
  assert np.isfinite(gradient).all()


def test_a_dropped_label_leaves_the_rest():
  g, z, y = _random()
  kept = np.arange(5) != y[:, None]

  def loss(g):
    return losses.decoupled_kl(g, z, y, beta=3.0, where=kept)

  np.testing.assert_allclose(
      loss(g), 3 * losses.distillation_kl(g, z, where=kept), rtol=1e-5)
  assert np.isfinite(_gradient(loss, g)).all()


def test_unsigned_labels():
  g, z, y = _random()
  np.testing.assert_array_equal(losses.decoupled_kl(g, z, y.astype(np.uint8)),
                                losses.decoupled_kl(g, z, y))


# Standardised ---------------------------------------------------------------


def test_standardised_by_hand():
  # (1, 2, 3) has mean 2 and variance 2/3, dividing by C; (0, 0, 3) mean 1
  # and variance 2.
  z_scores = np.array([-1, 0, 1]) * np.sqrt(1.5)
  other = np.array([-1, -1, 2]) / np.sqrt(2)
  p, q = special.softmax(other / 2), special.softmax(z_scores / 2)
  got = losses.standardised_kl([1.0, 2, 3], jnp.array([0.0, 0, 3]),
                               temperature=2.0)
  np.testing.assert_allclose(got, 4 * np.sum(special.rel_entr(p, q)),
                             rtol=1e-5)


@pytest.mark.parametrize('scale', [1e-3, 0.5, 30.0, 1e20])
def test_neither_scale_nor_offset_matters(scale):
  g, z, _ = _random()
  want = losses.standardised_kl(g, z)
  for pair in ((g * scale + scale, z), (g, z * scale - scale)):
    np.testing.assert_allclose(losses.standardised_kl(*pair), want, rtol=5e-4)
  # So the gradient is at right angles to the logits.
  gradient = _gradient(losses.standardised_kl, g, z)
  np.testing.assert_allclose(np.sum(gradient * g, -1), np.zeros(6), atol=1e-5)


def test_hot_standardised_kl_tends_to_pearson():
  # ½ of the mean squared difference of z-scores, which is 1 − ρ.
  g, z, _ = _random()
  want = [1 - np.corrcoef(a, b)[0, 1] for a, b in zip(g, z, strict=True)]
  np.testing.assert_allclose(losses.standardised_kl(g, z, temperature=50.0),
                             want, rtol=0.05, atol=2e-3)


@pytest.mark.parametrize('value', [0.0, 0.1, -3e4, 1e30, 3e38])
def test_logits_that_do_not_vary_are_a_uniform_student(value):
  _, z, _ = _random()
  g = np.full_like(z, value)
  wide = z.astype(np.float64)
  p = special.softmax((wide - wide.mean(-1, keepdims=True))
                      / wide.std(-1, keepdims=True), -1)
  np.testing.assert_allclose(losses.standardised_kl(g, z),
                             np.sum(special.rel_entr(p, 0.2), -1), rtol=1e-5)
  gradient = _gradient(losses.standardised_kl, g, z)
  assert np.isfinite(gradient).all()
  assert np.abs(gradient).max() <= 1e7


@pytest.mark.parametrize('size', [1e-45, 1e-38, 1e-31, 1e-29, 1e-8, 1e-6])
def test_logits_that_hardly_vary(size):
  g, z, _ = _random()
  gradient = _gradient(losses.standardised_kl, g * np.float32(size), z)
  assert np.isfinite(gradient).all()
  assert np.abs(gradient).max() <= 2e7


# Faults ---------------------------------------------------------------------


@pytest.mark.parametrize('weight', [-0.1, np.inf, np.nan])
@pytest.mark.parametrize('name', ['alpha', 'beta'])
def test_weights_out_of_range(name, weight):
  with _says(f'{name} must be finite and not negative, got {weight}'):
    losses.decoupled_kl(np.zeros(3), np.zeros(3), 0, **{name: weight})


@pytest.mark.parametrize('temperature', [0.0, -1.0, np.inf, np.nan])
def test_temperature_out_of_range(temperature):
  for loss in (losses.standardised_kl,
               functools.partial(losses.decoupled_kl, labels=0)):
    with _says(f'temperature must be positive and finite, got {temperature}'):
      loss(np.zeros(3), np.zeros(3), temperature=temperature)


def test_labels_that_do_not_fit():
  with _says('labels must be integers, one per example, got float32 (2,) for'
             ' logits (2, 3) with classes on axis 1'):
    losses.decoupled_kl(np.zeros((2, 3)), np.zeros((2, 3)),
                        np.zeros(2, np.float32))
