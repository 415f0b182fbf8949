"""Inputs by row number: rows as they are, or frames with their neighbours.

Speech frames are kept once, and an input is a frame with the frames around
it, gathered when it is asked for: copies as wide as an input never exist.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Array = Any  # of NumPy or of JAX
# What large arrays may be stored in; they are computed with in the first.
DTYPES = ('float32', 'float16')


class Stacked:
  """Arrays [N, …] one behind the other, gathered from but never joined.

  For arrays that are mapped from disk and too large for memory.
  """

  def __init__(self, parts: Sequence[np.ndarray]):
    self.parts = [np.asarray(part) for part in parts]
    self._stops = np.cumsum([len(part) for part in parts])
    self.shape = (int(self._stops[-1]), *self.parts[0].shape[1:])
    self.dtype = np.result_type(*self.parts)
    self.nbytes = math.prod(self.shape) * self.dtype.itemsize

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, rows: np.ndarray) -> np.ndarray:
    """Rows [M, …] by their numbers, of any shape."""
    out = np.empty((*rows.shape, *self.shape[1:]), self.dtype)
    places = np.searchsorted(self._stops, rows, side='right')
    for place, part in enumerate(self.parts):
      here = places == place
      if here.any():
        out[here] = part[rows[here] - (self._stops[place] - len(part))]
    return out


class Pool(NamedTuple):
  """What inputs are gathered from; of NumPy or of JAX arrays.

  Attributes:
    x: [N, …] inputs; or frames [N, M, F], M maps (static, Δ, ΔΔ) of F bands.
    first: [N], the first row of each frame's utterance; None without context.
    last: [N], its last row.
    offsets: [W], the neighbours that an input is made of, such as -7…7.
  """

  x: Array
  first: Array | None = None
  last: Array | None = None
  offsets: Array | None = None

  @property
  def streamed(self) -> bool:
    """Whether it is left on disk: batches are gathered on the host."""
    return isinstance(self.x, Stacked)

  @property
  def input_shape(self) -> tuple[int, ...]:
    """Shape of one input that `take` gives."""
    if self.offsets is None:
      return tuple(self.x.shape[1:])
    maps, bands = self.x.shape[1:]
    return bands, len(self.offsets) * maps


def take(pool: Pool, rows: Array) -> Array:
  """The inputs of some rows, [B, …], float32; with context [B, F, W · M].

  Neighbours beyond an utterance's edge repeat its edge frame. Bands lie along
  the first axis and all else is a channel, so that a convolution goes along
  frequency.

  >>> pool = make_pool(np.arange(3.0).reshape(3, 1, 1), np.array([2, 3]), 1)
  >>> take(pool, np.array([0, 1, 2]))[:, 0]
  array([[0., 0., 1.],
         [0., 1., 1.],
         [2., 2., 2.]])
  """
  if pool.first is None or pool.last is None or pool.offsets is None:
    return _widen(pool.x[rows])
  near = rows[:, None] + pool.offsets[None]
  near = near.clip(pool.first[rows][:, None], pool.last[rows][:, None])
  window = pool.x[near]
  bands = window.shape[-1]
  return window.transpose(0, 3, 1, 2).reshape(len(rows), bands, -1)


def _widen(x: Array) -> Array:
  """What is stored in half precision is computed with in single."""
  return x.astype(np.float32) if x.dtype == np.float16 else x


def make_pool(x: np.ndarray, stops: np.ndarray | None = None,
              reach: int = 0) -> Pool:
  """A pool of rows, or of frames with `reach` neighbours on both sides.

  Args:
    x: [N, …], or frames [N, M, F].
    stops: [U], the row after the last of each utterance, rising to N; None
      for inputs that stand alone.
    reach: neighbours on each side.
  """
  if stops is None:
    return Pool(x)
  starts = np.concatenate([[0], stops[:-1]])
  lengths = stops - starts
  return Pool(
      x, np.repeat(starts, lengths).astype(np.int32),
      np.repeat(stops - 1, lengths).astype(np.int32),
      np.arange(-reach, reach + 1, dtype=np.int32),
  )


def join_pools(pools: list[Pool], counts: list[int],
               memory: float = math.inf) -> Pool:
  """The first `count` rows of each pool, one behind the other.

  They are copied into memory; more than `memory` bytes are left on disk, to be
  streamed.
  """
  stacked = Stacked([
      pool.x[:n] for pool, n in zip(pools, counts, strict=True)])
  x = np.concatenate(stacked.parts) if stacked.nbytes <= memory else stacked
  bounds, start = [], 0
  for pool, count in zip(pools, counts, strict=True):
    if pool.first is None or pool.last is None:
      return Pool(x)
    # A limit may fall inside an utterance: what is cut off is no neighbour.
    last = np.minimum(pool.last[:count], count - 1)
    bounds.append((pool.first[:count] + start, last + start))
    start += count
  first, last = (np.concatenate(part).astype(np.int32)
                 for part in zip(*bounds, strict=True))
  return Pool(x, first, last, pools[0].offsets)


def cut_pool(pool: Pool, start: int, stop: int) -> Pool:
  """Rows start to stop; with context these must be whole utterances."""
  if pool.first is None or pool.last is None:
    return Pool(pool.x[start:stop])
  rows = slice(start, stop)
  return Pool(pool.x[rows], pool.first[rows] - start,
              pool.last[rows] - start, pool.offsets)


def as_pool(inputs: Pool | Array) -> Pool:
  """A pool as it is; an array [N, …] as a pool of its rows."""
  return inputs if isinstance(inputs, Pool) else Pool(inputs)
