"""Inputs by row number: rows as they are, or frames with their neighbours.

Speech frames are kept once, and an input is a frame with the frames around
it, gathered when it is asked for: copies as wide as an input never exist.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from shallow_mimic.runs import files

Array = Any  # of NumPy or of JAX
# What large arrays may be stored in; they are computed with in the first.
DTYPES = ('float32', 'float16')


# The most of a file that is left in memory while it is gathered from.
_HELD_BYTES = 1 << 26
_ALIGNMENT = 64


def make_empty(shape: tuple[int, ...],
               dtype: np.typing.DTypeLike) -> np.ndarray:
  """An array that a CPU takes for its own: `jax.device_put` does not copy it.

  What it holds must not change after that.
  """
  size = math.prod(shape) * np.dtype(dtype).itemsize
  room = np.empty(size + _ALIGNMENT, np.uint8)
  start = -room.ctypes.data % _ALIGNMENT
  return room[start:start + size].view(dtype).reshape(shape)


class Stacked:
  """Arrays [N, …] one behind the other, gathered from but never joined.

  For arrays that are mapped from disk and too large for memory: little of them
  is in memory at a time.
  """

  def __init__(self, parts: Sequence[np.ndarray]):
    self.parts = [np.asarray(part) for part in parts]
    self.shape = (sum(map(len, self.parts)), *self.parts[0].shape[1:])
    self.dtype = np.result_type(*self.parts)
    self.nbytes = math.prod(self.shape) * self.dtype.itemsize

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, rows: np.ndarray) -> np.ndarray:
    """Rows [M, …] by their numbers, of any shape."""
    out = make_empty((rows.size, *self.shape[1:]), self.dtype)
    self.gather(rows.reshape(-1), out)
    return out.reshape(*rows.shape, *self.shape[1:])

  def gather(self, rows: np.ndarray, out: np.ndarray) -> None:
    """Writes rows [M] by their numbers to `out`, [M, …]."""
    order = np.argsort(rows, kind='stable')
    rows = rows[order]  # So that every page is read once.
    for start, block in self._blocks():
      low, high = np.searchsorted(rows, (start, start + len(block)))
      if low < high:
        out[order[low:high]] = block[rows[low:high] - start]
        files.release(block)

  def join(self, out: np.ndarray | None = None) -> np.ndarray:
    """All of it in memory, written to `out` if that is given."""
    out = make_empty(self.shape, self.dtype) if out is None else out
    for start, block in self._blocks():
      out[start:start + len(block)] = block
      files.release(block)
    return out

  def head(self, count: int) -> Stacked:
    """The first `count` rows, or all that there are."""
    parts, left = [], count
    for part in self.parts:
      parts.append(part[:left])
      left -= len(parts[-1])
    return Stacked([part for part in parts if len(part)] or parts[:1])

  def _blocks(self) -> Iterator[tuple[int, np.ndarray]]:
    """Some rows at a time, with the number of the first."""
    start, row = 0, math.prod(self.shape[1:]) * self.dtype.itemsize
    size = max(1, _HELD_BYTES // max(1, row))
    for part in self.parts:
      for low in range(0, len(part), size):
        yield start + low, part[low:low + size]
      start += len(part)


class Beside:
  """Arrays [N, …] one beside the other, as if one [T, N, …]; never joined."""

  def __init__(self, arrays: Sequence[np.ndarray | Stacked]):
    self.arrays = [as_stacked(array) for array in arrays]
    self.shape = (len(self.arrays), *self.arrays[0].shape)
    self.dtype = np.result_type(*(array.dtype for array in self.arrays))
    self.nbytes = math.prod(self.shape) * self.dtype.itemsize

  def __getitem__(self, key: tuple[slice, np.ndarray]) -> np.ndarray:
    """`[:, rows]`: rows [T, M, …] by their numbers [M]."""
    _, rows = key
    out = make_empty((self.shape[0], len(rows), *self.shape[2:]), self.dtype)
    for array, part in zip(self.arrays, out, strict=True):
      array.gather(rows, part)
    return out

  def join(self) -> np.ndarray:
    """All of it in memory."""
    out = make_empty(self.shape, self.dtype)
    for array, part in zip(self.arrays, out, strict=True):
      array.join(part)
    return out


def as_stacked(array: np.ndarray | Stacked) -> Stacked:
  """A stack as it is; an array as a stack of one."""
  return array if isinstance(array, Stacked) else Stacked([array])


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
    found = widen(pool.x[rows])
    files.release(pool.x)
    return found
  near = rows[:, None] + pool.offsets[None]
  near = near.clip(pool.first[rows][:, None], pool.last[rows][:, None])
  window = pool.x[near]
  files.release(pool.x)
  bands = window.shape[-1]
  return window.transpose(0, 3, 1, 2).reshape(len(rows), bands, -1)


def widen(x: Array) -> Array:
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
  x = stacked.join() if stacked.nbytes <= memory else stacked
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
