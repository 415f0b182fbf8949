"""Results of several speaker folds as one: every speaker is tested once.

The stages keep each test utterance's counts in `phone_errors.json` (see
`recognition`); sums of these over all folds are the pooled metrics:
  phone_accuracy, phone_nll  of the 39 classes, a frame
  per, per_silence_forgiven  phone error rates
A mean over seeds pairs nothing: each seed is pooled over the folds, then the
mean and the sample sd are taken. A seed that diverged in a fold is left out.
Differences are of means over seeds; their 95 % intervals resample utterances,
or speakers, that both nets were given.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from shallow_mimic import configs, errors
from shallow_mimic.curves.summaries import Spread, spread
from shallow_mimic.data import find_source, say_speech_sources
from shallow_mimic.speech import corpus, scoring

METRICS = ('phone_accuracy', 'phone_nll', 'per', 'per_silence_forgiven')
_ROLES = ('teacher', 'ensemble', 'student')


class Net(NamedTuple):
  """A model at one width; its seeds are joined."""

  role: str
  model: str
  objective: str
  mixture: str
  teacher: str
  architecture: str
  width: int


class Counts(NamedTuple):
  """Per test utterance: numerators by metric [seeds, U], denominators [U]."""

  seeds: tuple[int, ...]
  parts: dict[str, np.ndarray]
  wholes: dict[str, np.ndarray]


class Pooled(NamedTuple):
  """Test utterances 'speaker/sentence' of all folds, and counts by net.

  `lost` are the seeds of a net that diverged.
  """

  utterances: tuple[str, ...]
  nets: dict[Net, Counts]
  lost: dict[Net, tuple[int, ...]]


class Gain(NamedTuple):
  """net − other on one metric, over utterances and over speakers."""

  net: Net
  other: Net
  metric: str
  utterances: scoring.Difference
  speakers: scoring.Difference


def check_corpus(given: configs.Given) -> None:
  """UserError unless the data are a corpus whose speakers take turns."""
  config = configs.read_config(given)
  if not find_source(config.data).speech:
    raise errors.UserError(
        f'folds of speakers need the data source {say_speech_sources()}, not'
        f' {config.data.source!r}')
  count = config.data.speech.folds
  if count < 2:
    raise errors.UserError(
        f'config.data.speech.folds is {count}; it must be from 2 to the number'
        ' of speakers')
  for entry in corpus.find_entries(config.data.path):
    if entry.portion != 'sample':
      raise errors.UserError(
          f'{config.data.path} has the official splits of TIMIT ({entry.audio}'
          ' is in one): there are no folds to pool; use launch.run')


def choose_fold(given: configs.Given, fold: int,
                train_speakers: int) -> configs.Config:
  """A copy of the configuration for one fold."""
  config = configs.read_config(given)
  speech = dataclasses.replace(config.data.speech, fold=fold,
                               train_speakers=train_speakers)
  return dataclasses.replace(
      config, data=dataclasses.replace(config.data, speech=speech))


def join_counts(trees: Sequence[Mapping[str, Any]],
                root: os.PathLike | str) -> Pooled:
  """The counts of one finished work directory.

  Args:
    trees: what `recognition` counted, of each net.
    root: the work directory.

  Raises:
    UserError: a net was tested on other utterances than the first.
  """
  names = trees[0]['utterances']
  seeds: dict[Net, dict] = {}
  lost: dict[Net, tuple[int, ...]] = {}
  for tree in trees:
    net = tree['net']
    if tree['utterances'] != names:
      raise errors.UserError(
          f'{net["model"]} of {root} was tested on other utterances than'
          f' {trees[0]["net"]["model"]}; delete {root} and run again to make it'
          ' anew')
    key = Net(*(net[field] for field in Net._fields))
    if net.get('diverged'):
      lost[key] = (*lost.get(key, ()), net['seed'])
    else:
      seeds.setdefault(key, {})[net['seed']] = _ratios(net)
  return Pooled(tuple(names), {
      net: _stack(found) for net, found in seeds.items()}, lost)


def _ratios(net: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Numerator and denominator [U] of each metric."""
  scored, forgiven = (scoring.Errors(**{
      name: np.asarray(values) for name, values in net[kind].items()})
                      for kind in ('scored', 'forgiven'))
  frames = np.asarray(net['phone_frames'])
  return {
      'phone_accuracy': (np.asarray(net['phone_right']), frames),
      'phone_nll': (np.asarray(net['phone_nll']), frames),
      'per': (np.asarray(scored.total), np.asarray(scored.phones)),
      'per_silence_forgiven': (
          np.asarray(forgiven.total), np.asarray(forgiven.phones))}


