"""Losses against hand-made numbers, float64 references and their own laws."""

import doctest
import functools
import importlib
import pkgutil
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from shallow_mimic import losses

T = 3.0
ALPHA = 0.3
DKD, DIST = (0.7, 2.0), (1.5, 0.6)


def _numpy_logit(g, z, y):
  return 0.5 * np.sum((g - z) ** 2, -1)


def _numpy_probability(g, z, y):
  gap = special.softmax(g, -1) - special.softmax(z, -1)
  return 0.5 * np.sum(gap**2, -1)


def _numpy_kl(g, z, y, t=T):
  p, q = special.softmax(z / t, -1), special.softmax(g / t, -1)
  return t**2 * np.sum(special.rel_entr(p, q), -1)


def _numpy_hard(g, z, y):
  log_q = special.log_softmax(g, -1)
  return -np.take_along_axis(log_q, y[..., None], -1)[..., 0]


def _numpy_pseudo(g, z, y):
  return _numpy_hard(g, z, np.argmax(z, -1))


def _numpy_blended(g, z, y):
  return ALPHA * _numpy_kl(g, z, y) + (1 - ALPHA) * _numpy_hard(g, z, y)


def _centred(x):
  return x - x.mean(-1, keepdims=True)


def _numpy_centred(g, z, y):
  return 0.5 * np.sum((_centred(g) - _centred(z)) ** 2, -1)


def _scores(x, axis=-1):
  """Z-scores, 0 where nothing varies."""
  if not x.size:
    return x
  x = x - x.mean(axis, keepdims=True)
  std = np.sqrt(np.mean(x**2, axis, keepdims=True))
  return x / np.where(std > 0, std, 1)


def _numpy_standardised(g, z, y):
  return _numpy_kl(_scores(g), _scores(z), y)


def _numpy_decoupled(g, z, y):
  """From the probabilities themselves, example by example."""
  out = np.zeros(y.shape)
  for place in np.ndindex(y.shape):
    p, q = (special.softmax(side[place] / T) for side in (z, g))
    own = np.arange(p.size) == y[place]
    two = [np.array([x[own].sum(), x[~own].sum()]) for x in (p, q)]
    rest = [x[~own] / x[~own].sum() for x in (p, q)]
    tckd, nckd = (np.sum(special.rel_entr(*pair)) for pair in (two, rest))
    out[place] = T**2 * (DKD[0] * tckd + DKD[1] * nckd)
  return out


def _numpy_pearson(g, z, y):
  """1 - ρ of each example; of each class, shared out by squared z-scores."""
  q, p = (special.softmax(side / T, -1) for side in (g, z))
  gaps = [0.5 * (_scores(q, axis) - _scores(p, axis)) ** 2
          for axis in (-1, tuple(range(g.ndim - 1)))]
  return T**2 * sum(w * gap.mean(-1)
                    for w, gap in zip(DIST, gaps, strict=True))


def _hard(g, z, y, **how):
  return losses.hard_label_cross_entropy(g, y, **how)


def _without_labels(loss):
  return lambda g, z, y, **how: loss(g, z, **how)


CASES = {
    'logit': (_without_labels(losses.logit_regression), _numpy_logit),
    'probability': (
        _without_labels(losses.probability_regression), _numpy_probability
    ),
    'kl': (
        _without_labels(
            functools.partial(losses.distillation_kl, temperature=T)
        ),
        _numpy_kl,
    ),
    'centred': (
        _without_labels(losses.centred_logit_regression), _numpy_centred
    ),
    'standardised': (
        _without_labels(
            functools.partial(losses.standardised_kl, temperature=T)
        ),
        _numpy_standardised,
    ),
    'decoupled': (
        functools.partial(losses.decoupled_kl, alpha=DKD[0], beta=DKD[1],
                          temperature=T),
        _numpy_decoupled,
    ),
    'pearson': (
        _without_labels(
            functools.partial(losses.pearson_distance, beta=DIST[0],
                              gamma=DIST[1], temperature=T)
        ),
        _numpy_pearson,
    ),
    'hard': (_hard, _numpy_hard),
    'pseudo': (
        _without_labels(losses.pseudo_label_cross_entropy), _numpy_pseudo
    ),
    'blended': (
        functools.partial(losses.blended, alpha=ALPHA, temperature=T),
        _numpy_blended,
    ),
}
every_loss = pytest.mark.parametrize(
    ('loss', 'reference'), CASES.values(), ids=CASES
)
WITH_TEACHER = [name for name in CASES if name != 'hard']
ALONE = {name: case for name, case in CASES.items() if name != 'pearson'}
every_loss_of_one_example = pytest.mark.parametrize(
    ('loss', 'reference'), ALONE.values(), ids=ALONE
)


