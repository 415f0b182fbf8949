"""Metrics: sums that add up right, and each value against NumPy or by hand."""

import doctest
import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from shallow_mimic.evaluation import metrics


def _random(examples=23, classes=5, seed=0):
  rng = np.random.default_rng(seed)
  g, z = rng.normal(0, 2, (2, examples, classes)).astype(np.float32)
  return g, z, rng.integers(0, classes, examples).astype(np.int32)


# Each metric as f(g, z, y), and the value of every example in float64.
METRICS = {
    'accuracy': (
        lambda g, z, y, **how: metrics.accuracy(g, y, **how),
        lambda g, z, y: np.argmax(g, -1) == y,
    ),
    'agreement': (
        lambda g, z, y, **how: metrics.agreement(g, z, **how),
        lambda g, z, y: np.argmax(g, -1) == np.argmax(z, -1),
    ),
    'kl': (
        lambda g, z, y, **how: metrics.kl(g, z, **how),
        lambda g, z, y: special.rel_entr(
            special.softmax(z, -1), special.softmax(g, -1)).sum(-1),
    ),
    'nll': (
        lambda g, z, y, **how: metrics.nll(g, y, **how),
        lambda g, z, y: -special.log_softmax(g, -1)[np.arange(len(y)), y],
    ),
}
ALL = {**{name: pair[0] for name, pair in METRICS.items()},
       'calibration': lambda g, z, y, **how: metrics.calibration(g, y, **how)}
# Compiled, because that is several times faster than op by op.
COMPILED = {name: jax.jit(metric) for name, metric in ALL.items()}
every_mean = pytest.mark.parametrize(
    ('metric', 'reference'), METRICS.values(), ids=METRICS)
every_metric = pytest.mark.parametrize('metric', COMPILED.values(), ids=ALL)


def _numpy_ece(logits, labels, bins):
  """Guo et al., eq. 3, bin by bin from its definition."""
  p = special.softmax(logits.astype(np.float64), -1)
  confidence, correct = p.max(-1), np.argmax(logits, -1) == labels
  error = 0.0
  for m in range(1, bins + 1):
    inside = (confidence > (m - 1) / bins) & (confidence <= m / bins)
    if inside.any():
      gap = abs(correct[inside].mean() - confidence[inside].mean())
      error += inside.mean() * gap
  return error


def _assert_trees_close(got, want, **how):
  assert type(got) is type(want)
  for a, b in zip(got, want, strict=True):
    np.testing.assert_allclose(a, b, **how)


def test_docstring_examples():
  result = doctest.testmod(metrics)
  assert result.attempted > 2
  assert result.failed == 0


@every_mean
def test_equals_float64_reference(metric, reference):
  g, z, y = _random()
  got = metric(g, z, y)
  want = reference(g.astype(np.float64), z.astype(np.float64), y)
  np.testing.assert_allclose(got.total, want.sum(), rtol=1e-5)
  assert got.count == 23
  np.testing.assert_allclose(got.value, want.mean(), rtol=1e-5)
  assert 0 < got.value != 1


@every_mean
def test_where_keeps_only_what_it_says(metric, reference):
  g, z, y = _random()
  kept = np.random.default_rng(1).random(23) < 0.6
  got = metric(g, z, y, where=kept)
  want = metric(g[kept], z[kept], y[kept])
  _assert_trees_close(got, want, rtol=1e-5)
  assert got.count == kept.sum() < 23


@every_metric
def test_padding_may_hold_anything(metric):
  g, z, y = _random()
  want = metric(g[:20], z[:20], y[:20])
  g[20:], z[20:], y[20:] = np.nan, np.inf, -1
  got = metric(g, z, y, where=np.arange(23) < 20)
  _assert_trees_close(got, want, rtol=1e-6)


@every_metric
def test_uneven_batches_add_up_to_the_whole(metric):
  g, z, y = _random()
  parts = [metric(g[a:b], z[a:b], y[a:b])
           for a, b in ((0, 10), (10, 20), (20, 23))]
  joined = functools.reduce(operator.add, parts)
  whole = metric(g, z, y)
  _assert_trees_close(joined, whole, rtol=1e-5)
  np.testing.assert_allclose(joined.value, whole.value, rtol=1e-5)
  # The mean of the batches' values, the usual mistake, is another number.
  assert abs(np.mean([part.value for part in parts]) - whole.value) > 1e-3