def _stack(found: Mapping[int, Mapping[str, Any]]) -> Counts:
  seeds = tuple(sorted(found))
  return Counts(
      seeds,
      {metric: np.stack([found[seed][metric][0] for seed in seeds])
       for metric in METRICS},
      {metric: found[seeds[0]][metric][1] for metric in METRICS})


def pool(folds: Sequence[Pooled]) -> Pooled:
  """Joins folds that test different utterances with the same nets.

  Raises:
    UserError: an utterance is tested twice, or a net or seed is not in all.
  """
  names = [name for fold in folds for name in fold.utterances]
  for name in names:
    if names.count(name) > 1:
      raise errors.UserError(f'utterance {name} is tested in two folds')
  nets, lost = {}, {}
  for net in {**folds[0].nets, **folds[0].lost}:
    trained = [{*_seeds(fold, net), *fold.lost.get(net, ())} for fold in folds]
    if any(seeds != trained[0] for seeds in trained):
      raise errors.UserError(
          f'{net.model} of width {net.width} is not in all {len(folds)} folds'
          ' with the same seeds; run them with one configuration')
    kept = sorted(set.intersection(*(set(_seeds(f, net)) for f in folds)))
    lost[net] = tuple(sorted(trained[0] - set(kept)))
    if kept:
      nets[net] = _join([fold.nets[net] for fold in folds], kept)
    if lost[net]:
      logging.warning(
          '%s of width %d: left out, as they diverged in a fold: seeds %s',
          net.model, net.width, ', '.join(map(str, lost[net])))
  return Pooled(tuple(names), nets, lost)


def _seeds(fold, net):
  return fold.nets[net].seeds if net in fold.nets else ()


def _join(counts, seeds):
  """Counts of some seeds over the utterances of all folds."""
  picked = [[one.seeds.index(seed) for seed in seeds] for one in counts]
  return Counts(
      tuple(seeds),
      {metric: np.concatenate(
          [one.parts[metric][rows] for one, rows in zip(
              counts, picked, strict=True)], axis=-1) for metric in METRICS},
      {metric: np.concatenate([one.wholes[metric] for one in counts])
       for metric in METRICS})


def rates(counts: Counts, metric: str) -> list[float]:
  """A metric over all utterances, for each seed."""
  sums = counts.parts[metric].sum(1) / counts.wholes[metric].sum()
  return sums.tolist()


def score(counts: Counts, metric: str) -> Spread:
  """Mean ± sd over seeds of a metric over all utterances."""
  return spread(rates(counts, metric))


def find_pairs(nets: Sequence[Net]) -> Iterator[tuple[Net, Net]]:
  """Mimics with the same net on labels, ensembles with every net on labels."""
  students = [net for net in nets if net.role == 'student']
  plain = [net for net in students if not net.teacher]
  for net in nets:
    if net.role == 'student' and net.teacher:
      yield from ((net, other) for other in plain
                  if (net.architecture, net.width)
                  == (other.architecture, other.width))
    elif net.role == 'ensemble':
      yield from ((net, other) for other in plain)


def compare(pooled: Pooled, net: Net, other: Net, metric: str,
            seed: int) -> Gain:
  """The gain of a net over another: see `scoring.paired_bootstrap`."""
  ours, theirs = (pooled.nets[one].parts[metric].mean(0)
                  for one in (net, other))
  whole = pooled.nets[net].wholes[metric]
  people = sorted({name.partition('/')[0] for name in pooled.utterances})
  place = [people.index(name.partition('/')[0]) for name in pooled.utterances]
  by_speaker = [np.bincount(place, values) for values in (ours, theirs, whole)]
  return Gain(net, other, metric, *(
      scoring.paired_bootstrap(*values, seed=seed)
      for values in ((ours, theirs, whole), by_speaker)))


def sort_nets(nets: Iterable[Net]) -> list[Net]:
  """Teachers, ensembles, students; by model and width."""
  return sorted(nets, key=lambda net: (
      _ROLES.index(net.role), net.teacher != '', net.model, net.width, net))
