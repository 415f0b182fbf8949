"""From a folder of TIMIT to a `Dataset` of frames with their neighbours."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shallow_mimic import errors, packages
from shallow_mimic.data.dataset import Dataset, Examples, make_dataset
from shallow_mimic.data.preprocessing import (
  apply_preprocessing,
  fit_preprocessing,
)
from shallow_mimic.data.sources import timit_builder, wavs
from shallow_mimic.data.utterances import Sequences, make_sequences
from shallow_mimic.speech import (
  alignment,
  features,
  phones,
  speakers,
  waveforms,
)
from shallow_mimic.speech.corpus import Utterance

if TYPE_CHECKING:
  from shallow_mimic import configs

_MAPS = 3  # static, Δ, ΔΔ


class Frames(NamedTuple):
  """Frames [N, 123], their states [N], their utterances and folds [N]."""

  x: np.ndarray
  states: np.ndarray
  sequences: Sequences
  folds: np.ndarray


def read_speech(config: configs.Data, specs: Mapping[str, Mapping[str, Any]],
                cache_dir: os.PathLike | str) -> Dataset:
  """Frames of TIMIT as inputs, HMM states as labels.

  Args:
    config: the data configuration: `path`, `seed`, `preprocessing`, `folds`
      (of the training speakers), and `speech`: `fold` of `folds` for the
      sample's test speakers, `dev_speakers`, `train_speakers` (0: all),
      `damaged` files, and `reach`, the neighbours on each side of a frame.
    specs: transfer sets, of kind 'waveforms' or 'wavs'.
    cache_dir: where the prepared corpus is kept.

  Raises:
    UserError: whatever is wrong with the corpus or the configuration.
  """
  packages.require('speech')
  speech = config.speech
  utterances = timit_builder.read_timit(
      config.path,
      pathlib.Path(config.data_dir or cache_dir).expanduser(),
      damaged=speech.damaged)
  splits = split_utterances(utterances, speech, config.seed)
  fold_of = _speaker_folds(splits.train, config.folds)
  made = {name: make_frames(part, fold_of)
          for name, part in splits._asdict().items()}
  for name, spec in specs.items():
    made[f'transfer.{name}'] = (
        read_unlabelled(name, spec, speech.damaged,
                        (made['dev'].x, made['test'].x))
        if spec['kind'] == 'wavs' else make_views(
            splits.train, spec['views'], spec['seed'],
            fold_of))
  fitted = fit_preprocessing(config.preprocessing, made['train'].x)
  parts = {name: Examples(
      apply_preprocessing(fitted, frames.x).reshape(
          len(frames.x), _MAPS, features.STATIC), frames.states)
           for name, frames in made.items()}
  return make_dataset(
      name='timit', classes=phones.STATES, train=parts['train'],
      dev=parts['dev'], test=parts['test'],
      transfer={name: parts[f'transfer.{name}'] for name in specs},
      fitted=fitted, reach=speech.reach,
      sequences={name: frames.sequences for name, frames in made.items()},
      folds={name: frames.folds for name, frames in made.items()
             if name not in ('dev', 'test')} if config.folds else {},
      raw_dtype='float32',
  )


def split_utterances(utterances: Sequence[Utterance], speech: Any,
                     seed: int) -> speakers.Splits:
  """The official splits, or one speaker fold of the sample.

  Raises:
    UserError: see `speakers.official_splits` and `speakers.sample_splits`.
  """
  if any(one.portion != 'sample' for one in utterances):
    splits = speakers.official_splits(utterances)
  else:
    names = speakers.sample_splits(
        [one.speaker for one in utterances], speech.fold, speech.folds,
        speech.dev_speakers, seed)
    splits = speakers.split_by_speaker(utterances, names._asdict())
  known = sorted({one.speaker for one in splits.train})
  if not 0 <= speech.train_speakers <= len(known):
    raise errors.UserError(
        f'config.data.speech.train_speakers is {speech.train_speakers}; there'
        f' are {len(known)} training speakers (0: all)')
  if speech.train_speakers:
    shuffled = np.random.default_rng(seed).permutation(known)
    kept = set(shuffled[:speech.train_speakers].tolist())
    splits = splits._replace(
        train=[one for one in splits.train if one.speaker in kept])
  return splits


def make_frames(utterances: Sequence[Utterance], fold_of: Mapping[str, int],
                spec: Mapping[str, float] | None = None,
                seed: tuple[int, int] = (0, 0)) -> Frames:
  """Features and states of utterances, or of one view of each.

  Args:
    utterances: U of them.
    fold_of: fold by speaker; -1 for a speaker that it lacks.
    spec: the view, see `waveforms.make_view`; None for the sound as it is.
    seed: (seed, number of the view).
  """
  x, states = [], []
  for one in utterances:
    view = waveforms.View(one.samples, 1.0, 1.0)
    if spec:
      view = waveforms.make_view(
          one.samples, spec, waveforms.view_seed(*seed, one.name))
    x.append(features.compute_features(view.samples, warp=view.warp))
    states.append(alignment.frame_states(
        one.segments.phones, one.segments.starts, one.segments.stops,
        len(x[-1]), time_scale=view.time_scale))
  lengths = [len(part) for part in x]
  folds = [fold_of.get(one.speaker, -1) for one in utterances]
  return Frames(
      np.concatenate(x), np.concatenate(states),
      make_sequences(lengths, [one.segments.phones for one in utterances],
                     [f'{one.speaker}/{one.sentence}' for one in utterances]),
      np.repeat(folds, lengths).astype(np.int32))


def make_views(utterances: Sequence[Utterance],
               specs: Sequence[Mapping[str, float]], seed: int,
               fold_of: Mapping[str, int]) -> Frames:
  """Every view of every utterance, one view behind the other."""
  views = [make_frames(utterances, fold_of, spec, (seed, number))
           for number, spec in enumerate(specs)]
  x, states, parts, folds = zip(*views, strict=True)
  sequences = make_sequences(
      [n for part in parts for n in np.diff(part.stops, prepend=0)],
      [said for part in parts for said in part.references],
      [name for part in parts for name in part.names])
  return Frames(np.concatenate(x), np.concatenate(states), sequences,
                np.concatenate(folds))


def read_unlabelled(name: str, spec: Mapping[str, Any], damaged: str,
                    held_out: tuple[np.ndarray, ...]) -> Frames:
  """The transfer set `name` of recordings: states -1, of no fold."""
  x, sequences = wavs.read_wavs(
      name, spec['path'], size=spec['size'], damaged=damaged,
      held_out=held_out)
  nothing = np.full(len(x), -1, np.int32)
  return Frames(x, nothing, sequences, nothing)


def _speaker_folds(train: Sequence[Utterance], count: int) -> dict[str, int]:
  """Folds of the training speakers, dealt in the order of their names."""
  names = sorted({one.speaker for one in train})
  if count and not 2 <= count <= len(names):
    raise errors.UserError(
        f'config.data.folds is {count}; it must be from 2 to the {len(names)}'
        ' training speakers')
  return {name: i % count for i, name in enumerate(names)} if count else {}