# One shape wherever any will do: JAX compiles per shape.
def _random(shape=(6, 5), seed=0, scale=3.0):
  rng = np.random.default_rng(seed)
  g, z = rng.normal(0, scale, (2, *shape)).astype(np.float32)
  return g, z, rng.integers(0, shape[-1], shape[:-1])


# Compiled, because that is several times faster than op by op; that the two
# agree is tested below.
@functools.partial(jax.jit, static_argnames=('loss', 'axis'))
def _value(loss, g, z, y, *, axis=-1, where=None):
  return loss(g, z, y, axis=axis, where=where)


@functools.partial(jax.jit, static_argnames='loss')
def _gradient(loss, g, z, y, where=None):
  return jax.grad(lambda g: loss(g, z, y, where=where).sum())(jnp.asarray(g))


def test_docstring_examples():
  names = [info.name for info in pkgutil.iter_modules(losses.__path__)]
  tried = [doctest.testmod(importlib.import_module(f'{losses.__name__}.{name}'))
           for name in names]
  assert sum(result.attempted for result in tried) > 15
  assert not any(result.failed for result in tried)


# Each value worked out by hand, in the comment beside it.
def test_values_by_hand():
  g, z = jnp.log(jnp.array([[0.5, 0.5]])), jnp.log(jnp.array([[0.8, 0.2]]))
  y = jnp.array([1])
  # ½ ((ln .5 − ln .8)² + (ln .5 − ln .2)²) = ½ (.470004² + .916291²)
  np.testing.assert_allclose(losses.logit_regression(g, z), [0.5302463],
                             rtol=1e-6)
  # ½ (.3² + .3²)
  np.testing.assert_allclose(losses.probability_regression(g, z), [0.09],
                             rtol=1e-6)
  # .8 ln(.8 / .5) + .2 ln(.2 / .5) = .8 · .470004 − .2 · .916291
  kl = 0.1927448
  np.testing.assert_allclose(losses.distillation_kl(g, z), [kl], rtol=1e-6)
  # T = 2 takes square roots: p = (2, 1) / 3, q = (1, 1) / 2, so that
  # 4 (⅔ ln 4/3 + ⅓ ln 2/3) = 4 (.191788 − .135155)
  np.testing.assert_allclose(losses.distillation_kl(g, z, temperature=2.0),
                             [0.2265320], rtol=1e-5)
  # ln 2, whichever the label
  ce = 0.6931472
  np.testing.assert_allclose(losses.hard_label_cross_entropy(g, y), [ce],
                             rtol=1e-6)
  # the teacher decides for class 0, of probability .5; swapped: −ln .8
  np.testing.assert_allclose(losses.pseudo_label_cross_entropy(g, z), [ce],
                             rtol=1e-6)
  np.testing.assert_allclose(losses.pseudo_label_cross_entropy(z, g),
                             [0.2231436], rtol=1e-6)
  np.testing.assert_allclose(losses.blended(g, z, y, alpha=0.25),
                             [0.25 * kl + 0.75 * ce], rtol=1e-6)


def test_paper_example_of_a_shift():
  # Ba & Caruana: [10, 20, 30] and [-10, 0, 10] have equal probabilities, but
  # every logit differs by 20, and ½ · 3 · 400 = 600.
  g, z = jnp.array([10.0, 20.0, 30.0]), jnp.array([-10.0, 0.0, 10.0])
  assert losses.logit_regression(g, z) == 600
  assert losses.probability_regression(g, z) == 0
  assert losses.distillation_kl(g, z) == 0
  assert losses.distillation_kl(g, z, temperature=4.0) == 0


