"""Metrics of trained nets against NumPy in float64, block by block."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_family as small
from scipy.special import log_softmax, softmax

from shallow_mimic import evaluation, losses, models
from shallow_mimic.data import pools
from shallow_mimic.evaluation import describe, metrics
from shallow_mimic.training import fit, objectives

OBJECTIVES = (small.LOGITS, small.LABELS, small.SOFTENED)
NET = models.make_net('4L-7', (small.FEATURES,), small.CLASSES)
MEAN = np.array([0.5, -1, 2, 0])
STD = np.array([1.0, 2, 0.5, 3])


@functools.cache
def make_case():
  """Three nets, each with its own objective and teacher."""
  rng = np.random.default_rng(1)
  x = rng.normal(size=(23, small.FEATURES)).astype(np.float32)
  split = evaluation.Split(
      pools.Pool(jnp.asarray(x)),
      jnp.asarray(rng.integers(0, small.CLASSES, 23)),
      jnp.asarray(rng.normal(size=(2, 23, small.CLASSES)) * 2, jnp.float32))
  params = jax.vmap(NET.init)(jax.random.split(jax.random.key(0), 3))
  one, zero = np.ones(small.CLASSES), np.zeros(small.CLASSES)
  judged = evaluation.Judged(
      params,
      losses.LogitNormalizer(
          jnp.asarray([MEAN, zero, zero], jnp.float32),
          jnp.asarray([STD, one, one], jnp.float32)),
      jnp.arange(3), jnp.asarray([1, 0, 0]))
  return judged, split


def expected(index):
  """All six metrics of one net, from its float64 outputs."""
  judged, split = make_case()
  params = jax.tree.map(lambda p: np.float64(p[index]), judged.params)
  x, labels = np.float64(split.pool.x), np.asarray(split.labels)
  teacher = np.float64(split.targets[judged.teacher[index]])
  hidden = np.maximum(
      x @ params['bottleneck_0']['kernel'].T
      @ params['hidden_0']['kernel'].T + params['hidden_0']['bias'], 0)
  outputs = (hidden @ params['output']['kernel'].T
             + params['output']['bias'])
  logits = outputs * STD + MEAN if index == 0 else outputs
  log_q, log_p = log_softmax(logits, -1), log_softmax(teacher, -1)
  nll = -log_q[np.arange(23), labels]
  right = logits.argmax(-1) == labels
  confidence = np.exp(log_q).max(-1)
  ece = sum(abs(right[b].sum() - confidence[b].sum()) for b in (
      (confidence > m / 15) & (confidence <= (m + 1) / 15)
      for m in range(15))) / 23
  t = 3.0
  own = [
      0.5 * ((outputs - (teacher - MEAN) / STD) ** 2).sum(-1), nll,
      t * t * (softmax(teacher / t, -1) * (
          log_softmax(teacher / t, -1) - log_softmax(logits / t, -1))).sum(-1)]
  return {
      'accuracy': right.mean(), 'nll': nll.mean(), 'ece': ece,
      'loss': own[index].mean(),
      'agreement': (logits.argmax(-1) == teacher.argmax(-1)).mean(),
      'kl': (np.exp(log_p) * (log_p - log_q)).sum(-1).mean(),
  }


@pytest.mark.parametrize('batch', [23, 500, 8, 22])
def test_metrics_against_float64(batch):
  """Whole, smaller than a block, and in blocks of which the last is short."""
  judged, split = make_case()
  got = evaluation.evaluate(NET, OBJECTIVES, judged, split, batch=batch)
  for index in range(3):
    want = expected(index)
    assert set(got) == set(want)
    for name, value in want.items():
      np.testing.assert_allclose(
          got[name][index], value, rtol=2e-5, atol=1e-6, err_msg=name)


def test_padding_of_the_last_block_is_a_batch_like_any_other():
  """DIST relates the examples of a batch: all of them twice are the same."""
  judged, split = make_case()
  run = functools.partial(
      evaluation.evaluate, NET, [objectives.Objective('pearson_distance')] * 3,
      judged, split)
  np.testing.assert_allclose(
      run(batch=46)['loss'], run(batch=23)['loss'], rtol=1e-5)


@pytest.mark.parametrize('batch', [23, 5])
def test_an_independent_teacher_and_some_rows(batch):
  """As the whole split of those rows, and as if that teacher were its own."""
  judged, split = make_case()
  rows = np.array([20, 3, 4, 11, 19, 0, 7])
  part = split._replace(rows=rows, targets=pools.Beside(split.targets))
  alone = evaluation.Split(pools.Pool(split.pool.x[rows]), split.labels[rows],
                           split.targets[:, rows])
  other = jnp.asarray([0, 1, 1])
  run = functools.partial(evaluation.evaluate, NET, OBJECTIVES, batch=batch)
  got = run(judged._replace(independent=other), part)
  want, swapped = run(judged, alone), run(judged._replace(teacher=other), alone)
  assert set(got) == {*want, 'agreement_independent', 'kl_independent'}
  for name, values in want.items():
    np.testing.assert_array_equal(got[name], values)
  for name in ('agreement', 'kl'):
    np.testing.assert_array_equal(got[f'{name}_independent'], swapped[name])
  assert (got['kl'] != got['kl_independent']).all()


def test_a_net_that_gives_nan_decides_nothing():
  judged, split = make_case()
  broken = judged._replace(params=jax.tree.map(
      lambda p: p.at[1].set(jnp.nan), judged.params))
  got = evaluation.evaluate(NET, OBJECTIVES, broken, split, batch=8)
  want = evaluation.evaluate(NET, OBJECTIVES, judged, split, batch=8)
  assert got['accuracy'][1] == got['agreement'][1] == 0
  assert np.isnan(got['nll'][1])
  for name in want:
    np.testing.assert_array_equal(got[name][::2], want[name][::2])


@pytest.mark.parametrize('batch', [4, 23, 64])
def test_predict_in_blocks(batch):
  judged, split = make_case()
  params = jax.tree.map(lambda p: p[0], judged.params)
  got = evaluation.predict(NET, params, np.asarray(split.pool.x), batch=batch)
  assert got.dtype == np.float32 and got.shape == (23, small.CLASSES)
  np.testing.assert_allclose(
      got, NET.apply(params, split.pool.x), rtol=1e-5, atol=1e-6)


def test_record():
  member = small.make_member(7, seed=3, weight_decay=0.1)
  result = fit.Fitted(None, 0.5, 8, False, [4, 8], [0.25, 0.5], [2.0, 1.0])
  values = {'dev': {'accuracy': 0.5}}
  bins = metrics.CalibrationBins(*np.eye(3, dtype=np.float32))
  got = describe.make_record(
      member, result, NET, 'student', values, inputs_count=90,
      phase='search', selected=False, calibration=bins)
  assert got.to_json() == {
      'model': 'SNN', 'role': 'student', 'objective': 'logit_regression',
      'mixture': 'train+generated', 'inputs_count': 90,
      'teacher': 'ECNN', 'architecture': '4L-7',
      'width': 7, 'seed': 3, 'learning_rate': 0.05, 'weight_decay': 0.1,
      'parameters': 6 * 4 + 4 * 7 + 7 + 7 * 4 + 4,
      'parameters_absorbed': 6 * 7 + 7 + 7 * 4 + 4,
      'multiply_adds': 6 * 4 + 4 * 7 + 7 * 4, 'hidden_units': 7,
      'sequential_depth': 3, 'phase': 'search', 'selected': False,
      'best_step': 8, 'diverged': False, 'metrics': values,
      'history': {'step': [4, 8], 'dev_accuracy': [0.25, 0.5],
                  'train_loss': [2.0, 1.0]},
      'calibration': {'counts': [1, 0, 0], 'confidences': [0, 1, 0],
                      'corrects': [0, 0, 1]},
  }


def test_record_tells_the_constants_of_its_loss():
  member = small.make_member(7, objective=small.SOFTENED)
  result = fit.Fitted(None, 0.5, 8, False, [], [], [])
  got = describe.make_record(
      member, result, NET, 'student', {}, inputs_count=90)
  assert got.constants == {'temperature': 3.0}
  tree = got.to_json()
  assert tree['constants'] == got.constants
  assert 'calibration' not in tree
