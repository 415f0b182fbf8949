"""Sets of inputs by name: what a net trains on, in words and in rows.

`train+views+generated[:4000]` is the training split, the transfer set `views`
and the first 4,000 inputs of the transfer set `generated`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from shallow_mimic import errors
from shallow_mimic.data.dataset import Dataset, Examples

_PART = re.compile(r'([A-Za-z0-9_-]+?)(?:\[:(\d+)\])?')


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


def parse_inputs(text: str, known: Mapping[str, int]) -> list[Part]:
  """The parts of `text`, checked against the sets and sizes of `known`.

  Raises:
    UserError: it cannot be read, names an unknown set, one twice, or more
      inputs than there are.
  """
  parts = []
  for word in text.split('+'):
    match = _PART.fullmatch(word)
    if not match:
      raise errors.UserError(
          f'inputs {text!r}: cannot read {word!r}; write sets as'
          ' train+views+generated[:4000]'
      )
    name, limit = match[1], match[2] and int(match[2])
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


def make_layout(texts: Iterable[str], known: Mapping[str, int]) -> Layout:
  """The smallest layout that holds all of the inputs named."""
  needed: dict[str, int] = {}
  for text in texts:
    for name, limit in parse_inputs(text, known):
      wanted = known[name] if limit is None else limit
      needed[name] = max(needed.get(name, 0), wanted)
  return Layout(tuple((name, needed[name]) for name in known if name in needed))


def layout_rows(text: str, layout: Layout,
                known: Mapping[str, int]) -> np.ndarray:
  """The rows of a layout that `text` names, int32."""
  starts, start = {}, 0
  for name, count in layout.sets:
    starts[name] = start
    start += count
  return np.concatenate([
      starts[name] + np.arange(limit or known[name], dtype=np.int32)
      for name, limit in parse_inputs(text, known)
  ])


def gather(dataset: Dataset, layout: Layout) -> Examples:
  """The examples of a layout, one behind the other."""
  sets = known_sets(dataset)
  return Examples(
      np.concatenate([sets[name].x[:count] for name, count in layout.sets]),
      np.concatenate([sets[name].y[:count] for name, count in layout.sets]),
  )
