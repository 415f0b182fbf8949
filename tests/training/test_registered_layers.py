"""Students with layers of a user's own: in buckets, padded, as if alone."""

import dataclasses

import pytest
import small_family
from small_family import LABELS, SOFTENED, make_member
from user_layers import Gate, Standard

import shallow_mimic
from shallow_mimic import models
from shallow_mimic.training import family

SHAPE = (small_family.FEATURES,)


@pytest.fixture(autouse=True)
def fixture_registered():
  shallow_mimic.register(Gate, Standard)


def make_buckets(members):
  return family.make_buckets(
      members, SHAPE, small_family.CLASSES, batch=8, waste=1.0)


@pytest.mark.parametrize(('architecture', 'buckets'), [
    ('gate5-H', [8]), ('4L-H-gate5', [8]), ('H-std', [3, 8])])
def test_members_equal_students_alone(architecture, buckets):
  settings = small_family.make_settings()
  members = [
      make_member(3, architecture=architecture),
      make_member(8, LABELS, architecture=architecture, weight_decay=0.1),
      make_member(8, SOFTENED, architecture=architecture, seed=1)]
  assert [b.width for b in make_buckets(members)] == buckets
  params, losses = small_family.run_chunks(members, settings)
  for member, mine, loss in zip(members, params, losses, strict=True):
    alone, alone_loss = small_family.train_alone(
        member, small_family.make_inputs(), settings)
    small_family.assert_close(mine, alone)
    assert loss == pytest.approx(alone_loss, rel=1e-4)


def test_a_kind_registered_anew_makes_another_net():
  member = make_member(3, architecture='gate5-H')
  before = family.member_net(member, SHAPE, small_family.CLASSES)
  assert before is family.member_net(member, SHAPE, small_family.CLASSES)
  shallow_mimic.register(dataclasses.dataclass(frozen=True)(
      type('Gate', (Gate,), {'version': '2'})))
  after = family.member_net(member, SHAPE, small_family.CLASSES)
  assert models.find_registered(after.architecture) == {'gate': '2'}
  assert after != before