@every_loss
@pytest.mark.parametrize('shape', [(5,), (7, 5), (2, 3, 4), (0, 5), (3, 1)])
def test_equals_float64_reference(loss, reference, shape):
  g, z, y = _random(shape)
  got = _value(loss, g, z, y)
  assert got.shape == shape[:-1]
  assert got.dtype == jnp.float32
  want = reference(g.astype(np.float64), z.astype(np.float64), np.asarray(y))
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@every_loss
def test_gradient_equals_finite_differences_in_float64(loss, reference):
  g, z, y = _random()
  wide_g, wide_z, step = g.astype(np.float64), z.astype(np.float64), 1e-6
  want = np.zeros_like(wide_g)
  for place in np.ndindex(g.shape):
    move = np.zeros_like(wide_g)
    move[place] = step
    ahead, behind = (reference(wide_g + s * move, wide_z, y) for s in (1, -1))
    want[place] = np.sum(ahead - behind) / (2 * step)
  np.testing.assert_allclose(_gradient(loss, g, z, y), want, rtol=1e-4,
                             atol=1e-5)


@every_loss
def test_any_axis(loss, reference):
  g, z, y = _random((2, 3, 4))
  want = _value(loss, g, z, y)
  for axis in (0, -2):
    moved = (np.moveaxis(side, -1, axis) for side in (g, z))
    got = _value(loss, *moved, y, axis=axis)
    np.testing.assert_allclose(got, want, rtol=1e-5)


@every_loss_of_one_example
def test_jit_and_vmap_change_nothing(loss, reference):
  g, z, y = _random()
  want = loss(g, z, y)
  np.testing.assert_allclose(jax.jit(loss)(g, z, y), want, rtol=1e-5)
  np.testing.assert_allclose(jax.vmap(loss)(g, z, y), want, rtol=1e-5)
  kept = np.random.default_rng(1).random((6, 5)) < 0.7
  kept[np.arange(6), y] = True
  mapped = jax.jit(jax.vmap(lambda *a: loss(*a[:3], where=a[3])))
  np.testing.assert_allclose(mapped(g, z, y, kept),
                             loss(g, z, y, where=kept), rtol=1e-5)


@pytest.mark.parametrize('name', WITH_TEACHER)
def test_no_gradient_reaches_the_teacher(name):
  loss, (g, z, y) = CASES[name][0], _random()
  into_teacher = jax.jit(jax.grad(lambda z: loss(g, z, y).sum()))
  np.testing.assert_array_equal(into_teacher(z), np.zeros_like(z))
  # Nor where one array is on both sides.
  into_both = jax.jit(jax.grad(lambda g: loss(g, 2 * g, y).sum()))
  np.testing.assert_allclose(into_both(g), _gradient(loss, g, 2 * g, y),
                             rtol=1e-4, atol=1e-6)


@every_loss
@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.int32])
def test_narrow_input_is_computed_in_float32(loss, reference, dtype):
  g, z, y = _random()
  g, z = jnp.asarray(g, dtype), jnp.asarray(z, dtype)
  got = loss(g, z, y)
  assert got.dtype == jnp.float32
  want = loss(g.astype(jnp.float32), z.astype(jnp.float32), y)
  np.testing.assert_array_equal(got, want)
  if dtype != jnp.int32:
    assert _gradient(loss, g, z, y).dtype == dtype


@every_loss
def test_float64_input_is_computed_in_float32(loss, reference):
  g, z, y = _random()
  want = loss(g, z, y)
  with jax.enable_x64(True):
    g, z = g.astype(np.float64), z.astype(np.float64)
    got = loss(g, z, y.astype(np.int64))
    assert got.dtype == jnp.float32
    assert _gradient(loss, g, z, y).dtype == jnp.float64
  np.testing.assert_array_equal(got, want)


def test_float64_scalars_leave_float32():
  g, z, y = _random()
  with jax.enable_x64(True):
    scalars = {'alpha': np.float64(0.5), 'temperature': np.float64(2)}
    assert losses.blended(g, z, y, **scalars).dtype == jnp.float32


# Where ----------------------------------------------------------------------


