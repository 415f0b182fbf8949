"""Sets of inputs by name: what a net trains on, in words and in rows.

`train+views+generated[:4000]` is the training split, the transfer set `views`
and the first 4,000 inputs of the transfer set `generated`. A `!2` at the end
leaves out what comes from fold 2 of the training split, views of it included.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from shallow_mimic import errors
from shallow_mimic.data.dataset import Dataset, Examples, folds_key, split_name
from shallow_mimic.data.pools import Pool, Stacked, join_pools
from shallow_mimic.data.utterances import Sequences

# A teacher's cached logits by set: [N, C] of the set's first N inputs.
Targets: TypeAlias = Mapping[str, np.ndarray | Stacked]

_PART = re.compile(r'([A-Za-z0-9_-]+?)(?:\[:(\d+)\])?')
_FOLD = re.compile(r'(.*)!(\d+)')


class Part(NamedTuple):
  """The first `limit` inputs of a set; all of them for None."""

  name: str
  limit: int | None


class Layout(NamedTuple):
  """The order in which sets stand behind each other: (name, rows) each."""

  sets: tuple[tuple[str, int], ...]

  @property
  def rows(self) -> int:
    """How many rows there are in all."""
    return sum(count for _, count in self.sets)


def split_fold(text: str) -> tuple[str, int | None]:
  """The sets of `text`, and the fold that it leaves out.

  >>> split_fold('train+views!2'), split_fold('train')
  (('train+views', 2), ('train', None))
  """
  match = _FOLD.fullmatch(text)
  return (match[1], int(match[2])) if match else (text, None)


def set_names(text: str) -> tuple[str, ...]:
  """The names of the sets, without limits and fold.

  >>> set_names('train+generated[:4000]!2')
  ('train', 'generated')
  """
  return tuple(word.partition('[')[0]
               for word in split_fold(text)[0].split('+'))


def parse_inputs(text: str, known: Mapping[str, int]) -> list[Part]:
  """The parts of `text`, checked against the sets and sizes of `known`.

  Raises:
    UserError: it cannot be read, names an unknown set, one twice, or more
      inputs than there are.
  """
  parts: list[Part] = []
  for word in split_fold(text)[0].split('+'):
    match = _PART.fullmatch(word)
    if not match:
      raise errors.UserError(
          f'inputs {text!r}: cannot read {word!r}; write sets as'
          ' train+views+generated[:4000]'
      )
    name, limit = match[1], int(match[2]) if match[2] else None
    if name not in known:
      raise errors.UserError(
          f'inputs {text!r}: there is no set {name!r}; known:'
          f' {", ".join(known)}'
      )
    if limit is not None and not 0 < limit <= known[name]:
      raise errors.UserError(
          f'inputs {text!r}: {name!r} has {known[name]} inputs, not {limit}'
      )
    if name in [part.name for part in parts]:
      raise errors.UserError(f'inputs {text!r}: {name!r} stands there twice')
    parts.append(Part(name, limit))
  return parts


def known_sets(dataset: Dataset) -> dict[str, Examples]:
  """The training split and the transfer sets, by the names inputs use."""
  return {'train': dataset.train, **dataset.transfer}


def set_sizes(dataset: Dataset) -> dict[str, int]:
  """How many inputs each set has."""
  return {name: len(part.y) for name, part in known_sets(dataset).items()}


def set_pool(dataset: Dataset, name: str) -> Pool:
  """What the inputs of a set are gathered from."""
  return dataset.pool(split_name(name))


def set_folds(dataset: Dataset, name: str) -> np.ndarray:
  """The fold that each input of a set comes from, [N]; -1 for none."""
  found = dataset.folds.get(split_name(name))
  if found is not None:
    return found
  return np.full(set_sizes(dataset)[name], -1, np.int32)


def set_sequences(dataset: Dataset, name: str) -> Sequences:
  """The utterances of a set; KeyError where its inputs stand alone."""
  return dataset.sequences[split_name(name)]


def identify_data(dataset: Dataset, texts: Iterable[str],
                  splits: Iterable[str] = ('dev',)) -> dict[str, Any]:
  """What a net depends on that trains on some mixtures: a JSON tree.

  Sets that it does not train on, and folds that it does not leave out, are no
  part of it. What of a set the mixture takes is said by its text.

  Args:
    dataset: the data.
    texts: the mixtures.
    splits: what the net is looked at with.

  Returns:
    `classes`; the digests of `train`, `transfer.NAME` and the splits, and as
    `folds.SET` those of the folds of sets that a fold is left out of.

  Raises:
    UserError: a mixture cannot be read, or names an unknown set.
  """
  wanted, known = list(splits), set_sizes(dataset)
  for text in texts:
    names = [split_name(name) for name, _ in parse_inputs(text, known)]
    wanted += names
    if split_fold(text)[1] is not None:
      wanted += [folds_key(name) for name in names if name in dataset.folds]
  return {'classes': dataset.classes,
          **{key: dataset.digests[key] for key in wanted}}


def make_layout(texts: Iterable[str], known: Mapping[str, int]) -> Layout:
  """The smallest layout that holds all of the inputs named."""
  needed: dict[str, int] = {}
  for text in texts:
    for name, limit in parse_inputs(text, known):
      wanted = known[name] if limit is None else limit
      needed[name] = max(needed.get(name, 0), wanted)
  return Layout(tuple((name, needed[name]) for name in known if name in needed))


def end_utterances(layout: Layout, dataset: Dataset) -> Layout:
  """The layout with utterances to their ends, where a limit falls inside one.

  So the last frames within the limit have the neighbours that they have in
  the whole set, whatever other limits there are.
  """
  def end(name: str, count: int) -> int:
    last = set_pool(dataset, name).last
    return count if last is None else int(last[count - 1]) + 1

  return Layout(tuple((name, end(name, count)) for name, count in layout.sets))


def layout_rows(text: str, layout: Layout, dataset: Dataset) -> np.ndarray:
  """The rows of a layout that `text` names, int32.

  Raises:
    UserError: the fold that it leaves out is none, or all.
  """
  starts, start, known = {}, 0, set_sizes(dataset)
  for name, count in layout.sets:
    starts[name] = start
    start += count
  _, fold = split_fold(text)
  parts, origins = [], []
  for name, limit in parse_inputs(text, known):
    count = limit or known[name]
    parts.append(starts[name] + np.arange(count, dtype=np.int32))
    origins.append(set_folds(dataset, name)[:count])
  rows, folds = np.concatenate(parts), np.concatenate(origins)
  if fold is None:
    return rows
  if fold not in folds or np.all(folds == fold):
    raise errors.UserError(
        f'inputs {text!r}: fold {fold} is none of theirs, or all of them; the'
        f' data have {max(folds) + 1} folds (config.data.folds)'
    )
  return rows[folds != fold]


def count_inputs(text: str, dataset: Dataset) -> int:
  """How many inputs `text` names."""
  layout = make_layout([text], set_sizes(dataset))
  return len(layout_rows(text, layout, dataset))


def gather(dataset: Dataset, layout: Layout,
           memory: float = math.inf) -> tuple[Pool, np.ndarray]:
  """The pool and the labels [N] of a layout, one set behind the other.

  Inputs of more than `memory` bytes are left on disk, to be streamed.
  """
  sets, counts = known_sets(dataset), [count for _, count in layout.sets]
  pool = join_pools(
      [set_pool(dataset, name) for name, _ in layout.sets], counts, memory)
  return pool, np.concatenate(
      [sets[name].y[:count] for name, count in layout.sets])
