"""Objectives by name against float64, and what each of them looks at."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr, softmax

from shallow_mimic import errors, losses
from shallow_mimic.training import objectives
from shallow_mimic.training.objectives import Objective

RNG = np.random.default_rng(0)
G, Z = RNG.normal(size=(2, 9, 5)) * 2
LABELS = RNG.integers(0, 5, 9)
MEAN, STD = RNG.normal(size=5), RNG.uniform(0.5, 2, size=5)


def cross_entropy(labels):
  return -log_softmax(G, -1)[np.arange(9), labels]


def divergence(t):
  p = softmax(Z / t, -1)
  return t * t * np.sum(p * (np.log(p) - log_softmax(G / t, -1)), -1)


def scores(x, axis=-1):
  return (x - x.mean(axis, keepdims=True)) / x.std(axis, keepdims=True)


def kl(p, q):
  return np.sum(rel_entr(p, q), -1)


def decoupled(t, alpha, beta, targets):
  loss = []
  for p, q, target in zip(softmax(Z / t, -1), softmax(G / t, -1), targets,
                          strict=True):
    two = [np.array([x[target], 1 - x[target]]) for x in (p, q)]
    rest = [np.delete(x, target) / (1 - x[target]) for x in (p, q)]
    loss.append(t * t * (alpha * kl(*two) + beta * kl(*rest)))
  return np.array(loss)


def pearson(t, beta, gamma):
  q, p = softmax(G / t, -1), softmax(Z / t, -1)
  gaps = [np.mean((scores(q, axis) - scores(p, axis)) ** 2, -1) / 2
          for axis in (-1, 0)]
  return t * t * (beta * gaps[0] + gamma * gaps[1])


CASES = [
    (Objective('cross_entropy'), cross_entropy(LABELS)),
    (Objective('pseudo_label'), cross_entropy(Z.argmax(-1))),
    (Objective('logit_regression'),
     0.5 * np.sum((G - (Z - MEAN) / STD) ** 2, -1)),
    (Objective('raw_logit_regression'), 0.5 * np.sum((G - Z) ** 2, -1)),
    (Objective('centred_logit_regression'), 2.5 * np.var(G - Z, -1)),
    (Objective('probability_regression'),
     0.5 * np.sum((softmax(G, -1) - softmax(Z, -1)) ** 2, -1)),
    (Objective('distillation_kl'), divergence(1)),
    (Objective('distillation_kl', temperature=4.0), divergence(4)),
    (Objective('standardised_kl', temperature=2.0),
     4 * kl(softmax(scores(Z) / 2, -1), softmax(scores(G) / 2, -1))),
    (Objective('decoupled_kl'), decoupled(1, 1, 8, LABELS)),
    (Objective('decoupled_kl', temperature=4.0, weights=(0.5, 2.0)),
     decoupled(4, 0.5, 2, LABELS)),
    (Objective('pearson_distance'), pearson(1, 1, 1)),
    (Objective('pearson_distance', temperature=4.0, weights=(0.5, 2.0)),
     pearson(4, 0.5, 2)),
    (Objective('blended', temperature=2.0, alpha=0.7),
     0.7 * divergence(2) + 0.3 * cross_entropy(LABELS)),
]


NORMALIZER = losses.LogitNormalizer(jnp.float32(MEAN), jnp.float32(STD))


def loss_of(objective, targets=Z, labels=LABELS, normalizer=NORMALIZER):
  return objectives.make_objective_fn(objective)(
      jnp.float32(G), objectives.Batch(jnp.float32(targets),
                                       jnp.int32(labels)), normalizer)


@pytest.mark.parametrize(('objective', 'want'), CASES)
def test_against_float64(objective, want):
  got = loss_of(objective)
  assert got.dtype == jnp.float32
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_all_are_covered():
  assert {objective.name for objective, _ in CASES} == set(objectives.LOSSES)


@pytest.mark.parametrize('name', objectives.LOSSES)
def test_what_an_objective_needs_is_what_it_looks_at(name):
  without_teacher = loss_of(Objective(name), targets=np.full_like(Z, np.nan))
  without_labels = loss_of(Objective(name), labels=np.full(9, -1))
  base = np.asarray(loss_of(Objective(name)))

  def same(loss):
    return np.array_equal(loss, base)

  assert same(without_teacher) == (name not in objectives.NEEDS_TEACHER)
  assert np.isnan(without_labels).any() == (name in objectives.NEEDS_LABELS)
  assert same(without_labels) == (
      name not in objectives.NEEDS_LABELS | {'decoupled_kl'})


def test_unlabelled_inputs_have_the_target_of_the_teacher():
  labels = np.where(np.arange(9) < 4, LABELS, -1)
  targets = np.where(np.arange(9) < 4, LABELS, Z.argmax(-1))
  np.testing.assert_allclose(
      loss_of(Objective('decoupled_kl'), labels=labels),
      decoupled(1, 1, 8, targets), rtol=1e-5)


@pytest.mark.parametrize('name', objectives.LOSSES)
def test_who_sees_normalised_logits(name):
  """The normaliser matters to those whose outputs it scales, no other."""
  objective = Objective(name)
  unit = losses.LogitNormalizer(jnp.zeros(5), jnp.ones(5))
  plain = loss_of(objective, normalizer=unit)
  assert objective.normalized == (not np.array_equal(plain,
                                                     loss_of(objective)))


@pytest.mark.parametrize('name', objectives.LOSSES)
def test_who_has_weights(name):
  base, weighted = (loss_of(Objective(name, weights=weights))
                    for weights in ((), (3.0, 0.5)))
  assert (name in objectives.WEIGHTED) == (not np.array_equal(base, weighted))


def test_branches_of_a_switch():
  """Objectives are chosen by index in one program: all give one type."""
  names = list(objectives.LOSSES)
  branches = [lambda _, name=name: loss_of(Objective(name)) for name in names]
  for index, name in enumerate(names):
    got = jax.jit(lambda i: jax.lax.switch(i, branches, 0))(index)
    np.testing.assert_allclose(got, loss_of(Objective(name)), rtol=1e-6)


def test_unknown():
  with pytest.raises(errors.UserError) as error:
    objectives.make_objective_fn(Objective('mimic'))
  assert str(error.value) == (
      "unknown objective 'mimic'; known: cross_entropy, pseudo_label,"
      ' logit_regression, raw_logit_regression, centred_logit_regression,'
      ' probability_regression, distillation_kl, standardised_kl,'
      ' decoupled_kl, pearson_distance, blended')


@pytest.mark.parametrize('objective, expected', [
    (Objective('cross_entropy', 3.0, 0.7), {}),
    (Objective('logit_regression', 3.0), {}),
    (Objective('distillation_kl', 3.0), {'temperature': 3.0}),
    (Objective('blended', 2.0, 0.7), {'temperature': 2.0, 'alpha': 0.7}),
    (Objective('decoupled_kl', 4.0),
     {'temperature': 4.0, 'alpha': 1.0, 'beta': 8.0}),
    (Objective('pearson_distance', weights=(2, 0.5)),
     {'temperature': 1.0, 'beta': 2.0, 'gamma': 0.5})])
def test_constants_are_those_that_the_loss_looks_at(objective, expected):
  assert objectives.read_constants(objective) == expected


@pytest.mark.parametrize('name', objectives.LOSSES)
def test_a_constant_of_the_record_changes_the_loss_and_no_other(name):
  told = {**objectives.read_constants(Objective(name))}

  def run(**changes):
    return np.asarray(objectives.make_objective_fn(
        Objective(name, **changes))(
            jnp.asarray(G, jnp.float32),
            objectives.Batch(jnp.asarray(Z, jnp.float32), jnp.asarray(LABELS)),
            losses.LogitNormalizer(jnp.zeros(5), jnp.ones(5))))

  assert ('temperature' in told) == (run() != run(temperature=3.0)).any()
  assert (name == 'blended') == (run() != run(alpha=0.9)).any()


@pytest.mark.parametrize('name', objectives.WEIGHTED)
def test_weights_that_are_not_set_are_the_losss_own(name):
  known = inspect.signature(getattr(losses, name)).parameters
  for key, value in objectives.WEIGHTED[name].items():
    assert known[key].default == value