@every_loss
def test_where_equals_dropping_the_classes(loss, reference):
  g, z, _ = _random()
  kept = np.array([[True, False, True, True, False]])
  y = np.array([0, 2, 3, 0, 2, 3])  # of the kept, these are 0, 1, 2, …
  want = _value(loss, g[:, kept[0]], z[:, kept[0]],
                np.array([0, 1, 2, 0, 1, 2]))
  got = _value(loss, g, z, y, where=kept)
  np.testing.assert_allclose(got, want, rtol=1e-5)
  full = np.broadcast_to(kept, g.shape)
  np.testing.assert_allclose(_value(loss, g, z, y, where=full), got, rtol=1e-6)
  everything = _value(loss, g, z, y, where=np.ones_like(full))
  np.testing.assert_allclose(everything, _value(loss, g, z, y), rtol=1e-6)


@every_loss
@pytest.mark.parametrize('junk', [np.nan, np.inf, -np.inf, 3e38, -3e38])
def test_what_is_dropped_may_hold_anything(loss, reference, junk):
  g, z, _ = _random()
  y, kept = np.zeros(6, int), np.broadcast_to(np.arange(5) < 3, (6, 5))
  want = _value(loss, g, z, y, where=kept)
  want_gradient = _gradient(loss, g, z, y, where=kept)
  g, z = np.where(kept, g, junk), np.where(kept, z, junk)
  np.testing.assert_array_equal(_value(loss, g, z, y, where=kept), want)
  gradient = _gradient(loss, g, z, y, where=kept)
  np.testing.assert_array_equal(gradient, want_gradient)
  np.testing.assert_array_equal(gradient[:, 3:], np.zeros((6, 2)))


@every_loss_of_one_example
def test_an_example_without_classes_has_loss_and_gradient_0(loss, reference):
  g, z, y = _random()
  kept = np.array([[True], [False]] * 3)
  got, gradient = (f(loss, g, z, y, where=kept) for f in (_value, _gradient))
  np.testing.assert_array_equal(got[1::2], np.zeros(3))
  np.testing.assert_array_equal(gradient[1::2], np.zeros((3, 5)))
  np.testing.assert_allclose(got[::2], _value(loss, g, z, y)[::2], rtol=1e-6)


def test_a_dropped_label_has_loss_inf_and_a_finite_gradient():
  # Its probability is 0, and −log 0 = ∞.
  g, z, _ = _random()
  kept, y = np.arange(5)[None] != 3, np.array([3, 0, 1, 0, 1, 2])
  got = losses.hard_label_cross_entropy(g, y, where=kept)
  assert got[0] == np.inf
  assert np.isfinite(got[1:]).all()
  assert np.isfinite(_gradient(_hard, g, z, y, where=kept)).all()


def test_pseudo_label_is_the_largest_of_the_kept_and_the_first_of_equals():
  z = jnp.array([[9.0, -1.0, -1.0, -3.0]])
  g = jnp.array([[0.0, 1.0, 2.0, 3.0]])
  kept = jnp.array([[False, True, True, True]])
  got = losses.pseudo_label_cross_entropy(g, z, where=kept)
  # −log softmax([1, 2, 3])[0] = ln(1 + e + e²)
  np.testing.assert_allclose(got, [2.4076060], rtol=1e-6)


# Equal logits ---------------------------------------------------------------


MATCHING = [name for name in CASES if name not in ('hard', 'pseudo', 'blended')]


@pytest.mark.parametrize('name', MATCHING)
def test_a_perfect_student_has_loss_and_gradient_0(name):
  loss, (g, _, y) = CASES[name][0], _random()
  g[1], g[2], g[3] = 0, 7.3, [1e30, 0, 1, -1e30, 2]  # two do not vary
  np.testing.assert_allclose(_value(loss, g, g, y), np.zeros(6), atol=1e-6)
  np.testing.assert_allclose(_gradient(loss, g, g, y), np.zeros((6, 5)),
                             atol=1e-5)


@pytest.mark.parametrize('name', [n for n in MATCHING if n != 'logit'])
def test_an_offset_of_each_example_changes_nothing(name):
  loss, (g, z, y) = CASES[name][0], _random()
  offsets = np.float32([[3], [-40], [0], [500], [-1], [8]])
  np.testing.assert_allclose(_value(loss, g + offsets, z - 2 * offsets, y),
                             _value(loss, g, z, y), rtol=3e-4, atol=1e-5)
  # So its gradient sums to 0 over the classes.
  np.testing.assert_allclose(_gradient(loss, g, z, y).sum(-1), np.zeros(6),
                             atol=1e-5)


