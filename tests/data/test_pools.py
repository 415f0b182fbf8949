"""Pools: an input is its row, or its frame among its neighbours."""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shallow_mimic.data import pools
from shallow_mimic.data.pools import (
  Beside,
  Pool,
  Stacked,
  as_pool,
  join_pools,
  make_pool,
  take,
)
from shallow_mimic.runs import files

LENGTHS = (5, 1, 9, 3)


def make_frames(seed=0, maps=3, bands=4):
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(sum(LENGTHS), maps, bands)).astype(np.float32)
  return x, np.cumsum(LENGTHS)


def gather_by_hand(x, stops, reach):
  """[N, F, W · M], one utterance and one frame after another."""
  out, start = [], 0
  for stop in stops:
    for row in range(start, stop):
      near = [x[min(max(row + d, start), stop - 1)]
              for d in range(-reach, reach + 1)]
      out.append(np.concatenate(near, axis=0).T)
    start = stop
  return np.stack(out)


@pytest.mark.parametrize('reach', [0, 1, 2, 7])
def test_neighbours_stay_within_their_utterance(reach):
  x, stops = make_frames()
  pool = make_pool(x, stops, reach)
  want = gather_by_hand(x, stops, reach)
  assert pool.input_shape == want.shape[1:] == (4, (2 * reach + 1) * 3)
  rows = np.arange(len(x))
  np.testing.assert_array_equal(take(pool, rows), want)
  some = np.array([17, 0, 5, 5, 14])
  on_device = jax.tree.map(jnp.asarray, pool)
  np.testing.assert_array_equal(
      jax.jit(take)(on_device, jnp.asarray(some)), want[some])


def test_rows_without_context_are_the_rows():
  x = np.arange(12.0).reshape(4, 3)
  pool = make_pool(x)
  assert pool.input_shape == (3,)
  np.testing.assert_array_equal(take(pool, np.array([2, 2, 0])), x[[2, 2, 0]])
  assert as_pool(pool) is pool
  assert as_pool(x) == Pool(x)


def test_joined_pools_give_what_each_gave():
  """The limit of the second falls inside an utterance: it ends there."""
  (a, stops_a), (b, stops_b) = make_frames(1), make_frames(2)
  joined = join_pools(
      [make_pool(a, stops_a, 2), make_pool(b, stops_b, 2)], [len(a), 10])
  want = np.concatenate([
      gather_by_hand(a, stops_a, 2), gather_by_hand(b[:10], [5, 6, 10], 2)])
  np.testing.assert_array_equal(take(joined, np.arange(len(a) + 10)), want)
  plain = join_pools([make_pool(a), make_pool(b)], [2, 1])
  np.testing.assert_array_equal(plain.x, [a[0], a[1], b[0]])


def make_parts(dtype=np.float32):
  return [(np.arange(n * 6).reshape(n, 2, 3) + 10 * n).astype(dtype)
          for n in (4, 1, 7)]


@pytest.mark.parametrize('held', [1, 100, 1 << 26])
def test_stacked_is_as_if_joined(monkeypatch, held):
  monkeypatch.setattr(pools, '_HELD_BYTES', held)
  stacked, joined = Stacked(make_parts()), np.concatenate(make_parts())
  assert (stacked.shape, stacked.dtype, stacked.nbytes, len(stacked)) == (
      joined.shape, joined.dtype, joined.nbytes, 12)
  rows = np.random.default_rng(0).integers(12, size=(5, 9))
  np.testing.assert_array_equal(stacked[rows], joined[rows])
  np.testing.assert_array_equal(stacked[np.array([3, 4, 5, 11, 0])],
                                joined[[3, 4, 5, 11, 0]])
  np.testing.assert_array_equal(stacked.join(), joined)
  for count in (0, 3, 4, 6, 12, 20):
    head = stacked.head(count)
    assert len(head) == min(count, 12)
    np.testing.assert_array_equal(head.join(), joined[:count])


def test_parts_of_two_types_are_of_the_wider():
  parts = [make_parts(np.float16)[0], make_parts()[1]]
  stacked = Stacked(parts)
  assert stacked.dtype == stacked.join().dtype == np.float32
  assert Stacked(make_parts(np.float16)).join().dtype == np.float16


def test_beside_is_as_if_it_were_one_array():
  first, second = np.concatenate(make_parts()), Stacked(make_parts()[::-1])
  beside, joined = Beside([first, second]), np.stack([first, second.join()])
  assert (beside.shape, beside.dtype, beside.nbytes) == (
      joined.shape, joined.dtype, joined.nbytes)
  rows = np.array([11, 0, 4, 4])
  np.testing.assert_array_equal(beside[:, rows], joined[:, rows])
  np.testing.assert_array_equal(beside.join(), joined)


def test_what_is_joined_is_not_copied_to_the_cpu():
  joined = Stacked(make_parts()).join()
  device = jax.device_put(joined, jax.devices('cpu')[0])
  assert device.unsafe_buffer_pointer() == joined.ctypes.data
  for shape in ((), (0,), (3,), (5, 7)):
    made = pools.make_empty(shape, np.float16)
    assert made.shape == shape and made.dtype == np.float16
    assert not made.size or made.ctypes.data % 64 == 0


def read_mapped(path):
  """How much of a mapped file is in this process' memory, in kB."""
  text = pathlib.Path('/proc/self/smaps').read_text(encoding='utf-8')
  lines = iter(text.splitlines())
  for line in lines:
    if line.endswith(str(path)):
      return next(int(line.split()[1]) for line in lines
                  if line.startswith('Rss:'))
  raise AssertionError(f'{path} is not mapped')


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_what_was_read_of_a_file_does_not_stay_in_memory(tmp_path):
  path = tmp_path / 'x.npy'
  np.save(path, np.ones((1000, 500), np.float32))
  x = files.read_array(path, mmap=True)
  rows = np.arange(0, 1000, 2)
  uses = [lambda: take(Pool(x), rows), lambda: Stacked([x])[rows],
          lambda: Stacked([x]).join(), lambda: files.digest_array(x),
          lambda: Beside([x, x])[:, rows]]
  assert x[rows].sum() == 500 * 500 and read_mapped(path) > 1900
  for use in uses:
    use()
    assert read_mapped(path) < 100
  assert x[rows].sum() == 500 * 500  # It is read again.
