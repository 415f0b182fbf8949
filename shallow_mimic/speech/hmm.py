"""Hidden Markov models of phones: what is counted in the training transcripts.

A phone is a left-to-right chain of J states (3 in the TIMIT recipe), state
J · phone + position: each state repeats itself or goes on to the next one, the
last one leaves the phone. Phones follow each other by a bigram. All values are
natural logarithms, float32, finite, so that any weight may multiply them.

P phones, S = J · P states.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class LanguageModel(NamedTuple):
  """Phone bigram: log p(first), log p(next | previous), log p(end | last).

  start [P], bigram [P, P] by (previous, next), stop [P]. Σ exp start = 1, and
  Σ exp bigram[p] + exp stop[p] = 1 for each phone p.
  """

  start: np.ndarray
  bigram: np.ndarray
  stop: np.ndarray


class Durations(NamedTuple):
  """Log probabilities of a frame's step: stay [S] in the state or leave [S]."""

  stay: np.ndarray
  leave: np.ndarray


class Hmm(NamedTuple):
  """All that decoding takes beside the net: `priors` are log p(s) [S]."""

  language: LanguageModel
  priors: np.ndarray
  durations: Durations


class Weights(NamedTuple):
  """What is chosen on dev: scalars, or [G] each for a sweep over a grid.

  `language` multiplies the language model and `prior` the log priors;
  `insertion` is added once per phone (negative: fewer phones).
  """

  language: ArrayLike = 1.0
  insertion: ArrayLike = 0.0
  prior: ArrayLike = 1.0

  @classmethod
  def grid(cls, language: Sequence[float], insertion: Sequence[float],
           prior: Sequence[float] = (1.0,)) -> Weights:
    """All combinations, [G] each, the last varying fastest.

    >>> print(Weights.grid([1, 2], [0, -3]).insertion)
    [ 0. -3.  0. -3.]
    """
    points = np.meshgrid(language, insertion, prior, indexing='ij')
    return cls(*(np.ravel(axis).astype(np.float32) for axis in points))


def fit_hmm(sequences: Sequence[ArrayLike], alignments: Sequence[ArrayLike],
            *, phones: int, states: int) -> Hmm:
  """The three fits below with their default smoothing.

  Args:
    sequences: the phones of each training utterance, integers.
    alignments: the state of each frame, one array per utterance, integers;
      negative ones (padding) are left out.
    phones: P.
    states: S.
  """
  frames = np.concatenate([np.ravel(path) for path in alignments])
  return Hmm(fit_language_model(sequences, phones), fit_priors(frames, states),
             fit_durations(alignments, states))


def fit_language_model(sequences: Sequence[ArrayLike],
                       phones: int) -> LanguageModel:
  """Bigram with Witten-Bell smoothing by the unigram.

  p(w | h) = (c(h, w) + k(h) u(w)) / (c(h) + k(h)), where k(h) is the number
  of kinds of successors seen after h, and u the unigram of all successors with
  1 added to each count. Start and end of an utterance count as a predecessor
  and a successor; no utterance is empty, so the end never follows the start.
  After a phone that was never seen, p(w | h) = u(w).

  Args:
    sequences: the phones of each utterance, integers from 0 to P - 1.
    phones: P.

  Raises:
    ValueError: no sequence, an empty one, or a phone out of range.

  Reference: Witten & Bell 1991, method C, as in Chen & Goodman 1998, sec. 2.4.

  >>> model = fit_language_model([[0, 1], [0, 1, 1]], phones=2)
  >>> print(np.exp(model.bigram[0]).round(3))  # 2 seen; u = 3/10, 4/10, 3/10
  [0.1 0.8]
  """
  pairs = _count_pairs(sequences, phones)
  unigram = pairs.sum(0) + 1
  base = np.tile(unigram, (phones + 1, 1))
  base[phones, phones] = 0
  base /= base.sum(1, keepdims=True)
  kinds = np.maximum((pairs > 0).sum(1, keepdims=True), 1)
  smooth = (pairs + kinds * base) / (pairs.sum(1, keepdims=True) + kinds)
  return LanguageModel(
      start=_log(smooth[phones, :phones]),
      bigram=_log(smooth[:phones, :phones]),
      stop=_log(smooth[:phones, phones]))