@every_metric
def test_jit_and_vmap_over_students(metric):
  g, z, y = _random()
  students = np.stack([g, z, g[::-1]])
  kept = np.arange(23) < 20
  family = jax.jit(jax.vmap(lambda g: metric(g, z, y, where=kept)))(students)
  assert family.value.shape == (3,)
  for s, student in enumerate(students):
    alone = metric(student, z, y, where=kept)
    _assert_trees_close(jax.tree.map(lambda leaf, s=s: leaf[s], family), alone,
                        rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(family.value[s], alone.value, rtol=1e-5,
                               atol=1e-6)
  doubled = family + family
  np.testing.assert_allclose(doubled.value, family.value, rtol=1e-6)
  np.testing.assert_allclose(doubled[0], 2 * family[0], rtol=1e-6)


@every_metric
def test_leading_axes_are_all_batch(metric):
  g, z, y = _random(24)
  kept = np.arange(24) % 3 > 0
  got = metric(g.reshape(4, 6, 5), z.reshape(4, 6, 5), y.reshape(4, 6),
               where=kept.reshape(4, 6))
  _assert_trees_close(got, metric(g, z, y, where=kept), rtol=1e-5)
  one = metric(g[0], z[0], y[0])
  _assert_trees_close(one, metric(g[:1], z[:1], y[:1]), rtol=1e-6)


@every_metric
def test_sums_are_float32_whatever_comes_in(metric):
  g, z, y = _random()
  for dtype in (jnp.bfloat16, jnp.float16):
    narrow = metric(jnp.asarray(g, dtype), jnp.asarray(z, dtype), y)
    assert {leaf.dtype for leaf in narrow} == {jnp.dtype('float32')}
    # Narrow logits, but sums in float32: 23 examples, not 23 to 3 digits.
    wide = metric(jnp.asarray(g, dtype).astype(jnp.float32),
                  jnp.asarray(z, dtype).astype(jnp.float32), y)
    _assert_trees_close(narrow, wide, rtol=1e-6)
  with jax.enable_x64(True):
    wide = metric(g.astype(np.float64), z.astype(np.float64), y)
    assert {leaf.dtype for leaf in wide} == {jnp.dtype('float32')}


@every_metric
def test_no_example_has_no_value(metric):
  g, z, y = _random()
  nothing = metric(g, z, y, where=np.zeros(23, bool))
  assert np.isnan(nothing.value)
  empty = metric(g[:0], z[:0], y[:0])
  assert np.isnan(empty.value)
  # And adds nothing to what there is.
  some = metric(g, z, y)
  _assert_trees_close(some + nothing + empty, some, rtol=0)


def test_sums_survive_a_device_get():
  # NumPy would warn of 0 / 0, and warnings are errors here.
  empty = jax.device_get(metrics.accuracy(np.eye(3), np.arange(3), where=False))
  assert isinstance(empty.total, np.ndarray | np.generic)
  assert np.isnan(empty.value)


def test_kl_is_of_the_student_from_the_teacher():
  g, z = np.log([[0.5, 0.5]]), np.log([[0.8, 0.2]])
  # .8 ln(.8 / .5) + .2 ln(.2 / .5); the other way round it is 0.223144.
  np.testing.assert_allclose(metrics.kl(g, z).value, 0.1927448, rtol=1e-5)


# Accuracy and agreement -----------------------------------------------------


def test_accuracy_by_hand():
  logits = np.array([[1, 3, 2], [5, 4, 0], [0, 0, 9], [2, 2, 1]], np.float32)
  # Decisions 1, 0, 2, and 0 as the first of equals.
  assert metrics.accuracy(logits, np.array([1, 0, 2, 0])).value == 1
  assert metrics.accuracy(logits, np.array([1, 2, 2, 1])) == (2, 4)


def test_an_unlabelled_example_is_wrong_for_accuracy_and_nan_for_nll():
  g, _, y = _random()
  y[:3] = -1
  want = (np.argmax(g, -1) == y)[3:].sum()
  assert metrics.accuracy(g, y) == (want, 23)
  assert metrics.accuracy(g, y, where=y >= 0) == (want, 20)
  assert np.isnan(metrics.nll(g, y).value)
  assert np.isfinite(metrics.nll(g, y, where=y >= 0).value)


def test_a_net_that_gives_nan_decides_nothing():
  g, z, _ = _random()
  broken, zeros = np.full_like(g, np.nan), np.zeros(23, np.int32)
  assert metrics.accuracy(broken, zeros).value == 0
  assert metrics.agreement(broken, z).value == 0
  assert metrics.agreement(g, broken).value == 0
  assert metrics.agreement(broken, broken).value == 0
  assert np.isnan(metrics.kl(broken, z).value)
  assert np.isnan(metrics.calibration(broken, zeros).value)


# Calibration ----------------------------------------------------------------


def test_calibration_by_hand():
  # Confidences .9, .9, .6, .6 in 10 bins; right, wrong, right, right.
  p = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.6, 0.4]])
  bins = metrics.calibration(np.log(p), np.array([0, 1, 1, 0]), bins=10)
  counts = np.zeros(10)
  counts[[5, 8]] = 2  # (.5, .6] and (.8, .9]: each edge belongs below
  np.testing.assert_array_equal(bins.counts, counts)
  np.testing.assert_array_equal(bins.corrects, [0] * 5 + [2, 0, 0, 1, 0])
  np.testing.assert_allclose(bins.confidences, [0] * 5 + [1.2, 0, 0, 1.8, 0],
                             rtol=1e-6)
  # (|2 − 1.2| + |1 − 1.8|) / 4
  np.testing.assert_allclose(bins.value, 0.4, rtol=1e-6)


