"""Pools: an input is its row, or its frame among its neighbours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shallow_mimic.data.pools import Pool, as_pool, join_pools, make_pool, take

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