def fit_priors(labels: ArrayLike, states: int, *,
               smoothing: float = 1.0) -> np.ndarray:
  """The log p(s) [S]: the share of frames in each state, smoothed.

  Args:
    labels: the states of all training frames, of any shape; negative ones
      (padding) are left out.
    states: S.
    smoothing: frames added to each state; positive.

  Raises:
    ValueError: no frame, a state out of range, no positive smoothing.

  >>> print(np.exp(fit_priors([0, 0, 1, -1], 2)).round(1))
  [0.6 0.4]
  """
  _check_smoothing(smoothing)
  counts = _count_states(_read_path(labels, states), states) + smoothing
  if counts.sum() == states * smoothing:
    raise ValueError('no labelled frame to fit priors to')
  return _log(counts / counts.sum())


def fit_durations(alignments: Sequence[ArrayLike], states: int, *,
                  smoothing: float = 10.0) -> Durations:
  """Leaving rates: visits / frames of each state, pulled to the common rate.

  The greatest likelihood of geometric durations. Each state gets `smoothing`
  more frames at the rate of all states together, so a state without frames
  gets that rate. A visit is a run of equal states within one utterance; with
  one state per phone, a phone that follows itself thus counts as one visit.

  Args:
    alignments: the state of each frame, one array per utterance; negative
      ones (padding) are left out.
    states: S.
    smoothing: frames added to each state; positive.

  Raises:
    ValueError: no frame, a state out of range, no positive smoothing.

  >>> print(np.exp(fit_durations([[0, 0, 0, 0, 1, 1]], 2).leave).round(2))
  [0.34 0.4 ]
  """
  _check_smoothing(smoothing)
  paths = [_read_path(path, states) for path in alignments]
  frames = sum(_count_states(path, states) for path in paths)
  visits = sum(_count_states(path[_starts(path)], states) for path in paths)
  if not np.any(frames):
    raise ValueError('no labelled frame to fit durations to')
  # One visit of two frames is added, so that the rate is never 0 or 1.
  common = (visits.sum() + 1) / (frames.sum() + 2)
  leave = (visits + smoothing * common) / (frames + smoothing)
  return Durations(stay=_log(1 - leave), leave=_log(leave))


def _count_pairs(sequences, phones):
  """How often each (predecessor, successor) was seen; the edge is index P."""
  if not len(sequences):
    raise ValueError('no phone sequence to fit a language model to')
  pairs = np.zeros((phones + 1, phones + 1))
  for number, sequence in enumerate(map(np.asarray, sequences)):
    if not sequence.size:
      raise ValueError(f'phone sequence {number} is empty')
    if sequence.min() < 0 or sequence.max() >= phones:
      raise ValueError(f'phone sequence {number} has phones from'
                       f' {sequence.min()} to {sequence.max()}, not from 0 to'
                       f' {phones - 1}')
    chain = np.concatenate([[phones], sequence, [phones]])
    np.add.at(pairs, (chain[:-1], chain[1:]), 1)
  return pairs


def _read_path(path, states):
  path = np.ravel(path)
  path = path[path >= 0]
  if path.size and path.max() >= states:
    raise ValueError(f'state {path.max()} of a frame is not below {states}')
  return path.astype(int)


def _count_states(path, states):
  return np.bincount(path, minlength=states).astype(float)


def _starts(path):
  return np.diff(path, prepend=-1) != 0


def _check_smoothing(smoothing):
  if not 0 < smoothing < np.inf:
    raise ValueError(f'smoothing must be positive and finite, got {smoothing}')


def _log(probabilities):
  return np.log(probabilities).astype(np.float32)
