"""Labels by forced alignment: what was said is known, when is found anew.

Hand-timed phones are cut into three states of equal length, which no
speaker keeps to. A round trains one net on the labels that there are, and takes
as new labels the best path through each training utterance's own phones, by
Viterbi. Dev and test keep the labels that were timed by hand.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from shallow_mimic import configs, evaluation, models, training
from shallow_mimic.data import mixtures, pools, store
from shallow_mimic.data.dataset import Dataset, split_name
from shallow_mimic.data.utterances import Sequences
from shallow_mimic.runs import files, workdir
from shallow_mimic.speech import hmm, phones, viterbi
from shallow_mimic.teachers import train
from shallow_mimic.training import family, kept_nets, make_settings, rounds
from shallow_mimic.training.kept_nets import Wanted


def make_aligner(config: configs.Config,
                 ) -> tuple[family.Member, training.Settings]:
  """The net that finds labels anew, and how it trains: one of a group.

  It trains on all of the group's inputs: it labels no student's targets.
  """
  name = aligner_group(config)
  group = config.teachers[name]
  member = train.make_members(name, group)[0]
  return (dataclasses.replace(member, mixture=group.inputs),
          make_settings(config, group))


def aligner_group(config: configs.Config) -> str:
  """The group named, or else the only one."""
  return config.data.speech.aligner or next(iter(config.teachers))

CHANGES = 'changes.json'
# Utterances at a time: bounds the memory that logits take.
_UTTERANCES = 32
# Paddings are multiples of these, so that few shapes are compiled.
_FRAMES, _PHONES = 128, 32


def want_aligner(config: configs.Config, number: int,
                 dataset: Dataset) -> Wanted:
  """The net of a round, with its folder and what it is made from.

  Args:
    config: the configuration.
    number: the round's, from 1.
    dataset: with the labels so far.
  """
  member, settings = make_aligner(config)
  return Wanted(
      f'realignments/{number}/net', member, kept_nets.describe_net(
          member, settings, mixtures.identify_data(dataset, [member.mixture])))


def plan_aligner(number: int, dataset: Dataset,
                 settings: training.Settings) -> rounds.Work:
  """How the net of a round is trained; see `want_aligner`."""
  return rounds.plan_work(
      f'realign {number}', functools.partial(
          training.gather_family_data, dataset=dataset, targets={},
          memory=settings.memory), settings)


def write_labels(directory: pathlib.Path, net: models.Net, params: Any,
                 dataset: Dataset) -> dict[str, str]:
  """Writes the labels that a net finds, and what changed; their digests.

  Args:
    directory: the folder of the round's labels.
    net: the aligner.
    params: its parameters.
    dataset: with the labels so far.
  """
  train = dataset.sequences['train']
  model = hmm.fit_hmm(
      train.references, np.split(dataset.train.y, train.stops[:-1]),
      phones=len(phones.PHONES), states=phones.STATES)
  digests, changes = {}, {}
  for name in labelled_sets(dataset):
    pool = mixtures.set_pool(dataset, name)
    before = mixtures.known_sets(dataset)[name].y
    after = align_utterances(
        functools.partial(_predict_part, net, params, pool),
        mixtures.set_sequences(dataset, name), model)
    files.write_array(directory / f'{name}.npy', after)
    digests[name] = files.digest_array(after)
    changes[name] = float(np.mean(after != before))
  files.write_json(directory / CHANGES, changes)
  return digests


def labelled_sets(dataset: Dataset) -> list[str]:
  """`train`, and the transfer sets that have labels."""
  return [name for name, part in mixtures.known_sets(dataset).items()
          if (part.y >= 0).all()]


def _predict_part(net: models.Net, params: Any, pool: pools.Pool, start: int,
                  stop: int) -> np.ndarray:
  return evaluation.predict(net, params, pools.cut_pool(pool, start, stop))


def align_utterances(logits_of: Callable[[int, int], np.ndarray],
                     sequences: Sequences, model: hmm.Hmm) -> np.ndarray:
  """The best states [N] of all frames, given what was said.

  Args:
    logits_of: of rows start to stop, [stop − start, S].
    sequences: U utterances over N rows, with reference phones.
    model: of S states.
  """
  bounds = np.concatenate([[0], sequences.stops])
  said, paths = sequences.references, []
  for first in range(0, len(said), _UTTERANCES):
    part = bounds[first:first + _UTTERANCES + 1]
    logits = np.split(logits_of(part[0], part[-1]), part[1:-1] - part[0])
    states = viterbi.align(
        _pad(logits, _FRAMES), np.diff(part),
        _pad(said[first:first + _UTTERANCES], _PHONES),
        np.array([len(one) for one in said[first:first + _UTTERANCES]]),
        model).states
    paths += [path[:n] for path, n in zip(
        np.asarray(states), np.diff(part), strict=True)]
  return np.concatenate(paths).astype(np.int32)


def _pad(parts: list[np.ndarray], multiple: int) -> np.ndarray:
  """[n, …] each, filled up with 0 to one length, a multiple, and stacked."""
  length = max(-(-len(part) // multiple) for part in parts) * multiple
  out = np.zeros((len(parts), length, *parts[0].shape[1:]), parts[0].dtype)
  for row, part in zip(out, parts, strict=True):
    row[:len(part)] = part
  return out


def read_dataset(config: configs.Config, root: pathlib.Path,
                 rounds_done: int | None = None) -> Dataset:
  """The data set of a work directory, mapped from disk.

  Args:
    config: the configuration.
    root: the work directory.
    rounds_done: rounds of realignment, the labels of the last of which are
      wanted; None for all.
  """
  workdir.require(root / 'data', 'data')
  count = config.data.speech.realign if rounds_done is None else rounds_done
  dataset = store.read_dataset(root / 'data')
  for number in range(1, count + 1):
    folder = labels_folder(root, number)
    workdir.require(folder, 'teachers', say_origin(root, want_aligner(
        config, number, dataset), dataset))
    dataset = read_labels(folder, dataset)
  return dataset


def labels_folder(root: pathlib.Path, number: int) -> pathlib.Path:
  """Where the labels of a round lie."""
  return root / 'realignments' / str(number) / 'labels'


def say_origin(root: pathlib.Path, aligner: Wanted,
               dataset: Dataset) -> dict[str, Any]:
  """What the labels of a round are made from."""
  return {'net': kept_nets.require_net(root, aligner).identity,
          'data': mixtures.identify_data(
              dataset, labelled_sets(dataset), splits=())}


def read_labels(directory: pathlib.Path, dataset: Dataset) -> Dataset:
  """The data set with the labels of a finished round, found in its folder."""
  labels = {name: files.read_array(directory / f'{name}.npy')
            for name in labelled_sets(dataset)}

  def relabel(name, part):
    return part._replace(y=labels[name]) if name in labels else part

  digests = dict(dataset.digests)
  for name, found in labels.items():
    split = split_name(name)
    digests[split] = files.digest_json(
        [digests[split], files.digest_array(found)])
  return dataclasses.replace(
      dataset, train=relabel('train', dataset.train),
      transfer={name: relabel(name, part)
                for name, part in dataset.transfer.items()},
      digests=digests)
