"""Objectives by name against float64, and what each of them looks at."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from shallow_mimic import errors, losses, objectives
from shallow_mimic.family import Objective

RNG = np.random.default_rng(0)
G, Z = RNG.normal(size=(2, 9, 5)) * 2
LABELS = RNG.integers(0, 5, 9)
MEAN, STD = RNG.normal(size=5), RNG.uniform(0.5, 2, size=5)


def cross_entropy(labels):
  return -log_softmax(G, -1)[np.arange(9), labels]


def divergence(t):
  p = softmax(Z / t, -1)
  return t * t * np.sum(p * (np.log(p) - log_softmax(G / t, -1)), -1)


CASES = [
    (Objective('cross_entropy'), cross_entropy(LABELS)),
    (Objective('pseudo_label'), cross_entropy(Z.argmax(-1))),
    (Objective('logit_regression'),
     0.5 * np.sum((G - (Z - MEAN) / STD) ** 2, -1)),
    (Objective('probability_regression'),
     0.5 * np.sum((softmax(G, -1) - softmax(Z, -1)) ** 2, -1)),
    (Objective('distillation_kl'), divergence(1)),
    (Objective('distillation_kl', temperature=4.0), divergence(4)),
    (Objective('blended', temperature=2.0, alpha=0.7),
     0.7 * divergence(2) + 0.3 * cross_entropy(LABELS)),
]


def loss_of(objective, targets=Z, labels=LABELS):
  return objectives.make_objective_fn(objective)(
      jnp.float32(G), objectives.Batch(jnp.float32(targets),
                                       jnp.int32(labels)),
      losses.LogitNormalizer(jnp.float32(MEAN), jnp.float32(STD)))


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
  same = lambda loss: np.array_equal(loss, base)
  assert same(without_teacher) == (name not in objectives.NEEDS_TEACHER)
  assert same(without_labels) == (name not in objectives.NEEDS_LABELS)


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
      ' logit_regression, probability_regression, distillation_kl, blended')