@pytest.mark.parametrize('name', MATCHING)
def test_of_one_class_only_the_logit_itself_can_be_wrong(name):
  loss, (g, z, _) = CASES[name][0], _random((3, 1))
  y = np.zeros(3, int)
  if name == 'logit':
    np.testing.assert_allclose(_gradient(loss, g, z, y), g - z, rtol=1e-6)
    return
  np.testing.assert_array_equal(_value(loss, g, z, y), np.zeros(3))
  np.testing.assert_array_equal(_gradient(loss, g, z, y), np.zeros((3, 1)))


# Extremes -------------------------------------------------------------------

EXTREMES = [1e4, -1e4, 1e30, -1e30, 3e38]


@every_loss
@pytest.mark.parametrize('size', EXTREMES)
def test_no_nan_at_extreme_logits(loss, reference, size):
  g = np.array([[size, 0, 1], [0, size, -size], [size] * 3, [0, 0, 0],
                [-size, 0, 0], [1, 2, 3]], np.float32)
  g = np.pad(g, ((0, 0), (0, 2)))
  y = np.array([1, 2, 0, 1, 0, 2])
  for z in (g, -g, g[::-1], np.zeros_like(g)):
    value, gradient = (f(loss, g, z, y) for f in (_value, _gradient))
    assert not np.isnan(value).any()
    # g − z itself, the gradient of logit regression, may overflow to inf.
    assert not np.isnan(gradient).any()
    if loss is not CASES['logit'][0] or abs(size) < 1e38:
      assert np.isfinite(gradient).all()


@pytest.mark.parametrize('size', [1e4, 1e30])
def test_values_at_extreme_logits(size):
  g, z = jnp.array([size, 0.0]), jnp.array([0.0, size])
  # p = (0, 1), log q = (0, −size), so that KL = CE of label 1 = size.
  np.testing.assert_allclose(losses.distillation_kl(g, z), size, rtol=1e-6)
  np.testing.assert_allclose(losses.hard_label_cross_entropy(g, 1), size,
                             rtol=1e-6)
  assert losses.hard_label_cross_entropy(g, 0) == 0
  assert losses.probability_regression(g, z) == 1  # ½ (1² + 1²)
  np.testing.assert_array_equal(
      jax.grad(losses.distillation_kl)(g, z), [1.0, -1.0])  # q − p
  np.testing.assert_array_equal(
      jax.grad(losses.hard_label_cross_entropy)(g, 1), [1.0, -1.0])


@pytest.mark.parametrize('temperature', [1e-3, 0.1, 1.0, 100.0])
def test_no_nan_when_a_temperature_overflows_the_logits(temperature):
  g, z = jnp.array([3e38, 0.0, -3e38]), jnp.array([0.0, 3e38, 1.0])
  loss = functools.partial(losses.distillation_kl, temperature=temperature)
  assert not np.isnan(loss(g, z))
  np.testing.assert_allclose(  # T (q − p)
      jax.grad(loss)(g, z), temperature * np.array([1.0, -1.0, 0.0]), rtol=1e-6)


def test_a_common_offset_costs_no_precision():
  g, z, y = _random(scale=1.0)
  g, z = np.round(g * 64) / 64, np.round(z * 64) / 64  # exact after the shift
  for loss in (case[0] for name, case in CASES.items() if name != 'logit'):
    np.testing.assert_allclose(_value(loss, g + 65536, z - 65536, y),
                               _value(loss, g, z, y), rtol=1e-6)


# Temperature and alpha ------------------------------------------------------


def test_hot_kl_tends_to_matching_centred_logits():
  # Hinton et al., eq. 4: the gradient tends to (g − z) / C once T² is put
  # back, for logits that sum to 0 over the classes.
  g, z, y = _random()
  centred_g, centred_z = _centred(g), _centred(z)
  matching = losses.centred_logit_regression(g, z) / 5
  errors = []
  for t in (10.0, 30.0, 100.0):
    hot = _without_labels(
        functools.partial(losses.distillation_kl, temperature=t))
    # The next term of the series is of order 1 / T; rounding of 1e-7 T.
    np.testing.assert_allclose(hot(g, z, y), matching, rtol=8 / t, atol=3e-3)
    gradient = _gradient(hot, g, z, y)
    errors.append(np.abs(gradient - (centred_g - centred_z) / 5).max())
  assert errors[0] / errors[2] == pytest.approx(10, rel=0.3)
  # Without centring the two differ by the shift alone, whatever T is.
  raw = losses.logit_regression(g + 5.0, z) / 5
  assert (np.abs(raw - matching) > 1).any()
  np.testing.assert_allclose(
      losses.distillation_kl(g + 5.0, z, temperature=100.0), matching,
      rtol=0.1, atol=5e-3)


