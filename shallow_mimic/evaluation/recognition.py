"""Phones recognised from nets' logits: decoder chosen on dev, test once.

Stages call `score_phones`, which adds metrics and facts to each record where
the data have utterances; on dev and test, fractions unless said otherwise:
  per                    phone error rate (S + D + I) / N over the split, `q`
                         deleted, silence scored: what the weights minimise
  per_silence_forgiven   the same paths scored by the other convention
  substitutions, deletions, insertions   the parts of `per`
  phone_accuracy         frames whose class of 39 is right: that with the
                         greatest sum of posteriors over its states. Frames
                         and states of `q`, which has no class, are left out
  phone_nll              −log of the right class's share of that sum, nats

`phone_errors.json` lies beside the record, for whoever pools folds or
resamples utterances: {'utterances': [U] names 'speaker/sentence' of test,
'net': its record's `identity` and lists [U]}. The sums of these are the
metrics' numerators and denominators:
  scored, forgiven   dicts of substitutions, deletions, insertions, phones
  frames, right, nll   of states: frames, hits, sum of −log p in nats
  phone_frames, phone_right, phone_nll   of the 39 classes
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.utterances import Sequences
from shallow_mimic.evaluation.records import RECORD, Record
from shallow_mimic.speech import hmm, phones, scoring, viterbi

FILE = 'phone_errors.json'
# What is tried on dev, all points for each net. A bigram of few transcripts
# deserves little weight: 0.5 was best after 72 utterances.
GRID = hmm.Weights.grid(
    language=(0.25, 0.5, 1.0, 2.0, 4.0), insertion=(-4.0, -2.0, -1.0, 0.0, 1.0),
    prior=(0.4, 0.7, 1.0))
_CONFUSIONS = 30  # Kept in a record.
# Utterances decoded together, and what their frames are rounded up to: few
# shapes are few compilations.
_TOGETHER, _ROUND = 32, 64

# Hypotheses, or references: the phones of each utterance.
Phones = Sequence[scoring.Phones]


def score_phones(records: Sequence[Record], dataset: Dataset,
                 predict: Callable[[int, str], np.ndarray],
                 ) -> list[dict[str, Any]]:
  """What is kept of each record: JSON trees by the names of their files.

  The record alone where the data have no utterances; else with its phone
  metrics, and the counts of `phone_errors.json`.

  Args:
    records: the final records of nets.
    dataset: see the module.
    predict: logits [N, C] of the net of record i on 'dev' or 'test', not
      normalised.
  """
  if 'train' not in dataset.sequences:
    return [{RECORD: record.to_json()} for record in records]
  model, found = fit_decoder(dataset), []
  for index, record in enumerate(records):
    scored, counts = _score_one(
        record, dataset, model,
        {split: predict(index, split) for split in ('dev', 'test')})
    found.append({RECORD: scored.to_json(), FILE: {
        'utterances': list(dataset.sequences['test'].names),
        'net': record.identity | counts}})
  return found


def _score_one(record: Record, dataset: Dataset, model: hmm.Hmm,
               logits: dict[str, np.ndarray]) -> tuple[Record, dict[str, Any]]:
  """The record with its phone metrics, and the counts on test."""
  weights = choose_weights(logits['dev'], dataset.sequences['dev'], model)
  values = dict(record.metrics)
  for split, part in (('dev', dataset.dev), ('test', dataset.test)):
    sequences = dataset.sequences[split]
    [found] = decode(logits[split], sequences, model, weights)
    counts = {**count_phones(sequences.references, found),
              **count_frames(logits[split], part.y, sequences.stops)}
    values[split] = {**values[split], **make_metrics(counts)}
  return dataclasses.replace(
      record, metrics=values,
      language_weight=np.asarray(weights.language).item(),
      insertion_penalty=np.asarray(weights.insertion).item(),
      prior_scale=np.asarray(weights.prior).item(),
      confusions=list_confusions(sequences.references, found)), counts


def fit_decoder(dataset: Dataset) -> hmm.Hmm:
  """Bigram, priors and durations of the training split."""
  sequences = dataset.sequences['train']
  paths = np.split(np.asarray(dataset.train.y), sequences.stops[:-1])
  return hmm.fit_hmm(sequences.references, paths, phones=len(phones.PHONES),
                     states=phones.STATES)


def choose_weights(logits: np.ndarray, sequences: Sequences, model: hmm.Hmm,
                   grid: hmm.Weights = GRID) -> hmm.Weights:
  """The point of the grid with the fewest phone errors, as a grid of one.

  Of equal points the first.

  Args:
    logits: [N, C] on dev.
    sequences: the utterances of dev.
    model: see `fit_decoder`.
    grid: `Weights` of [G] each.
  """
  totals = [
      np.sum(scoring.count_each(sequences.references, found).total)
      for found in decode(logits, sequences, model, grid)]
  best = int(np.argmin(totals))
  return hmm.Weights(*(np.asarray(axis)[best:best + 1] for axis in grid))


def decode(logits: np.ndarray, sequences: Sequences, model: hmm.Hmm,
           grid: hmm.Weights) -> Sequence[Phones]:
  """The phones found in each utterance, for each point of a grid.

  None are found where logits are NaN, or in fewer frames than a phone has
  states.

  Args:
    logits: [N, C], not normalised.
    sequences: the utterances that the N rows are.
    model: see `fit_decoder`.
    grid: `Weights` of [G] each.
  """
  points = np.size(grid.language)
  found: list[list[scoring.Phones]] = [
      [[] for _ in sequences.stops] for _ in range(points)]
  for which, block, lengths in _batches(logits, sequences):
    paths = jax.device_get(viterbi.decode_sweep(block, lengths, model, grid))
    for point in range(points):
      one = viterbi.Decoded(*(part[point] for part in paths))
      texts = viterbi.collect_phones(one, phones.STATES_PER_PHONE)
      for place, index in enumerate(which):
        if np.isfinite(one.scores[place]):
          found[point][index] = texts[place]
  return found


def count_phones(references: Phones, found: Phones) -> dict[str, Any]:
  """`scored` and `forgiven` of the file: counts [U] by kind."""
  kinds = dict(zip(('scored', 'forgiven'), scoring.CONVENTIONS, strict=True))
  return {kind: {name: values.tolist() for name, values in scoring.count_each(
      references, found, convention)._asdict().items()}
          for kind, convention in kinds.items()}


def count_frames(logits: np.ndarray, labels: np.ndarray,
                 stops: np.ndarray) -> dict[str, list]:
  """The file's counts of frames, of states and of classes, [U] each.

  Args:
    logits: [N, 183].
    labels: [N] states.
    stops: [U], the row after the last of each utterance.
  """
  logits, rows = np.asarray(logits, np.float64), np.arange(len(labels))
  broken = np.isnan(logits).any(-1)  # These frames count as wrong.
  scores = np.exp(logits - logits.max(-1, keepdims=True))
  members = phones.CLASS_OF_STATE[:, None] == np.arange(len(phones.CLASSES))
  classes = phones.classes_of_states(labels)
  kept = classes != phones.DELETED
  sums = scores @ members
  values = {
      'frames': np.ones(len(labels), int),
      'right': (logits.argmax(-1) == labels) & ~broken,
      'nll': _surprise(scores, labels, rows),
      'phone_frames': kept,
      'phone_right': kept & (sums.argmax(-1) == classes) & ~broken,
      'phone_nll': np.where(kept, _surprise(sums, classes, rows), 0),
  }
  starts = np.concatenate([[0], stops[:-1]])
  return {name: np.add.reduceat(
      value if value.dtype == float else value.astype(int), starts).tolist()
          for name, value in values.items()}


def make_metrics(counts: dict[str, Any]) -> dict[str, float]:
  """The metrics of a split from the counts of its utterances."""
  scored = scoring.Errors(**counts['scored'])
  forgiven = scoring.Errors(**counts['forgiven'])
  parts = {name: float(np.sum(getattr(scored, name)) / np.sum(scored.phones))
           for name in ('substitutions', 'deletions', 'insertions')}
  frames = np.sum(counts['phone_frames'])
  return {
      'per': scored.rate, 'per_silence_forgiven': forgiven.rate, **parts,
      'phone_accuracy': float(np.sum(counts['phone_right']) / frames),
      'phone_nll': float(np.sum(counts['phone_nll']) / frames)}


def list_confusions(references: Phones, found: Phones) -> list[list]:
  """[reference, hypothesis, count] of what was wrong, most first."""
  names = [*phones.CLASSES, '']
  table = scoring.tabulate_confusions(references, found)
  wrong = [[names[i], names[j], int(table[i, j])]
           for i, j in zip(*np.nonzero(table), strict=True) if i != j]
  return sorted(wrong, key=lambda row: (-row[2], row[:2]))[:_CONFUSIONS]


def _surprise(scores, labels, rows):
  """The −log of the label's share of each row's sum, of scores [N, C]."""
  share = scores[rows, labels] / scores.sum(-1)
  return -np.log(np.maximum(share, np.finfo(float).tiny))


def _batches(
    logits: np.ndarray, sequences: Sequences,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
  """Utterances of about one length together: (which, [B, T, C], lengths)."""
  lengths = np.diff(sequences.stops, prepend=0)
  order = np.argsort(lengths, kind='stable')
  size = min(_TOGETHER, len(order))
  for start in range(0, len(order), size):
    which = order[start:start + size]
    frames = -(-lengths[which].max() // _ROUND) * _ROUND
    block = np.zeros((size, frames, logits.shape[-1]), np.float32)
    for place, index in enumerate(which):
      first, last = sequences.starts[index], sequences.stops[index]
      block[place, :last - first] = logits[first:last]
    # Those that fill the last batch up have no frames.
    yield which, block, np.pad(lengths[which], (0, size - len(which)))
