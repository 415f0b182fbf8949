"""Objectives by name against float64, and what each of them looks at."""

import dataclasses
import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr, softmax

import shallow_mimic
from shallow_mimic import errors, losses
from shallow_mimic.training import Constant, LossSpec, loss_checks, objectives
from shallow_mimic.training.loss_specs import say_loss
from shallow_mimic.training.objectives import Objective, make_objective

OURS = list(LossSpec.registry)
WEIGHTED = ('decoupled_kl', 'pearson_distance')
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
    (make_objective('distillation_kl', temperature=4.0), divergence(4)),
    (make_objective('standardised_kl', temperature=2.0),
     4 * kl(softmax(scores(Z) / 2, -1), softmax(scores(G) / 2, -1))),
    (Objective('decoupled_kl'), decoupled(1, 1, 8, LABELS)),
    (make_objective('decoupled_kl', temperature=4.0, weights=(0.5, 2.0)),
     decoupled(4, 0.5, 2, LABELS)),
    (Objective('pearson_distance'), pearson(1, 1, 1)),
    (make_objective('pearson_distance', temperature=4.0, weights=(0.5, 2.0)),
     pearson(4, 0.5, 2)),
    (make_objective('blended', temperature=2.0, alpha=0.7),
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
  assert {objective.name for objective, _ in CASES} == set(OURS)


@pytest.mark.parametrize('name', OURS)
def test_what_an_objective_needs_is_what_it_looks_at(name):
  without_teacher = loss_of(make_objective(name),
                            targets=np.full_like(Z, np.nan))
  without_labels = loss_of(make_objective(name), labels=np.full(9, -1))
  base = np.asarray(loss_of(make_objective(name)))
  def same(loss):
    return np.array_equal(loss, base)
  spec = LossSpec.registry[name]
  assert same(without_teacher) == (not spec.needs_teacher)
  assert np.isnan(without_labels).any() == spec.needs_labels
  assert same(without_labels) == (
      not (spec.needs_labels or spec.takes_labels))


def test_unlabelled_inputs_have_the_target_of_the_teacher():
  labels = np.where(np.arange(9) < 4, LABELS, -1)
  targets = np.where(np.arange(9) < 4, LABELS, Z.argmax(-1))
  np.testing.assert_allclose(
      loss_of(Objective('decoupled_kl'), labels=labels),
      decoupled(1, 1, 8, targets), rtol=1e-5)


@pytest.mark.parametrize('name', OURS)
def test_who_sees_normalised_logits(name):
  """The normaliser matters to those whose outputs it scales, no other."""
  objective = Objective(name)
  unit = losses.LogitNormalizer(jnp.zeros(5), jnp.ones(5))
  plain = loss_of(objective, normalizer=unit)
  assert objective.normalized == (not np.array_equal(plain,
                                                     loss_of(objective)))


@pytest.mark.parametrize('name', OURS)
def test_who_has_weights(name):
  base, weighted = (loss_of(make_objective(name, weights=weights))
                    for weights in ((), (3.0, 0.5)))
  assert (name in WEIGHTED) == (not np.array_equal(base, weighted))


def test_branches_of_a_switch():
  """Objectives are chosen by index in one program: all give one type."""
  names = OURS
  branches = [functools.partial(lambda name, _: loss_of(make_objective(name)),
                                name) for name in names]
  for index, name in enumerate(names):
    got = jax.jit(lambda i: jax.lax.switch(i, branches, 0))(index)
    np.testing.assert_allclose(got, loss_of(make_objective(name)), rtol=1e-6)


def test_unknown():
  with pytest.raises(errors.UserError) as error:
    objectives.make_objective_fn(Objective('mimic'))
  assert str(error.value) == (
      "unknown loss 'mimic'; known: cross_entropy, pseudo_label,"
      ' logit_regression, raw_logit_regression, centred_logit_regression,'
      ' probability_regression, distillation_kl, standardised_kl,'
      ' decoupled_kl, pearson_distance, blended')


@pytest.mark.parametrize('objective, expected', [
    (make_objective('cross_entropy', temperature=3.0, alpha=0.7), {}),
    (make_objective('logit_regression', temperature=3.0), {}),
    (make_objective('distillation_kl', temperature=3.0), {'temperature': 3.0}),
    (make_objective('blended', temperature=2.0, alpha=0.7),
     {'temperature': 2.0, 'alpha': 0.7}),
    (make_objective('decoupled_kl', temperature=4.0),
     {'temperature': 4.0, 'alpha': 1.0, 'beta': 8.0}),
    (Objective('decoupled_kl'),
     {'temperature': 1.0, 'alpha': 1.0, 'beta': 8.0}),
    (make_objective('pearson_distance', weights=(2, 0.5)),
     {'temperature': 1.0, 'beta': 2.0, 'gamma': 0.5})])
def test_constants_are_those_that_the_loss_looks_at(objective, expected):
  assert objectives.find_constants(objective) == expected


@pytest.mark.parametrize('name', OURS)
def test_a_constant_of_the_record_changes_the_loss_and_no_other(name):
  told = objectives.find_constants(Objective(name))
  def run(**changes):
    return np.asarray(objectives.make_objective_fn(
        make_objective(name, **changes))(
            jnp.asarray(G, jnp.float32),
            objectives.Batch(jnp.asarray(Z, jnp.float32), jnp.asarray(LABELS)),
            losses.LogitNormalizer(jnp.zeros(5), jnp.ones(5))))
  assert ('temperature' in told) == (run() != run(temperature=3.0)).any()
  assert (name == 'blended') == (run() != run(alpha=0.9)).any()


@pytest.mark.parametrize('name', ['decoupled_kl', 'pearson_distance',
                                  'distillation_kl', 'standardised_kl'])
def test_constants_that_are_not_set_are_the_losss_own(name):
  known = inspect.signature(getattr(losses, name)).parameters
  for key, one in LossSpec.registry[name].constants.items():
    assert known[key].default == one.default


# Registered ones -------------------------------------------------------------


def huber(student, teacher, labels, *, delta):
  del labels
  gap = jnp.abs(student - jax.lax.stop_gradient(teacher))
  return jnp.sum(jnp.where(gap < delta, gap ** 2 / 2,
                           delta * (gap - delta / 2)), -1)


HUBER = LossSpec(
    'huber', huber, version='3', words='Huber',
    constants={'delta': Constant(symbol='δ', above=0.0)})


def test_a_registered_loss_is_an_objective_like_ours():
  shallow_mimic.register(HUBER)
  objective = make_objective('huber', constants={'delta': 0.5})
  gap = np.abs(G - Z)
  np.testing.assert_allclose(
      loss_of(objective),
      np.where(gap < 0.5, gap ** 2 / 2, 0.5 * gap - 0.125).sum(-1), rtol=1e-5)
  assert objectives.find_constants(objective) == {'delta': 0.5}
  assert say_loss('huber', {'delta': 0.5}) == 'Huber, δ = 0.5'
  assert hash(objective) != hash(make_objective(
      'huber', constants={'delta': 0.6}))
  assert not objective.normalized


def test_what_is_registered_is_read_when_it_is_used():
  """Nothing of a loss is decided before it is there, or kept once it is not."""
  objective = Objective('huber', (('delta', 1.0),))
  assert objectives.find_registered(['blended']) == {}
  shallow_mimic.register(HUBER)
  assert objectives.find_registered(['huber', 'blended', 'huber']) == {
      'huber': '3'}
  shallow_mimic.register(
      dataclasses.replace(HUBER, normalized=True, version='4'))
  assert objective.normalized
  assert make_objective('huber', constants={'delta': 1}).version == '4'
  np.testing.assert_allclose(
      loss_of(objective), huber(G, (Z - MEAN) / STD, None, delta=1.0),
      rtol=1e-5)


def test_a_constant_without_a_default_must_be_stated():
  shallow_mimic.register(HUBER)
  with pytest.raises(errors.UserError) as error:
    make_objective('huber')
  assert str(error.value) == "the loss 'huber' needs its constant 'delta'"


def test_ours_cannot_be_replaced():
  with pytest.raises(errors.UserError) as error:
    shallow_mimic.register(dataclasses.replace(HUBER, name='blended'))
  assert str(error.value).startswith("cannot register the loss 'blended': that")


@pytest.mark.parametrize('constant, right, wrong, words', [
    (Constant(), (-1, 0.0), (np.nan, np.inf, '1', None, True),
     'finite'),
    (Constant(above=0.0), (1e-9, 3), (0, -1.0), 'finite and above 0'),
    (Constant(low=0.0), (0, 3), (-1e-9,), 'finite and at least 0'),
    (Constant(low=0.0, high=1.0), (0, 1), (-1e-9, 1.1), 'from 0 to 1'),
    (Constant(above=1.0, high=2.0), (2.0,), (1.0, 3.0),
     'finite and above 1 and at most 2')])
def test_what_a_constant_may_be(constant, right, wrong, words):
  assert all(map(constant.allows, right))
  assert not any(map(constant.allows, wrong))
  assert constant.range == words


@pytest.mark.parametrize('name', OURS)
def test_ours_keep_to_their_rows(name):
  loss_checks.check_loss(
      LossSpec.registry[name], objectives.find_constants(make_objective(name)))


def test_every_row_has_words_and_a_place_of_its_own():
  specs = LossSpec.registry.values()
  assert len({spec.words for spec in specs}) == len(OURS)
  assert sorted(spec.place for spec in specs) == list(range(len(OURS)))


def l2(student, teacher, labels):
  del labels
  return jnp.sum((student - jax.lax.stop_gradient(teacher)) ** 2, -1)


def on_labels(student, teacher, labels):
  return losses.hard_label_cross_entropy(student, labels)


def fails(student, teacher, labels):
  raise RuntimeError('no\nway')


def distance(student, teacher, labels):
  return jnp.sqrt(l2(student, teacher, labels))


def leaks(student, teacher, labels):
  return jnp.sum((student - teacher) ** 2, -1)


def overflows(student, teacher, labels):
  return jnp.exp(l2(student, teacher, labels))


def swapped(student, teacher, labels):
  return l2(teacher, student, labels)


SHAPES = ('for a batch of 4; it must give a float for each example, [4], and no'
          ' mean of them')
FAULTS = [
    (fails, {}, 'fails on logits [4, 3]: RuntimeError: no; it is called as'
     ' function(student, teacher, labels, **constants) within jax.jit'),
    (lambda g, z: g, {}, 'fails on logits [4, 3]: TypeError: '),
    (lambda g, z, y: float(g[0, 0]), {}, 'fails on logits [4, 3]: '),
    (lambda g, z, y: jnp.mean(l2(g, z, y)), {}, f'gives float32 [] {SHAPES}'),
    (lambda g, z, y: g - z, {}, f'gives float32 [4, 3] {SHAPES}'),
    (lambda g, z, y: jnp.argmax(g, -1), {}, f'gives int32 [4] {SHAPES}'),
    (overflows, {}, 'is not finite at finite logits'),
    (l2, {'needs_teacher': False},
     'looks at the teacher, but says needs_teacher=False'),
    (lambda g, z, y: on_labels(g, z, y) + 0 * z.sum(-1),
     {'needs_teacher': False, 'needs_labels': True},
     'looks at the teacher, but says needs_teacher=False'),
    (on_labels, {}, 'looks at labels, but says neither needs_labels=True nor'
     ' takes_labels=True'),
    (on_labels, {'takes_labels': True}, 'is not finite where inputs have no'
     ' label (-1); say needs_labels=True'),
    (distance, {}, 'has a gradient that is not finite at finite logits'),
    (swapped, {}, 'has a gradient of 0: no student learns from it'),
    (leaks, {}, 'lets a gradient into the teacher; wrap its logits in'
     ' jax.lax.stop_gradient'),
]


@pytest.mark.parametrize('function, changes, fault', FAULTS)
def test_a_loss_that_does_not_keep_to_its_row_is_refused(
    function, changes, fault):
  with pytest.raises(errors.UserError) as error:
    loss_checks.check_loss(LossSpec('mine', function, **changes), {})
  assert str(error.value).startswith(f"the loss 'mine' {fault}")
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('changes, message', [
    ({'constants': {'delta': 1.0}}, "the loss 'huber' has the constant 'delta':"
     ' 1.0; it must be a keyword and a training.Constant'),
    ({'constants': {'a b': Constant()}}, "the loss 'huber' has the constant"
     " 'a b': "),
    ({'normalized': True, 'needs_teacher': False}, "the loss 'huber' says"
     ' normalized=True and needs_teacher=False; it is the logits of a teacher'
     ' that the normaliser scales'),
    ({'place': '#ff0000'}, "the loss 'huber' has place '#ff0000'; it must be a"
     ' whole number or None')])
def test_a_row_that_is_none(changes, message):
  with pytest.raises(errors.UserError) as error:
    dataclasses.replace(HUBER, **changes)
  assert str(error.value).startswith(message)


@pytest.mark.parametrize('function, changes', [
    (l2, {}), (l2, {'needs_labels': True}),
    (on_labels, {'needs_teacher': False, 'needs_labels': True})])
def test_a_loss_that_keeps_to_its_row_is_taken(function, changes):
  loss_checks.check_loss(LossSpec('mine', function, **changes), {})
