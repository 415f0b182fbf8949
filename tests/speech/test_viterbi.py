"""Viterbi against all paths of small models, one by one, in float64."""

import doctest
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from shallow_mimic.speech import hmm, viterbi

WEIGHTS = viterbi.Weights(1.7, -0.6, 0.8)


def _says(message):
  for sign in '()[].':
    message = message.replace(sign, f'\\{sign}')
  return pytest.raises(ValueError, match=f'^{message}$')


def _model(phones, positions, seed=0):
  rng = np.random.default_rng(seed)
  states = phones * positions
  follow = rng.dirichlet(np.ones(phones + 1), phones)
  leave = rng.uniform(0.1, 0.9, states)

  def logs(x):
    return np.log(x).astype(np.float32)

  return hmm.Hmm(
      hmm.LanguageModel(logs(rng.dirichlet(np.ones(phones))),
                        logs(follow[:, :-1]), logs(follow[:, -1])),
      logs(rng.dirichlet(np.ones(states))),
      hmm.Durations(logs(1 - leave), logs(leave)))


def _logits(batch, frames, states, seed=0, scale=2.0):
  rng = np.random.default_rng(seed)
  return rng.normal(0, scale, (batch, frames, states)).astype(np.float32)


# Brute force ----------------------------------------------------------------


