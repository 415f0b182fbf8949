"""Counts against hand-made numbers, and probabilities that sum to 1."""

import doctest

import numpy as np
import pytest

from shallow_mimic.speech import hmm


def _says(message):
  for sign in '()[].':
    message = message.replace(sign, f'\\{sign}')
  return pytest.raises(ValueError, match=f'^{message}$')


def test_docstring_examples():
  result = doctest.testmod(hmm)
  assert result.attempted >= 4
  assert result.failed == 0


@pytest.mark.parametrize('phones', [1, 3, 61])
def test_language_model_sums_to_1_and_is_finite(phones):
  rng = np.random.default_rng(phones)
  top = max(1, phones - 1)  # one phone is never seen
  sequences = [rng.integers(0, top, n) for n in rng.integers(1, 30, 20)]
  model = hmm.fit_language_model(sequences, phones)
  assert [part.shape for part in model] == [
      (phones,), (phones, phones), (phones,)]
  for part in model:
    assert part.dtype == np.float32
    assert np.isfinite(part).all()
  start, bigram, stop = (np.exp(part.astype(float)) for part in model)
  np.testing.assert_allclose(start.sum(), 1, rtol=1e-5)
  np.testing.assert_allclose(bigram.sum(1) + stop, np.ones(phones), rtol=1e-5)


def test_language_model_by_hand():
  model = hmm.fit_language_model([[0, 1], [0, 1, 1]], phones=3)
  # Successors: 0 twice, 1 three times, 2 never, the end twice; 1 added to
  # each: u = (3, 4, 1, 3) / 11. After 0 only 1 was seen, twice, one kind.
  np.testing.assert_allclose(
      np.exp(model.bigram[0]), np.array([3, 2 * 11 + 4, 1]) / 33, rtol=1e-5)
  np.testing.assert_allclose(np.exp(model.stop[0]), 3 / 33, rtol=1e-5)
  # After 1: once 1 and twice the end, two kinds.
  np.testing.assert_allclose(
      np.exp(model.bigram[1]), np.array([6, 11 + 8, 2]) / 55, rtol=1e-5)
  np.testing.assert_allclose(np.exp(model.stop[1]), 28 / 55, rtol=1e-5)
  # Phone 2 was never seen: the unigram itself.
  np.testing.assert_allclose(
      np.exp(model.bigram[2]), np.array([3, 4, 1]) / 11, rtol=1e-5)
  # The start: 0 twice, one kind, and u without the end is (3, 4, 1) / 8.
  np.testing.assert_allclose(
      np.exp(model.start), np.array([16 + 3, 4, 1]) / 24, rtol=1e-5)


def test_much_data_outweighs_smoothing():
  rng = np.random.default_rng(0)
  truth = rng.dirichlet(np.ones(3), 3)
  sequence = [0]
  for _ in range(20_000):
    sequence.append(rng.choice(3, p=truth[sequence[-1]]))
  model = hmm.fit_language_model([sequence], 3)
  np.testing.assert_allclose(np.exp(model.bigram), truth, atol=0.02)


@pytest.mark.parametrize(('sequences', 'message'), [
    ([], 'no phone sequence to fit a language model to'),
    ([[0], []], 'phone sequence 1 is empty'),
    ([[0, 3]], 'phone sequence 0 has phones from 0 to 3, not from 0 to 2'),
    ([[1, -1]], 'phone sequence 0 has phones from -1 to 1, not from 0 to 2'),
])
def test_sequences_that_do_not_fit(sequences, message):
  with _says(message):
    hmm.fit_language_model(sequences, 3)


def test_priors_count_frames_without_padding():
  labels = np.array([[0, 0, 0, 2], [2, -1, -1, -1]])
  priors = hmm.fit_priors(labels, 4, smoothing=0.5)
  assert priors.dtype == np.float32
  np.testing.assert_allclose(
      np.exp(priors), np.array([3.5, 0.5, 2.5, 0.5]) / 7, rtol=1e-5)


def test_durations_by_hand():
  # State 0: visits of 3 and 1 frames, state 1: one of 2, state 2: none. The
  # end of an utterance ends a visit: 0 | 0 are two.
  paths = [np.array([1, 1, 0, 0, 0]), np.array([0, -1, -1])]
  durations = hmm.fit_durations(paths, 3, smoothing=2.0)
  common = (3 + 1) / (6 + 2)
  leave = [(2 + 2 * common) / (4 + 2), (1 + 2 * common) / (2 + 2), common]
  np.testing.assert_allclose(np.exp(durations.leave), leave, rtol=1e-5)
  np.testing.assert_allclose(
      np.exp(durations.stay), 1 - np.array(leave), rtol=1e-5)


@pytest.mark.parametrize('path', [[0], [0, 1, 2], [0] * 1000])
def test_durations_are_finite_at_the_extremes(path):
  for part in hmm.fit_durations([path], 3):
    assert np.isfinite(part).all()


def test_geometric_durations_are_found_again():
  rng = np.random.default_rng(0)
  lengths = rng.geometric(0.2, 5000)
  path = np.repeat(np.arange(5000) % 2, lengths)
  leave = np.exp(hmm.fit_durations([path], 2).leave)
  np.testing.assert_allclose(leave, [0.2, 0.2], rtol=0.05)


def test_fit_hmm_is_the_three_fits():
  sequences = [[0, 1], [1]]
  paths = [[0, 0, 1, 2, 2, 3], [2, 3, 3, -1]]
  model = hmm.fit_hmm(sequences, paths, phones=2, states=4)
  for part, want in zip(model.language, hmm.fit_language_model(sequences, 2),
                        strict=True):
    np.testing.assert_array_equal(part, want)
  np.testing.assert_array_equal(
      model.priors, hmm.fit_priors(np.concatenate(paths), 4))
  np.testing.assert_array_equal(
      model.durations.leave, hmm.fit_durations(paths, 4).leave)


@pytest.mark.parametrize('fit', [
    hmm.fit_priors, lambda labels, *size, **how: hmm.fit_durations(
        [labels], *size, **how)])
def test_labels_that_do_not_fit(fit):
  with _says('state 3 of a frame is not below 3'):
    fit([0, 3], 3)
  for smoothing in (0.0, -1.0, np.inf):
    with _says(f'smoothing must be positive and finite, got {smoothing}'):
      fit([0], 3, smoothing=smoothing)
  with pytest.raises(ValueError, match=r'^no labelled frame to fit '):
    fit([-1], 3)