def test_rounding_at_a_high_temperature_is_as_documented():
  g, z, y = _random((1000, 8))
  for t in (10.0, 100.0, 1e4, 1e6):
    want = _numpy_kl(g.astype(np.float64), z.astype(np.float64), y, t)
    got = losses.distillation_kl(g, z, temperature=t)
    assert np.abs(got - want).max() < 5e-6 * t + 1e-5
    assert (got >= 0).all()


def test_ends_of_alpha_are_the_two_losses():
  g, z, y = _random()
  soft = losses.distillation_kl(g, z, temperature=T)
  hard = losses.hard_label_cross_entropy(g, y)
  how = {'temperature': T}
  np.testing.assert_allclose(losses.blended(g, z, y, alpha=1, **how), soft,
                             rtol=1e-6)
  np.testing.assert_allclose(losses.blended(g, z, y, alpha=0, **how), hard,
                             rtol=1e-6)
  # With no weight on labels none is needed; with some, one is.
  none = np.full(6, -1)
  np.testing.assert_allclose(losses.blended(g, z, none, alpha=1.0, **how),
                             soft, rtol=1e-6)
  assert np.isnan(losses.blended(g, z, none, alpha=0.5, **how)).all()
  wide = losses.blended(jnp.array([3e38, -3e38]), jnp.array([-3e38, 3e38]), 0,
                        alpha=0.0)
  assert wide == 0


def test_alpha_and_temperature_may_be_traced_one_per_student():
  g, z, y = _random()
  alphas, temperatures = jnp.array([0.0, 0.4, 1.0]), jnp.array([1.0, 2.0, 5.0])

  def loss(a, t):
    return losses.blended(g, z, y, alpha=a, temperature=t)

  got = jax.jit(jax.vmap(loss))(alphas, temperatures)
  want = [loss(a, t) for a, t in zip(alphas, temperatures, strict=True)]
  np.testing.assert_allclose(got, want, rtol=1e-5)


# Faults ---------------------------------------------------------------------


def _says(message):
  return pytest.raises(ValueError, match=f'^{re.escape(message)}$')


@pytest.mark.parametrize('name', WITH_TEACHER)
def test_shapes_that_differ(name):
  with _says('student_logits and teacher_logits must have one shape with axis'
             ' -1, got (2, 3) and (2, 4)'):
    CASES[name][0](np.zeros((2, 3)), np.zeros((2, 4)), np.zeros(2, int))


@pytest.mark.parametrize('name', WITH_TEACHER)
def test_shapes_that_would_broadcast(name):
  with _says('student_logits and teacher_logits must have one shape with axis'
             ' -1, got (2, 3) and (1, 3)'):
    CASES[name][0](np.zeros((2, 3)), np.zeros((1, 3)), np.zeros(2, int))


@every_loss
@pytest.mark.parametrize(
    ('shape', 'axis'), [((2, 3), 2), ((2, 3), -3), ((), -1)]
)
def test_axis_that_is_not_there(loss, reference, shape, axis):
  with _says('student_logits and teacher_logits must have one shape with axis'
             f' {axis}, got {shape} and {shape}'):
    loss(np.zeros(shape), np.zeros(shape), np.zeros(2, int), axis=axis)


@pytest.mark.parametrize('name', ['hard', 'blended'])
@pytest.mark.parametrize(
    ('labels', 'told'),
    [
        (np.zeros(3, np.int32), 'int32 (3,)'),
        (np.zeros((2, 1), np.int32), 'int32 (2, 1)'),
        (np.zeros((2, 3), np.int32), 'int32 (2, 3)'),
        (np.zeros(2, np.float32), 'float32 (2,)'),
        (np.zeros(2, bool), 'bool (2,)'),
    ],
)
def test_labels_that_do_not_fit(name, labels, told):
  with _says(f'labels must be integers, one per example, got {told} for logits'
             ' (2, 3) with classes on axis 1'):
    CASES[name][0](np.zeros((2, 3)), np.zeros((2, 3)), labels)