def _score_path(logits, path, entries, model, weights, positions):
  """Of one whole path; None if it is not one."""
  language, (stay, leave) = model.language, model.durations
  log_p = special.log_softmax(logits.astype(float), -1)
  score, previous = 0.0, None
  for t, (state, entered) in enumerate(zip(path, entries, strict=True)):
    phone, position = divmod(state, positions)
    if previous is None:
      if not entered or position:
        return None
      score += weights.language * float(language.start[phone])
      score += weights.insertion
    elif entered:
      if position or (previous + 1) % positions:
        return None
      score += float(leave[previous]) + weights.insertion
      score += weights.language * float(
          language.bigram[previous // positions, phone])
    elif state == previous:
      score += float(stay[state])
    elif state == previous + 1 and position:
      score += float(leave[previous])
    else:
      return None
    score += log_p[t, state] - weights.prior * float(model.priors[state])
    previous = state
  if (previous + 1) % positions:
    return None
  return (score + float(leave[previous])
          + weights.language * float(language.stop[previous // positions]))


def _all_paths(frames, states, positions):
  """Every state sequence with every choice of entries at first positions."""
  for path in itertools.product(range(states), repeat=frames):
    choices = [(False, True) if s % positions == 0 else (False,) for s in path]
    if path[0] % positions == 0:
      for rest in itertools.product(*choices[1:]):
        yield path, (True, *rest)


def _best(logits, model, weights, positions, phones=None):
  best = (-np.inf, None, None)
  for path, entries in _all_paths(*logits.shape, positions):
    score = _score_path(logits, path, entries, model, weights, positions)
    if score is None or score <= best[0]:
      continue
    spoken = [s // positions for s, e in zip(path, entries, strict=True) if e]
    if phones is None or spoken == list(phones):
      best = score, path, entries
  return best


@pytest.mark.parametrize(('phones', 'positions', 'frames'), [
    (1, 1, 3), (3, 1, 5), (4, 1, 1), (2, 2, 5), (2, 3, 5), (1, 3, 6),
    (1, 2, 2)])
def test_decoding_finds_the_best_of_all_paths(phones, positions, frames):
  states = phones * positions
  model, logits = _model(phones, positions), _logits(6, frames, states)
  decoded = viterbi.decode(logits, np.full(6, frames), model, WEIGHTS)
  for b, one in enumerate(logits):
    score, path, entries = _best(one, model, WEIGHTS, positions)
    np.testing.assert_allclose(decoded.scores[b], score, rtol=1e-5)
    np.testing.assert_array_equal(decoded.states[b], path)
    np.testing.assert_array_equal(decoded.entries[b], entries)


@pytest.mark.parametrize('weights', [
    (0.0, 0.0, 0.0), (1.0, 0.0, 1.0), (5.0, 0.0, 1.0), (1.0, -8.0, 1.0),
    (1.0, 8.0, 1.0), (1.0, 0.0, 3.0)])
def test_each_weight_counts_as_in_the_formula(weights):
  weights = viterbi.Weights(*weights)
  model, logits = _model(2, 2, seed=1), _logits(4, 6, 4, seed=1)
  decoded = viterbi.decode(logits, np.full(4, 6), model, weights)
  for b, one in enumerate(logits):
    score, path, entries = _best(one, model, weights, 2)
    np.testing.assert_allclose(decoded.scores[b], score, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(decoded.states[b], path)
    np.testing.assert_array_equal(decoded.entries[b], entries)


def test_a_penalty_makes_for_fewer_phones():
  model, logits = _model(4, 1), _logits(3, 40, 4)

  def count(penalty):
    return sum(map(len, viterbi.collect_phones(viterbi.decode(
        logits, np.full(3, 40), model, viterbi.Weights(1.0, penalty, 1.0)), 1)))

  counts = [count(penalty) for penalty in (-50.0, -2.0, 0.0, 50.0)]
  assert counts == sorted(counts)
  assert counts[0] == 3
  assert counts[-1] == 120


def test_a_phone_that_follows_itself_comes_out_twice():
  model = _model(2, 3)
  logits = np.full((1, 6, 6), -20.0, np.float32)
  logits[0, range(6), [0, 1, 2, 0, 1, 2]] = 20
  decoded = viterbi.decode(logits, np.array([6]), model, viterbi.Weights())
  assert viterbi.collect_phones(decoded, 3) == [[0, 0]]
  np.testing.assert_array_equal(
      decoded.entries, [[True, False, False, True, False, False]])


def test_a_long_path_is_a_path_of_its_score():
  phones, positions, frames = 61, 3, 60
  model = _model(phones, positions, seed=3)
  logits = _logits(2, frames, phones * positions, scale=4.0)
  decoded = viterbi.decode(logits, np.full(2, frames), model, WEIGHTS)
  for b, one in enumerate(logits):
    score = _score_path(one, np.asarray(decoded.states[b]).tolist(),
                        np.asarray(decoded.entries[b]).tolist(), model,
                        WEIGHTS, positions)
    np.testing.assert_allclose(decoded.scores[b], score, rtol=1e-5)


def test_logits_and_log_posteriors_decode_alike():
  model, logits = _model(3, 2), _logits(4, 9, 6)
  lengths = np.full(4, 9)
  raw = viterbi.decode(logits + 7, lengths, model, WEIGHTS)
  log_p = viterbi.decode(
      special.log_softmax(logits, -1), lengths, model, WEIGHTS)
  np.testing.assert_array_equal(raw.states, log_p.states)
  np.testing.assert_allclose(raw.scores, log_p.scores, rtol=1e-5)


# Lengths --------------------------------------------------------------------


def _equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize('junk', [0.0, 1e30, np.nan, -np.inf])
def test_padding_changes_no_bit(junk):
  model, lengths = _model(3, 2), np.array([7, 4, 2, 9])
  phones, counts = np.array([[0, 1, 2], [2, 2, 0], [1, 0, 0], [2, 1, 0]]), (
      np.array([3, 2, 1, 3]))
  logits = _logits(4, 9, 6)
  logits[np.arange(9)[None] >= lengths[:, None]] = junk
  decoded = viterbi.decode(logits, lengths, model, WEIGHTS)
  aligned = viterbi.align(logits, lengths, phones, counts, model)
  for b, n in enumerate(lengths):
    alone = viterbi.decode(logits[b:b + 1, :n], lengths[b:b + 1], model,
                           WEIGHTS)
    _equal(viterbi.Decoded(decoded.states[b, :n], decoded.entries[b, :n],
                           decoded.scores[b]),
           jax.tree.map(lambda x: x[0], alone))
    assert (decoded.states[b, n:] == -1).all()
    assert not decoded.entries[b, n:].any()
    m = counts[b]
    alone = viterbi.align(logits[b:b + 1, :n], lengths[b:b + 1],
                          phones[b:b + 1, :m], counts[b:b + 1], model)
    np.testing.assert_array_equal(aligned.states[b, :n], alone.states[0])
    assert aligned.scores[b] == alone.scores[0]
    assert (aligned.states[b, n:] == -1).all()


def test_too_short_an_utterance_has_no_path():
  model, logits = _model(2, 3), _logits(3, 5, 6)
  decoded = viterbi.decode(logits, np.array([0, 2, 3]), model, WEIGHTS)
  assert (decoded.states[:2] == -1).all()
  assert not decoded.entries[:2].any()
  assert (decoded.scores[:2] == -np.inf).all()
  assert np.isfinite(decoded.scores[2])
  assert [len(p) for p in viterbi.collect_phones(decoded, 3)] == [0, 0, 1]


def test_a_nan_is_seen_in_the_score():
  model, logits = _model(2, 2), _logits(2, 5, 4)
  logits[0, 2, 1] = np.nan
  scores = viterbi.decode(logits, np.full(2, 5), model, WEIGHTS).scores
  assert np.isnan(scores[0])
  assert np.isfinite(scores[1])


# Sweeps ---------------------------------------------------------------------


def test_a_sweep_is_one_decode_per_point():
  model, logits = _model(5, 3), _logits(3, 20, 15)
  lengths = np.array([20, 11, 15])
  grid = viterbi.Weights.grid([0.5, 2.0], [-3.0, 0.0, 1.0], [0.5, 1.0])
  swept = viterbi.decode_sweep(logits, lengths, model, grid)
  assert swept.states.shape == (12, 3, 20)
  for g in range(12):
    point = viterbi.Weights(*(axis[g] for axis in grid))
    alone = viterbi.decode(logits, lengths, model, point)
    np.testing.assert_array_equal(swept.states[g], alone.states)
    np.testing.assert_array_equal(swept.entries[g], alone.entries)
    np.testing.assert_allclose(swept.scores[g], alone.scores, rtol=1e-6)
  assert len({np.asarray(states).tobytes() for states in swept.states}) > 3


def test_new_weights_compile_nothing():
  model, logits = _model(2, 1), _logits(1, 4, 2)
  decode = functools.partial(viterbi.decode, logits, np.array([4]), model)
  decode(viterbi.Weights(1.0, 0.0, 1.0))
  size = viterbi._decode._cache_size()
  decode(viterbi.Weights(2, -1, np.float64(0.3)))
  assert viterbi._decode._cache_size() == size


# Alignment ------------------------------------------------------------------


@pytest.mark.parametrize(('positions', 'phones', 'frames'), [
    (1, [0, 1], 5), (1, [1, 1, 0], 5), (2, [1, 0], 6), (2, [0, 0], 5),
    (3, [1], 5), (2, [1, 0], 4), (1, [0], 1)])
def test_alignment_finds_the_best_of_all_paths(positions, phones, frames):
  states = 2 * positions
  model, logits = _model(2, positions), _logits(5, frames, states)
  weights = viterbi.Weights(0.0, 0.0, 0.7)
  padded = np.tile([*phones, -1, 99], (5, 1))
  aligned = viterbi.align(logits, np.full(5, frames), padded,
                          np.full(5, len(phones)), model, prior=0.7)
  for b, one in enumerate(logits):
    score, path, _ = _best(one, model, weights, positions, phones)
    np.testing.assert_array_equal(aligned.states[b], path)
    np.testing.assert_allclose(aligned.scores[b], score, rtol=1e-5)


def test_alignment_passes_all_states_in_order():
  model, rng = _model(61, 3), np.random.default_rng(0)
  logits, phones = _logits(4, 50, 183, scale=9.0), rng.integers(0, 61, (4, 12))
  phones[0, 3] = phones[0, 4]
  counts, lengths = np.array([12, 12, 7, 1]), np.array([50, 36, 30, 4])
  aligned = viterbi.align(logits, lengths, phones, counts, model)
  for b in range(4):
    path = np.asarray(aligned.states[b, :lengths[b]])
    chain = (phones[b, :counts[b], None] * 3 + np.arange(3)).ravel()
    np.testing.assert_array_equal(
        path[np.diff(path, prepend=-1) != 0], chain)


def test_too_few_frames_are_spread_evenly():
  model, logits = _model(4, 3), _logits(3, 4, 12)
  aligned = viterbi.align(logits, np.array([4, 1, 0]),
                          np.array([[2, 0], [3, 1], [0, 0]]),
                          np.array([2, 1, 0]), model)
  # Six states 6 7 8 0 1 2 over four frames: numbers 0, 1, 3 and 4.
  np.testing.assert_array_equal(
      aligned.states, [[6, 7, 0, 1], [9, -1, -1, -1], [-1] * 4])
  assert (aligned.scores == -np.inf).all()


# Faults ---------------------------------------------------------------------


@pytest.mark.parametrize(('shape', 'lengths', 'message'), [
    ((2, 5, 3), [5, 5], 'logits must be [B, T > 0, 4] and lengths [B], got'
     ' (2, 5, 3) and (2,)'),
    ((2, 0, 4), [0, 0], 'logits must be [B, T > 0, 4] and lengths [B], got'
     ' (2, 0, 4) and (2,)'),
    ((5, 4), [5], 'logits must be [B, T > 0, 4] and lengths [B], got'
     ' (5, 4) and (1,)'),
    ((2, 5, 4), [5], 'logits must be [B, T > 0, 4] and lengths [B], got'
     ' (2, 5, 4) and (1,)'),
    ((2, 5, 4), [5, 6], 'lengths must be from 0 to 5, got [5 6]'),
    ((2, 5, 4), [-1, 5], 'lengths must be from 0 to 5, got [-1  5]')])
def test_logits_that_do_not_fit(shape, lengths, message):
  with _says(message):
    viterbi.decode(np.zeros(shape), np.array(lengths), _model(2, 2), WEIGHTS)


def test_other_faults():
  model, logits = _model(2, 2), jnp.zeros((2, 5, 4))
  with _says('5 states are no multiple of 2 phones'):
    viterbi.decode(logits, [5, 5], model._replace(priors=np.zeros(5)), WEIGHTS)
  with _says('weights must have the shape () each, got (2,), (), ()'):
    viterbi.decode(logits, [5, 5], model, viterbi.Weights(np.ones(2)))
  with _says('weights must have the shape (2,) each, got (2,), (), ()'):
    viterbi.decode_sweep(logits, [5, 5], model, viterbi.Weights(np.ones(2)))
  with _says('phones must be [B, N] and counts [B], got (2,) and (2,) for'
             ' lengths (2,)'):
    viterbi.align(logits, [5, 5], [0, 1], [1, 1], model)
  with _says('counts must be from 0 to 1, got [1 2]'):
    viterbi.align(logits, [5, 5], [[0], [1]], [1, 2], model)


def test_docstring_examples():
  result = doctest.testmod(viterbi)
  assert result.attempted >= 2
  assert result.failed == 0
