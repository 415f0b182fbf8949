"""The best path of phones through an utterance, and of states through phones.

P phones of J states each, S = J · P, state J · phone + position; `B`
utterances padded to T frames. A path enters a phone in its first state, stays
or goes on by one state per frame, and leaves from the last. Its score is

  Σ_t [log p(s_t | x_t) − prior · log p(s_t)] + Σ log p(stay or leave)
    + Σ_phones [language · log p(phone | previous) + insertion],

where the last state is left too and the end counts in the language model, but
not as a phone. Only entries look at the P × P bigram: O(P² + S) per frame.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from shallow_mimic.speech.hmm import Durations, Hmm, Weights


class Decoded(NamedTuple):
  """Best paths; the sweep's have an axis [G] before these.

  states [B, T] int32, -1 behind the end; entries [B, T] bool: the frames in
  which a phone begins, also one that follows itself; scores [B] float32. An
  utterance of fewer than J frames (or none) has no path: -1, False and -inf.
  """

  states: jax.Array
  entries: jax.Array
  scores: jax.Array


class Aligned(NamedTuple):
  """states [B, T] int32, -1 behind the end; scores [B] float32.

  The score is -inf where there is no path: then the states are a fallback.
  """

  states: jax.Array
  scores: jax.Array


def decode(logits: ArrayLike, lengths: ArrayLike, model: Hmm,
           weights: Weights) -> Decoded:
  """Viterbi decoding with one set of weights.

  Frames behind an utterance's end change nothing, whatever they hold. Of
  equal paths any may be returned. A logit NaN makes the score NaN.

  Args:
    logits: [B, T, S] from a net, denormalised, or log p(s | x): the softmax
      of either is the same.
    lengths: [B] integers from 0 to T; 0 for utterances that fill up a batch.
    model: `Hmm` of the same S.
    weights: `Weights` of scalars; new values compile nothing anew.

  Raises: ValueError where shapes or lengths do not fit.
  """
  logits, lengths = _check(logits, lengths, model)
  return _decode(logits, lengths, model, _as_float32(weights, ()))


def decode_sweep(logits: ArrayLike, lengths: ArrayLike, model: Hmm,
                 weights: Weights) -> Decoded:
  """`decode` for each point of `weights`, [G] each, point by point."""
  logits, lengths = _check(logits, lengths, model)
  shape = (np.size(weights.language),)
  return _sweep(logits, lengths, model, _as_float32(weights, shape))


def align(logits: ArrayLike, lengths: ArrayLike, phones: ArrayLike,
          counts: ArrayLike, model: Hmm, *, prior: ArrayLike = 1.0) -> Aligned:
  """Forced alignment: the best state of each frame for known phones.

  Every phone passes all its J states. The score is that of `decode` without
  language model and insertion penalty. Where there are fewer frames than
  states, frames are spread evenly, frame t in the ⌊t · states / frames⌋-th.

  Args:
    logits: [B, T, S], and lengths and model, as for `decode`.
    lengths: [B].
    model: `Hmm`.
    phones: [B, N] integers in order; those behind `counts` are ignored.
    counts: [B] integers from 0 to N.
    prior: weight of the log priors.

  Raises: ValueError where shapes, lengths or counts do not fit.
  """
  logits, lengths = _check(logits, lengths, model)
  said, known = jnp.asarray(phones), jnp.asarray(counts)
  frames = jnp.shape(lengths)
  if said.shape[:-1] != known.shape or known.shape != frames:
    raise ValueError(f'phones must be [B, N] and counts [B], got {said.shape}'
                     f' and {known.shape} for lengths {frames}')
  _check_range('counts', known, said.shape[1])
  return _align(logits, lengths, said, known, model,
                jnp.asarray(prior, jnp.float32))


def collect_phones(decoded: Decoded, states_per_phone: int) -> list[list[int]]:
  """The phones of each utterance, on the host, from results [B, T].

  >>> path = Decoded(np.array([[0, 0, 0, 1, -1]]),
  ...                np.array([[True, False, True, True, False]]), None)
  >>> collect_phones(path, states_per_phone=1)
  [[0, 0, 1]]
  """
  states, entries = np.asarray(decoded.states), np.asarray(decoded.entries)
  return [(path[entered] // states_per_phone).tolist()
          for path, entered in zip(states, entries, strict=True)]


@jax.jit
def _decode(logits, lengths, model, weights):
  return _decode_batch(jax.nn.log_softmax(logits), lengths, model, weights)


@jax.jit
def _sweep(logits, lengths, model, weights):
  log_posteriors = jax.nn.log_softmax(logits)
  return jax.lax.map(
      lambda w: _decode_batch(log_posteriors, lengths, model, w), weights)


def _decode_batch(log_posteriors, lengths, model, weights):
  emissions = log_posteriors - (weights.prior * model.priors)[None, None]
  return jax.vmap(_decode_one, (0, 0, None, None))(
      emissions, lengths, model, weights)


def _decode_one(emissions, length, model, weights):
  """Emissions [T, S] of one utterance."""
  phones, alive = len(model.language.start), jnp.arange(len(emissions)) < length

  def by_phone(x):
    return jnp.reshape(x, (*x.shape[:-1], phones, -1))

  emissions = by_phone(emissions)
  durations = Durations(*map(by_phone, model.durations))
  positions = emissions.shape[-1]
  start, jump, stop = (weights.language * part for part in model.language)
  start, jump = start + weights.insertion, jump + weights.insertion

  first = jnp.pad((start + emissions[0, :, 0])[:, None],
                  ((0, 0), (0, positions - 1)), constant_values=-jnp.inf)
  def step(scores, now):
    emission, alive = now
    left = scores + durations.leave
    entry = jnp.max(left[:, -1:] + jump, 0)
    arrive = jnp.concatenate([entry[:, None], left[:, :-1]], 1)
    remain = scores + durations.stay
    new = emission + jnp.maximum(arrive, remain)
    return jnp.where(alive, new, scores), ((arrive > remain) & alive,
                                           left[:, -1])
  last, (moved, exits) = jax.lax.scan(step, first, (emissions[1:], alive[1:]))
  ends = last[:, -1] + durations.leave[:, -1] + stop
  phone = jnp.argmax(ends)

  path, entries = _trace_phones(phone, moved, exits, jump, positions)
  enough = length >= positions
  return Decoded(jnp.where(alive & enough, path, -1), entries & alive & enough,
                 jnp.where(enough, ends[phone], -jnp.inf))


def _trace_phones(phone, moved, exits, jump, positions):
  """The path that ends in `phone`: states [T], entries [T].

  Which phone was left is found anew on the path alone, from the scores of
  leaving, exits [T - 1, P]: cheaper than pointers [T, P] everywhere.
  """
  into = jump.T
  def back(place, now):
    (phone, position), (moved, exits) = place, now
    moved = moved[phone, position]
    entered = moved & (position == 0)
    origin = jnp.argmax(exits + into[phone])
    before = (jnp.where(entered, origin, phone),
              jnp.where(entered, positions - 1, position - moved))
    return before, (phone * positions + position, entered)
  (phone, position), (states, entries) = jax.lax.scan(
      back, (phone, positions - 1), (moved, exits), reverse=True)
  states = jnp.concatenate([(phone * positions + position)[None], states])
  return states, jnp.concatenate([jnp.ones(1, bool), entries])


@jax.jit
def _align(logits, lengths, phones, counts, model, prior):
  emissions = jax.nn.log_softmax(logits) - (prior * model.priors)[None, None]
  positions = len(model.priors) // len(model.language.start)
  chains = phones[..., None] * positions + jnp.arange(positions)[None, None]
  chains = jnp.clip(chains.reshape(len(phones), -1), 0, len(model.priors) - 1)
  return jax.vmap(_align_one, (0, 0, 0, 0, None))(
      emissions, lengths, chains, counts * positions, model.durations)


def _align_one(emissions, length, chain, count, durations):
  """Emissions [T, S], the states in order [N · J], of which `count` count."""
  frames, links = len(emissions), jnp.arange(len(chain))
  stay, leave = (jnp.asarray(part)[chain] for part in durations)
  emissions, alive = emissions[:, chain], jnp.arange(frames) < length

  first = jnp.where(links == 0, emissions[0], -jnp.inf)
  def step(scores, now):
    emission, alive = now
    arrive = jnp.pad((scores + leave)[:-1], (1, 0), constant_values=-jnp.inf)
    remain = scores + stay
    new = emission + jnp.maximum(arrive, remain)
    return jnp.where(alive, new, scores), (arrive > remain) & alive
  last, moved = jax.lax.scan(step, first, (emissions[1:], alive[1:]))

  def back(link, moved):
    return (link - moved[link], link)

  link, path = jax.lax.scan(back, count - 1, moved, reverse=True)
  path = jnp.concatenate([link[None], path])
  enough = (count > 0) & (length >= count)
  even = jnp.arange(frames) * count // jnp.maximum(length, 1)
  states = chain[jnp.where(enough, path, even)]
  return Aligned(
      jnp.where(alive & (count > 0), states, -1),
      jnp.where(enough, (last + leave)[count - 1], -jnp.inf))


def _check(logits, lengths, model):
  """Logits as float32 and lengths as arrays, once they fit."""
  logits, lengths = jnp.asarray(logits, jnp.float32), jnp.asarray(lengths)
  states, phones = len(model.priors), len(model.language.start)
  if states % phones:
    raise ValueError(f'{states} states are no multiple of {phones} phones')
  if (logits.ndim != 3 or logits.shape[1:] != (logits.shape[1] or 1, states)
      or lengths.shape != logits.shape[:1]):
    raise ValueError(f'logits must be [B, T > 0, {states}] and lengths [B], got'
                     f' {logits.shape} and {lengths.shape}')
  _check_range('lengths', lengths, logits.shape[1])
  return logits, lengths


def _check_range(name, values, top):
  if not isinstance(values, jax.core.Tracer) and not np.all(
      (0 <= np.asarray(values)) & (np.asarray(values) <= top)):
    raise ValueError(f'{name} must be from 0 to {top}, got {values}')


def _as_float32(weights, shape):
  weights = Weights(*(jnp.asarray(weight, jnp.float32) for weight in weights))
  if any(weight.shape != shape for weight in weights):
    raise ValueError(f'weights must have the shape {shape} each, got'
                     f' {", ".join(str(weight.shape) for weight in weights)}')
  return weights
