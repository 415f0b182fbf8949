"""Speech: frames gathered with their context, features, the decoder.

Frames are kept once and an input, a frame with 7 neighbours on both sides, is
gathered on the device. What that costs is seen against the same family on an
array of such inputs, 15 times as large.
"""

from __future__ import annotations

import numpy as np

from shallow_mimic.data import pools
from shallow_mimic.speech import features, hmm, phones, viterbi

from . import family, timing

_REACH = 7
_UTTERANCE = 300  # frames, about TIMIT's mean
_SECONDS = 3.1
CASES = (
    family.Case('250L → 250…8000 → 183, batch 512', features.STATIC, 183,
                (250, 500, 1000, 2000, 4000, 8000), 1, 512, bottleneck=250,
                steps=3),
    family.Case('250L → 250, 1000 → 183, batch 512', features.STATIC, 183,
                (250, 1000), 1, 512, bottleneck=250, steps=10),
)


def make_pool(case: family.Case) -> pools.Pool:
  """Noise as frames of utterances."""
  x = np.random.default_rng(0).standard_normal(
      (case.examples, 3, case.features), np.float32)
  stops = np.arange(_UTTERANCE, case.examples, _UTTERANCE)
  return pools.make_pool(x, np.append(stops, case.examples), _REACH)


def compare_frames(case: family.Case) -> dict[str, str]:
  """One row: milliseconds a step on frames, and the array's speed to it."""
  members, inputs = family.make_members(case), family.make_inputs(case)
  pool = make_pool(case)
  wide = pools.Pool(pools.take(pool, np.arange(case.examples)))
  labels = np.zeros(_UTTERANCE, np.int32)
  seconds = timing.measure({
      name: family.make_run(members, case, inputs._replace(
          data=inputs.data._replace(pool=kept),
          dev=pools.cut_pool(kept, 0, _UTTERANCE), dev_labels=labels))
      for name, kept in (('frames', pool), ('array', wide))}, rounds=15)
  return {
      'frames with 7 neighbours on both sides': case.name,
      'ms a step': f'{1e3 * seconds["frames"] / case.steps:.1f}',
      'on an array of 1845-wide inputs':
          f'{1e3 * seconds["array"] / case.steps:.1f}',
      'share of its speed': f'{seconds["array"] / seconds["frames"]:.1%}',
      'frames, MB': f'{pool.x.nbytes / 1e6:.0f}',
      'array, MB': f'{wide.x.nbytes / 1e6:.0f}'}


def measure_speech() -> list[dict[str, str]]:
  """Seconds of sound that a second of work takes in, of noise."""
  rng = np.random.default_rng(0)
  sound = rng.normal(0, 1000, int(_SECONDS * features.RATE)).astype(np.int16)
  batch = 32
  logits = rng.standard_normal(
      (batch, _UTTERANCE, phones.STATES), np.float32)
  said = list(rng.integers(0, len(phones.PHONES), (100, 40)))
  states = [np.repeat(3 * one, 8) for one in said]
  model = hmm.fit_hmm(said, states, phones=len(phones.PHONES),
                      states=phones.STATES)
  lengths = np.full(batch, _UTTERANCE)
  grid = hmm.Weights.grid((1.0, 2.0), (0.0, -2.0), (0.5, 1.0))
  works = {
      'features of 41 × 3': (_SECONDS, lambda: features.compute_features(
          sound)),
      'decoder, one set of weights': (batch * _UTTERANCE / 100,
          lambda: np.asarray(viterbi.decode(
              logits, lengths, model, hmm.Weights()).states)),
      'decoder, each of 8 sets of weights': (
          np.size(grid.language) * batch * _UTTERANCE / 100,
          lambda: np.asarray(viterbi.decode_sweep(
              logits, lengths, model, grid).states)),
  }
  seconds = timing.measure({name: work for name, (_, work) in works.items()})
  return [{'speech': name, 'times faster than the sound':
           f'{works[name][0] / spent:.0f}'} for name, spent in seconds.items()]