@pytest.mark.parametrize('name', ['hard', 'blended'])
@pytest.mark.parametrize('label', [-1, -5, 5, 1000])
def test_a_label_of_no_class_is_seen_as_nan_but_stays_there(name, label):
  loss, (g, z, y) = CASES[name][0], _random()
  want = _value(loss, g, z, y)
  y[2] = label
  got = _value(loss, g, z, y)
  assert np.isnan(got[2])
  others = np.arange(6) != 2
  np.testing.assert_array_equal(got[others], want[others])

  def keep(g):
    return jnp.where(others, loss(g, z, y), 0).sum()

  gradient = jax.jit(jax.grad(keep))(g)
  np.testing.assert_array_equal(gradient[2], np.zeros(5))
  assert np.isfinite(gradient).all()


@every_loss
def test_where_that_does_not_fit(loss, reference):
  g, z, y = _random((2, 3))
  for shape in ((3,), (2,), (), (2, 2), (3, 3), (1, 2, 3)):
    with _says('where must broadcast, at the same rank, to the logits, got'
               f' {shape} and (2, 3)'):
      loss(g, z, y, where=np.ones(shape, bool))
  with _says('where must broadcast, at the same rank, to the logits, got'
             ' (2, 3) and (1, 3)'):
    loss(g[:1], z[:1], y[:1], where=np.ones((2, 3), bool))


@pytest.mark.parametrize(('dtype', 'classes'), [
    ('uint8', 256), ('int8', 128), ('uint16', 7), ('int32', 300)])
def test_labels_of_a_type_that_does_not_hold_the_number_of_classes(
    dtype, classes):
  logits = np.random.default_rng(0).normal(size=(3, classes)).astype(np.float32)
  labels = np.array([0, 5, classes - 1])
  small = labels.astype(dtype)
  for loss in (losses.hard_label_cross_entropy,
               lambda g, y: losses.decoupled_kl(g, g[::-1], y),
               lambda g, y: losses.blended(g, g[::-1], y, alpha=0.5)):
    np.testing.assert_array_equal(loss(logits, small), loss(logits, labels))
    assert np.isfinite(loss(logits, small)).all()


@pytest.mark.parametrize('traced', [False, True])
@pytest.mark.parametrize(('name', 'loss'), [
    ('temperature', losses.distillation_kl),
    ('temperature', losses.standardised_kl),
    ('temperature', losses.pearson_distance),
    ('beta', losses.pearson_distance),
    ('alpha', functools.partial(losses.decoupled_kl, labels=np.zeros(6, int))),
    ('alpha', functools.partial(losses.blended, labels=np.zeros(6, int)))])
def test_constants_are_scalars(name, loss, traced):
  g, z, _ = _random()

  def run(value):
    return loss(g, z, **{name: value})

  # JAX adds a note of its own to what is raised while it traces.
  message = (f'{name} must be a scalar, got shape (6, 1); for one an example,'
             ' use jax.vmap')
  with pytest.raises(ValueError, match=f'^{re.escape(message)}'):
    (jax.jit(run) if traced else run)(jnp.full((6, 1), 0.5))


@pytest.mark.parametrize('temperature', [0, 0.0, -1.0, np.inf, np.nan])
def test_temperature_out_of_range(temperature):
  with _says(f'temperature must be positive and finite, got {temperature}'):
    losses.distillation_kl(np.zeros(3), np.zeros(3), temperature=temperature)
  with _says(f'temperature must be positive and finite, got {temperature}'):
    losses.blended(np.zeros(3), np.zeros(3), 0, alpha=0.5,
                   temperature=temperature)


@pytest.mark.parametrize('alpha', [-0.1, 1.1, np.nan])
def test_alpha_out_of_range(alpha):
  with _says(f'alpha must be in [0, 1], got {alpha}'):
    losses.blended(np.zeros(3), np.zeros(3), 0, alpha=alpha)