@pytest.mark.parametrize('bins', [1, 2, 15, 100])
@pytest.mark.parametrize('classes', [2, 5])
def test_calibration_equals_its_definition(bins, classes):
  g, _, y = _random(500, classes)
  got = metrics.calibration(g, y, bins=bins)
  assert got.counts.shape == (bins,)
  assert got.counts.sum() == 500
  np.testing.assert_allclose(got.value, _numpy_ece(g, y, bins), rtol=1e-4)


def test_calibration_has_15_bins_by_default():
  g, _, y = _random(500)
  np.testing.assert_allclose(metrics.calibration(g, y).value,
                             _numpy_ece(g, y, 15), rtol=1e-4)


def test_the_surest_confidence_is_in_the_last_bin():
  sure = np.array([[1e30, 0, 0], [0, 0, 0]], np.float32)
  bins = metrics.calibration(sure, np.array([0, 0]))
  # 1 in (14/15, 1], and 1/3 in (4/15, 5/15].
  np.testing.assert_array_equal(np.flatnonzero(bins.counts), [4, 14])
  np.testing.assert_allclose(bins.value, (0 + 2 / 3) / 2, rtol=1e-6)


def test_a_calibrated_net_has_a_small_error_and_a_sure_one_a_large():
  rng = np.random.default_rng(0)
  logits = rng.normal(0, 1, (20_000, 4)).astype(np.float32)
  p = special.softmax(logits, -1)
  labels = (rng.random((20_000, 1)) > p.cumsum(-1)).sum(-1).clip(0, 3)
  assert metrics.calibration(logits, labels).value < 0.02
  assert metrics.calibration(10 * logits, labels).value > 0.3


# Faults ---------------------------------------------------------------------


@pytest.mark.parametrize('metric', [metrics.accuracy, metrics.calibration])
@pytest.mark.parametrize(
    ('labels', 'told'),
    [
        (np.zeros(3, np.int32), 'int32 (3,)'),
        (np.zeros((2, 1), np.int32), 'int32 (2, 1)'),
        (np.zeros(2, np.float32), 'float32 (2,)'),
    ],
)
def test_labels_that_do_not_fit(metric, labels, told):
  with pytest.raises(ValueError) as error:
    metric(np.zeros((2, 3)), labels)
  assert str(error.value) == (
      f'labels must be integers, one per example, got {told} for logits (2, 3)')


@pytest.mark.parametrize('metric', [metrics.agreement, metrics.kl])
def test_logits_that_do_not_fit(metric):
  with pytest.raises(ValueError) as error:
    metric(np.zeros((2, 3)), np.zeros((2, 4)))
  assert str(error.value).startswith(
      'student_logits and teacher_logits must have one shape')
  assert str(error.value).endswith('got (2, 3) and (2, 4)')


@every_metric
def test_where_that_does_not_fit(metric):
  g, z, y = _random()
  for shape in ((22,), (23, 1), (23, 5), (1,)):
    with pytest.raises(ValueError) as error:
      metric(g, z, y, where=np.ones(shape, bool))
    assert str(error.value) == (
        f'where must have one entry per example, got {shape} for (23,)')
