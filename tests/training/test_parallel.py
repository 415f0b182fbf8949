"""Four simulated devices give what one gives; what cannot be split is told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_family as small

from shallow_mimic import errors
from shallow_mimic.training import chunks, parallel, step

STEPS = 5


def make_case(count=3, **changes):
  members = [small.make_member(3), small.make_member(8, small.SOFTENED, seed=1),
             small.make_member(5, seed=2), small.make_member(8, seed=3),
             small.make_member(8, seed=4)][:count]
  return members, small.make_settings(STEPS, **changes)


@pytest.mark.parametrize('count', [1, 5])
def test_a_split_family_is_the_family(count):
  """One member on four devices; five, so that shares are uneven."""
  members, settings = make_case(count)
  _, split = make_case(count, devices=4, split='family')
  got, want = (small.run_chunks(members, s) for s in (split, settings))
  small.assert_close(got, want)


def test_a_split_batch_is_the_batch():
  members, settings = make_case()
  _, split = make_case(devices=4, split='batch')
  got, want = (small.run_chunks(members, s) for s in (split, settings))
  small.assert_close(got, want)


def test_a_batch_split_without_the_average_is_not_the_batch():
  """Negative control: devices that do not talk train on their own part."""
  members, settings = make_case(1)
  want, _ = small.run_chunks(members, settings)
  program = small.make_program(members, settings)
  devices = parallel.choose_devices(4)
  results = []
  for average in (parallel.average, lambda tree: tree):
    update = step.make_update_fn(
        program.buckets[0].net, [small.LOGITS], settings.recipe,
        shard=parallel.make_shard(4), average=average)
    chunk = parallel.make_batch_split(
        chunks.make_chunk_fn([update], [1]), devices)
    states, means = chunk(*parallel.replicate(
        (program.states, program.hypers, program.data), devices),
        np.int32(0), np.int32(STEPS))
    results.append(small.split_up(program, members, states, means)[0])
  averaged, alone = results
  small.assert_close(averaged, want)
  apart = jax.tree.map(lambda a, b: np.abs(a - b).max(), alone, want)
  assert min(jax.tree.leaves(apart)) > 1e-3


@pytest.mark.parametrize('split', ['family', 'batch'])
def test_selection_on_four_devices(split):
  members, settings = make_case(5 if split == 'family' else 3)
  _, spread = make_case(len(members), devices=4, split=split)
  results = []
  for each in (settings, spread):
    program = small.make_program(members, each)
    states, values = program.select(
        jax.tree.map(jnp.copy, program.states), program.hypers, *program.dev,
        np.int32(3))
    state, = program.placement.join(states)
    results.append((program.placement.join(values)[0], state.best_step))
  small.assert_close(*results)
  assert len(results[0][0]) == len(members)


@pytest.mark.parametrize('count', [1, 3, 4, 5, 8])
def test_members_are_split_and_joined(count):
  tree = {'a': jnp.arange(count * 2).reshape(count, 2),
          'key': jax.random.split(jax.random.key(0), count)}
  split = parallel.split_members(tree, 4)
  share = -(-count // 4)
  assert split['a'].shape == (4, share, 2)
  flat = split['a'].reshape(-1, 2)
  np.testing.assert_array_equal(flat[:count], tree['a'])
  np.testing.assert_array_equal(
      flat[count:], np.tile(tree['a'][-1], (4 * share - count, 1)))
  joined = parallel.join_members(split, count)
  np.testing.assert_array_equal(joined['a'], tree['a'])
  assert (joined['key'] == tree['key']).all()


@pytest.mark.parametrize(('split', 'count', 'lies'), [
    ('', 1, {(3, 2), (5, 2)}), ('batch', 4, {(3, 2), (5, 2)}),
    ('family', 4, {(4, 1, 2), (4, 2, 2)})])
def test_what_is_placed_is_joined_again(split, count, lies):
  devices = jax.devices()[:count]
  placement = parallel.Placement(devices, split, [3, 5])
  trees = [{'a': np.arange(2 * n).reshape(n, 2)} for n in (3, 5)]
  placed = placement.place(trees)
  assert {tree['a'].shape for tree in placed} == lies
  assert {d for tree in placed for d in tree['a'].devices()} == set(devices)
  jax.tree.map(np.testing.assert_array_equal, placement.join(placed), trees)
  double = placement.wrap(lambda states, hypers: (
      jax.tree.map(lambda leaf: 2 * leaf, states)))
  jax.tree.map(lambda one, two: np.testing.assert_array_equal(2 * one, two),
               trees, placement.join(double(placed, placed)))


def test_shards_are_the_batch():
  rows = jnp.arange(12)
  shard = jax.pmap(lambda _: parallel.make_shard(4)(rows),
                   axis_name=parallel.AXIS)
  np.testing.assert_array_equal(
      shard(np.arange(4)), np.arange(12).reshape(4, 3))


def test_no_more_devices_than_members_in_a_bucket():
  members, settings = make_case(5, devices=4, split='family')
  most = max(len(b.indices) for b in small.make_program(
      members, settings).buckets)
  program = small.make_program(members, settings)
  assert program.placement.devices == jax.devices()[:most]
  alone, _ = make_case(1)
  program = small.make_program(alone, settings)
  assert program.placement.devices == jax.devices()[:1]
  _, batch = make_case(devices=4, split='batch')
  assert small.make_program(
      alone, batch).placement.devices == jax.devices()


def test_choose_devices():
  assert parallel.choose_devices(0) == jax.devices()
  assert parallel.choose_devices(3) == jax.devices()[:3]
  with pytest.raises(errors.UserError) as error:
    parallel.choose_devices(5)
  assert str(error.value) == (
      'parallel.devices=5, but this machine has 4 cpu device(s); ask for fewer,'
      ' or for 0 (all)')


@pytest.mark.parametrize(('split', 'message'), [
    ('rows', "unknown parallel.split 'rows'; known: family, batch"),
    ('batch', 'a batch of 10 cannot be split over 4 devices; choose a multiple,'
     ' or parallel.split=family')])
def test_what_cannot_be_split(split, message):
  members, settings = make_case(1, batch=10, devices=4, split=split)
  with pytest.raises(errors.UserError) as error:
    small.make_program(members, settings)
  assert str(error.value) == message


def test_what_can_be_split():
  parallel.check_split('batch', 12, 4)
  parallel.check_split('family', 10, 4)
