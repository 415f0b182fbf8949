"""Buckets of a family: padding within bounds, least work, equal members."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
import small_family as small

from shallow_mimic import models
from shallow_mimic.training import chunks, family

SHAPE, CLASSES = (small.FEATURES,), small.CLASSES


def work_of(member, batch):
  return batch * models.count_multiply_adds(
      family.member_net(member, SHAPE, CLASSES))


def contiguous_partitions(items):
  for cuts in itertools.product([False, True], repeat=len(items) - 1):
    runs = [[items[0]]]
    for item, cut in zip(items[1:], cuts, strict=True):
      runs.append([item]) if cut else runs[-1].append(item)
    yield runs


def cheapest(members, batch, waste, overhead):
  """Cost of the best partition, by looking at all of them."""
  widths = sorted({m.width for m in members})
  costs = []
  for runs in contiguous_partitions(widths):
    total, fits = 0, True
    for run in runs:
      inside = [work_of(m, batch) for m in members if m.width in run]
      padded = len(inside) * max(inside)
      fits &= 1 - sum(inside) / padded <= waste
      total += padded + overhead
    if fits:
      costs.append(total)
  return min(costs)


def make_buckets(members, **options):
  return family.make_buckets(
      members, SHAPE, CLASSES, **({'batch': 8, 'waste': 0.25} | options))


@pytest.mark.parametrize('waste', [0.0, 0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize('overhead', [0, 300, 3000, 500_000])
def test_buckets_are_the_best_that_keep_to_the_waste(waste, overhead):
  rng = np.random.default_rng(0)
  for _ in range(5):
    members = [small.make_member(int(w), seed=i)
               for i, w in enumerate(rng.integers(1, 40, 7))]
    buckets = make_buckets(members, waste=waste, overhead=overhead)
    cost = 0
    for bucket in buckets:
      real = [work_of(members[i], 8) for i in bucket.indices]
      padded = len(real) * 8 * models.count_multiply_adds(bucket.net)
      share = 1 - sum(real) / padded
      assert share <= waste
      assert bucket.waste == pytest.approx(share, abs=1e-12)
      assert bucket.width == max(members[i].width for i in bucket.indices)
      cost += padded + overhead
    assert cost == cheapest(members, 8, waste, overhead)
    indices = sorted(i for bucket in buckets for i in bucket.indices)
    assert indices == list(range(len(members)))


def test_no_waste_gives_a_bucket_to_each_width():
  members = [small.make_member(w, seed=i)
             for i, w in enumerate((5, 3, 17, 5, 4))]
  buckets = make_buckets(members, waste=0.0, overhead=10**12)
  assert [b.width for b in buckets] == [3, 4, 5, 17]
  assert [b.indices for b in buckets] == [(1,), (4,), (0, 3), (2,)]


def test_only_equal_nets_share_a_bucket():
  base = small.make_member(5)
  members = [
      base, dataclasses.replace(base, architecture='H'),
      dataclasses.replace(base, net_options=(('activation', 'tanh'),)),
      dataclasses.replace(base, objective=small.LABELS, teacher='', seed=4),
  ]
  buckets = make_buckets(members, waste=1.0)
  assert [b.indices for b in buckets] == [(0, 3), (1,), (2,)]


def test_a_fixed_layer_as_wide_as_a_bucket_is_never_masked():
  members = [small.make_member(width, architecture='8-H')
             for width in (3, 5, 8, 9)]

  def indices(them):
    return [
        b.indices for b in make_buckets(them, waste=0.9, overhead=10**9)]

  assert indices(members[:3]) == [(0, 1), (2,)]
  assert indices(members) == [(0, 1, 2, 3)]


def test_teachers_have_no_width():
  member = dataclasses.replace(small.make_member(0), architecture='7-6')
  bucket, = make_buckets([member])
  assert bucket.width == 0 and str(bucket.net.architecture) == '7-6'
  assert family.make_unit_mask(0, 0).shape == (0,)


@pytest.mark.parametrize(('count', 'width', 'batch', 'platform', 'group'), [
    (6, 10**6, 128, 'gpu', 6), (6, 10, 8, 'cpu', 6),
    (6, 996, 100, 'cpu', 3),  # 4 fit, each with 4 of a bottleneck; 3 divides 6
    (7, 996, 100, 'cpu', 4),  # only 1 divides 7: a remainder is better
    (6, 10**6, 128, 'cpu', 1)])  # not even one fits
def test_choose_group(count, width, batch, platform, group):
  net = family.member_net(small.make_member(width), SHAPE, CLASSES)
  bucket = family.Bucket(net, width, tuple(range(count)), 0.0)
  assert chunks.choose_group(bucket, batch, platform) == group


def init_all(members, waste):
  params = [None] * len(members)
  for bucket in make_buckets(members, waste=waste):
    packed = family.init_bucket(bucket, members, 7, SHAPE, CLASSES)
    for place, index in enumerate(bucket.indices):
      params[index] = family.unpad_member(
          bucket, members, place, packed, SHAPE, CLASSES), jax.tree.map(
              lambda leaf, place=place: leaf[place], packed)
  return params


def test_members_start_as_their_own_nets_padded_with_zeros():
  members = small.mixed_family()
  for member, (own, padded) in zip(
      members, init_all(members, 1.0), strict=True):
    key, _ = family.member_keys(7, member)
    want = family.member_net(member, SHAPE, CLASSES).init(key)
    small.assert_close(own, want, rtol=1e-6)

    def total(tree):
      return sum(np.count_nonzero(x) for x in jax.tree.leaves(tree))

    assert total(padded) == total(own)


def test_first_parameters_do_not_depend_on_the_rest_of_the_family():
  members = small.mixed_family()
  more = [small.make_member(11), *members, small.make_member(3, seed=9)]
  want = [own for own, _ in init_all(members, 0.0)]
  got = [own for own, _ in init_all(more, 1.0)]
  small.assert_same(got[1:-1], want)


def test_keys_differ_where_they_should():
  def data(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())

  def keys(width, seed, base):
    return tuple(map(data, family.member_keys(
        base, small.make_member(width, seed=seed))))

  (init, batches) = keys(3, 0, 0)
  assert init != batches
  assert keys(17, 0, 0)[0] != init and keys(17, 0, 0)[1] == batches
  for seed, base in ((1, 0), (0, 1)):
    other = keys(3, seed, base)
    assert other[0] != init and other[1] != batches


def test_unit_mask():
  np.testing.assert_array_equal(family.make_unit_mask(2, 5), [1, 1, 0, 0, 0])


def test_only_logit_regression_is_normalised():
  assert small.LOGITS.normalized
  assert not small.SOFTENED.normalized
