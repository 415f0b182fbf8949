"""Batches of inputs that stay on disk, gathered ahead of their steps.

A batch is a function of (seed, mixture, step): the host draws the same rows
that the device would, gathers them from the mapped files, and puts the window
of the next dispatch in place while the one before is at work.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shallow_mimic.data.pools import Array, Pool, take, widen
from shallow_mimic.training import family, parallel


class Data(NamedTuple):
  """All that a family trains on, on the device.

  Attributes:
    pool: what inputs are gathered from, N rows.
    labels: [N], -1 where unlabelled.
    targets: logits of every teacher in use, [T, N, C]; [1, 1, C], which no
      loss looks at, where there is none.
    rows: for each set of inputs, the rows it is made of, [I, R]; zero-filled.
    sizes: how many of these count, [I].
  """

  pool: Pool
  labels: jax.Array | np.ndarray
  targets: Array  # or `Beside`
  rows: jax.Array | np.ndarray
  sizes: jax.Array | np.ndarray


class Window(NamedTuple):
  """The batches of some steps alone, where the data are not on the device.

  Attributes:
    pool: their inputs, M rows: by stream, step and place in the batch.
    labels: [M].
    targets: [T, M, C]; [1, 1, C] without a teacher.
    starts: the first row of each stream, see `find_streams`.
    first: the step of the first batch.
  """

  pool: Pool
  labels: jax.Array | np.ndarray
  targets: jax.Array | np.ndarray
  starts: jax.Array | np.ndarray
  first: jax.Array | np.ndarray

# The most inputs and targets of one dispatch; some windows are alive at a time,
# see `WINDOWS`. Data that are in memory keep to it as well, so that the steps
# fall into the same dispatches wherever the data are.
WINDOW_BYTES = 1 << 27
_AHEAD = 2
# One at work, those that wait, and one that is being gathered.
WINDOWS = _AHEAD + 2


def find_streams(
    members: Sequence[family.Member]) -> tuple[tuple[int, str], ...]:
  """(seed, mixture) of the batches that differ: others are shared."""
  return tuple(dict.fromkeys((m.seed, m.mixture) for m in members))


def count_window_steps(members: Sequence[family.Member], data: Data,
                       batch: int) -> int:
  """The most steps of a family whose data fit in a window, at least 1."""
  row = math.prod(data.pool.input_shape) * data.pool.x.dtype.itemsize
  if has_targets(data):
    teachers, _, classes = data.targets.shape
    row += teachers * classes * data.targets.dtype.itemsize
  return max(1, WINDOW_BYTES // (len(find_streams(members)) * batch * row))


def has_targets(data: Data | Window) -> bool:
  """Whether any teacher said anything of the rows."""
  return data.targets.shape[1] > 1


def take_targets(data: Data | Window, teacher: Array, rows: Array) -> Array:
  """A teacher's logits [B, C] of some rows, float32; see `Data.targets`."""
  return widen(data.targets[teacher, rows if has_targets(data) else 0 * rows])


class Windows:
  """The windows of a family's dispatches by number; a Grain data source."""

  def __init__(self, members: Sequence[family.Member], data: Data,
               sets: Sequence[str], bounds: Sequence[tuple[int, int]], *,
               base_seed: int, batch: int, steps: int):
    """Describes the windows from `bounds`: (first, last + 1) step of each.

    Args:
      members: the family.
      data: all of the data, on the host.
      sets: names of the rows of `data.rows`.
      bounds: of each dispatch.
      base_seed: of the members' keys.
      batch: B.
      steps: of every window; those beyond a shorter dispatch go unused.
    """
    first = {(m.seed, m.mixture): m for m in reversed(members)}
    found = [first[stream] for stream in find_streams(members)]
    # The host draws: the device is busy with the window before.
    host = jax.local_devices(backend='cpu')[0]
    keys = jnp.stack([family.member_keys(base_seed, m)[1] for m in found])
    self._keys = jax.device_put(keys, host)
    self._sets = np.array([sets.index(m.mixture) for m in found])
    self._data, self._bounds = data, bounds
    self._batch, self._steps = batch, steps

  def __len__(self) -> int:
    return len(self._bounds)

  def __getitem__(self, index: int) -> Window:
    start = self._bounds[index][0]
    data, sets = self._data, self._sets
    places = np.asarray(_draw(
        self._keys, data.sizes[sets],
        np.arange(start, start + self._steps, dtype=np.int32), self._batch))
    rows = data.rows[sets[:, None, None], places].reshape(-1)
    starts = np.arange(len(sets)) * self._steps * self._batch
    targets = data.targets[:, rows] if has_targets(data) else data.targets
    return Window(
        Pool(take(data.pool, rows)), data.labels[rows], targets,
        starts.astype(np.int32), np.asarray(start, np.int32))


@functools.partial(jax.jit, static_argnums=3)
def _draw(keys, sizes, steps, batch):
  """Places [streams, steps, B]."""
  of_stream = jax.vmap(draw_places, (None, None, 0, None))
  return jax.vmap(of_stream, (0, 0, None, None))(keys, sizes, steps, batch)


def feed(windows: Windows, devices: Sequence[jax.Device]) -> Iterator[Any]:
  """The windows in order, each put on the devices ahead of its use."""
  import grain  # noqa: PLC0415  (slow to import, and only used here)

  dataset = grain.MapDataset.source(windows).map(
      lambda window: parallel.replicate(window, devices))
  iterator = iter(dataset.to_iter_dataset(
      grain.ReadOptions(num_threads=1, prefetch_buffer_size=_AHEAD)))
  try:
    yield from iterator
  finally:
    iterator.close()


def draw_places(key: jax.Array, size: jax.Array, step: jax.Array,
                batch: int) -> jax.Array:
  """Places [B] of a batch among `size` inputs: a function of key and step.

  Drawn with replacement, so that a step needs no memory of earlier ones.
  """
  return jax.random.randint(jax.random.fold_in(key, step), (batch,), 0, size)
