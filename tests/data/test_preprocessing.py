"""Preprocessing against float64 references, on vectors and on images."""

import doctest
import re

import numpy as np
import pytest

from shallow_mimic import errors
from shallow_mimic.data import preprocessing
from shallow_mimic.data.preprocessing import (
    apply_preprocessing,
    fit_preprocessing,
)


def vectors(rows=200, features=6, seed=0):
  rng = np.random.default_rng(seed)
  mixing = rng.normal(size=(features, features))
  return rng.normal(size=(rows, features)) @ mixing + rng.normal(size=features)


def images(rows=50, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(256, size=(rows, 4, 5, 3), dtype=np.uint8)


def run(steps, x_train, x=None):
  fitted = fit_preprocessing(steps, x_train)
  return apply_preprocessing(fitted, x_train if x is None else x)


def test_examples_of_the_docstrings():
  assert doctest.testmod(preprocessing).failed == 0


def test_bytes_become_unit_floats_and_nothing_else_changes():
  x = np.array([[0, 51, 255]], np.uint8)
  result = run((), x)
  assert result.dtype == np.float32
  np.testing.assert_array_equal(result, np.float32([[0, 0.2, 1]]))
  np.testing.assert_array_equal(run((), x.astype(np.int64)), [[0, 51, 255]])


def test_standardise_vectors_per_feature():
  train, other = vectors(), vectors(seed=1)
  expected = (other - train.mean(0)) / train.std(0)
  np.testing.assert_allclose(
      run(('standardise',), train, other), expected, rtol=1e-4, atol=1e-5)


def test_standardise_images_per_channel():
  train, other = images() // np.uint8(2), images(seed=1)
  mean = (train / 255).mean((0, 1, 2))
  std = (train / 255).std((0, 1, 2))
  np.testing.assert_allclose(
      run(('standardise',), train, other), (other / 255 - mean) / std,
      rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('constant', [0.0, 0.1, -1e6])
def test_standardise_constant_feature_becomes_zero(constant):
  train = vectors()
  train[:, 2] = constant
  result = run(('standardise',), train)
  np.testing.assert_allclose(result[:, 2], 0, atol=1e-6 * abs(constant))
  assert np.isfinite(result).all()


def test_standardise_needs_float64_sums():
  # Means of 1e4 ± 1: sums in float32 would lose the deviation.
  train = 1e4 + np.random.default_rng(0).normal(size=(20_000, 2))
  result = run(('standardise',), train)
  np.testing.assert_allclose(result.std(0, dtype=np.float64), 1, atol=1e-4)
  np.testing.assert_allclose(result.mean(0, dtype=np.float64), 0, atol=1e-3)


def test_gcn_per_example():
  x = vectors()
  centred = x - x.mean(1, keepdims=True)
  expected = 3 * centred / np.sqrt(x.var(1, keepdims=True) + 0.01)
  np.testing.assert_allclose(
      run((('gcn', {'scale': 3, 'bias': 0.01}),), x), expected,
      rtol=1e-4, atol=1e-5)


def test_gcn_default_bias_in_byte_units():
  # Coates et al. on [0, 255]: (x - mean) / sqrt(variance + 10).
  x = images()
  raw = x.reshape(len(x), -1).astype(np.float64)
  expected = (raw - raw.mean(1, keepdims=True)) / np.sqrt(
      raw.var(1, keepdims=True) + 10)
  np.testing.assert_allclose(
      run(('gcn',), x).reshape(len(x), -1), expected, rtol=1e-4, atol=1e-5)


def test_gcn_of_a_constant_example_is_zero():
  x = np.full((2, 5), 0.3)
  np.testing.assert_allclose(run((('gcn', {'bias': 0}),), x), 0, atol=1e-6)


@pytest.mark.parametrize('eps', [0.0, 0.1, 2.0])
def test_zca_vectors_against_reference(eps):
  train, other = vectors(), vectors(seed=1)
  covariance = np.cov(train.T, bias=True)
  values, basis = np.linalg.eigh(covariance + eps * np.eye(6))
  whiten = basis @ np.diag(values**-0.5) @ basis.T
  expected = (other - train.mean(0)) @ whiten
  np.testing.assert_allclose(
      run((('zca', {'eps': eps}),), train, other), expected,
      rtol=2e-3, atol=2e-3)


def test_zca_whitens_images():
  train = images(rows=400)
  result = run((('zca', {'eps': 1e-6}),), train)
  assert result.shape == train.shape
  flat = result.reshape(len(result), -1)
  np.testing.assert_allclose(
      np.cov(flat.T, bias=True), np.eye(flat.shape[1]), atol=1e-2)
  # ZCA, not PCA: the whitened image stays close to the image.
  centred = (train / 255 - (train / 255).mean(0)).reshape(len(train), -1)
  assert np.corrcoef(flat.ravel(), centred.ravel())[0, 1] > 0.9


def test_zca_without_eps_needs_full_rank():
  train = vectors()
  train[:, 5] = train[:, 0] + train[:, 1]
  message = ("preprocessing step 'zca': the training inputs vary in fewer"
             ' directions than they have features; give it an eps above 0')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    run((('zca', {'eps': 0}),), train)
  assert np.isfinite(run((('zca', {'eps': 0.1}),), train)).all()


def test_steps_are_fitted_after_those_before():
  train = images()
  both = run(('gcn', 'standardise'), train)
  one_by_one = run(('standardise',), run(('gcn',), train))
  np.testing.assert_allclose(both, one_by_one, rtol=1e-5, atol=1e-6)
  assert np.abs(both - run(('standardise', 'gcn'), train)).max() > 0.01


def test_fitted_on_train_alone():
  fitted = fit_preprocessing(('standardise', 'zca'), vectors())
  alone = apply_preprocessing(fitted, vectors(rows=3, seed=1))
  among = apply_preprocessing(fitted, vectors(rows=300, seed=1))[:3]
  assert not np.allclose(alone.mean(0), 0, atol=0.01)
  assert among.shape == alone.shape


@pytest.mark.parametrize('steps', [
    ('standardise',), ('gcn',), ('zca',), ('gcn', 'zca')])
def test_chunks_do_not_show(steps, monkeypatch):
  train = images(rows=64)
  whole = run(steps, train)
  monkeypatch.setattr(preprocessing, '_CHUNK_VALUES', 7 * 60)
  np.testing.assert_allclose(run(steps, train), whole, rtol=1e-4, atol=1e-4)


def test_input_is_left_as_it_was():
  train = vectors().astype(np.float32)
  copy = train.copy()
  run(('standardise', 'gcn', 'zca'), train)
  np.testing.assert_array_equal(train, copy)


def test_record_and_immutability():
  fitted = fit_preprocessing((('zca', {'eps': 0.2}), 'gcn'), vectors())
  zca, gcn = fitted.record['steps']
  assert (zca['name'], zca['options']) == ('zca', {'eps': 0.2})
  assert sorted(zca['arrays']) == ['mean', 'whiten']
  assert gcn == {'name': 'gcn', 'arrays': {},
                 'options': {'scale': 1.0, 'bias': 10 / 255**2}}
  with pytest.raises(ValueError, match='read-only'):
    fitted.steps[0].arrays['mean'][0] = 1
  other = fit_preprocessing((('zca', {'eps': 0.2}), 'gcn'), vectors(seed=1))
  assert other.record != fitted.record


@pytest.mark.parametrize(('step', 'message'), [
    ('whiten',
     "unknown preprocessing step 'whiten'; known: standardise, gcn, zca"),
    (('zca', {'epsilon': 1}),
     "preprocessing step 'zca' has no option 'epsilon'; its options: eps"),
    (('standardise', {'eps': 1}),
     "preprocessing step 'standardise' has no option 'eps'; its options: none"),
    (('zca', {'eps': -1}),
     "preprocessing step 'zca': eps = -1 must be a finite number that is not"
     ' negative'),
    (('zca', {'eps': float('inf')}),
     "preprocessing step 'zca': eps = inf must be a finite number that is not"
     ' negative'),
    (('gcn', {'scale': float('nan')}),
     "preprocessing step 'gcn': scale = nan must be a finite number that is not"
     ' negative'),
    (('zca', {'eps': '1'}),
     "preprocessing step 'zca': eps = 1 must be a finite number that is not"
     ' negative'),
    *[(step, f'preprocessing step {step!r} must be a name, or a pair of a name'
       " and its options: preprocessing = ('gcn', ('zca', {'eps': 0.1}))")
      for step in (5, {'eps': 0.1}, ('zca',), ('zca', 0.1), (3, {}))],
])
def test_refuses(step, message):
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    fit_preprocessing((step,), vectors())
