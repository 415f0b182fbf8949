"""What a family trains on: where it lies, and how its logits are scaled."""

import dataclasses

import numpy as np
import pytest

from shallow_mimic import losses, training
from shallow_mimic.data.dataset import Examples, make_dataset
from shallow_mimic.data.pools import Beside, Stacked
from shallow_mimic.runs import files
from shallow_mimic.training import family_data
from shallow_mimic.training.family import Member
from shallow_mimic.training.objectives import Objective

TRAIN, VIEWS, FEATURES, CLASSES = 50, 100, 4, 3
MIMIC = Member('SNN', 'H', 3, 0, 0.1, Objective('logit_regression'),
               'train+views[:80]', 'A')
LABELS = dataclasses.replace(
    MIMIC, objective=Objective('cross_entropy'), mixture='train', teacher='')
INPUTS, TARGETS = (TRAIN + 80) * FEATURES * 4, (TRAIN + 80) * CLASSES * 4


def make_data():
  rng = np.random.default_rng(0)

  def part(count):
    return Examples(rng.normal(size=(count, FEATURES)).astype(np.float32),
                    rng.integers(0, CLASSES, count).astype(np.int32))

  return make_dataset(
      name='toy', classes=CLASSES, train=part(TRAIN), dev=part(9),
      test=part(9), transfer={'views': part(VIEWS)})


def make_targets(folder=None, dtype=np.float32):
  """Logits of one teacher, in memory or mapped from disk in parts."""
  rng = np.random.default_rng(1)
  targets = {name: (5 * rng.normal(size=(count, CLASSES)) + 3).astype(dtype)
             for name, count in (('train', TRAIN), ('views', VIEWS))}
  targets['views'][:, 1] = 7.25  # A class that never varies in a set.
  if not folder:
    return {'A': targets}
  for name, logits in targets.items():
    for place, part in enumerate(np.split(logits, [20, 30])):
      files.write_array(folder / f'{name}{place}.npy', part)
  return {'A': {name: Stacked([
      files.read_array(folder / f'{name}{place}.npy', mmap=True)
      for place in range(3)]) for name in targets}}


@pytest.mark.parametrize('memory, streamed', [
    (INPUTS + TARGETS, False), (INPUTS + TARGETS - 1, True), (INPUTS, True)])
def test_inputs_and_targets_are_streamed_together(tmp_path, memory, streamed):
  got = training.gather_family_data(
      [MIMIC, LABELS], make_data(), make_targets(tmp_path), memory)
  assert got.data.pool.streamed is streamed
  assert isinstance(got.data.targets, Beside if streamed else np.ndarray)
  want = training.gather_family_data(
      [MIMIC, LABELS], make_data(), make_targets())
  rows = np.array([0, 129, 19, 20, 50, 50])
  np.testing.assert_array_equal(
      got.data.targets[:, rows], want.data.targets[:, rows])
  np.testing.assert_array_equal(got.data.pool.x[rows], want.data.pool.x[rows])


@pytest.mark.parametrize('memory', [np.inf, 0])
def test_nets_on_labels_alone_have_no_targets(memory):
  """Whoever else may be taught."""
  for targets in ({}, make_targets()):
    got = training.gather_family_data([LABELS], make_data(), targets, memory)
    assert got.data.targets.shape == (1, 1, CLASSES)
  # They count nothing towards what fits in memory.
  room = training.gather_family_data(
      [LABELS], make_data(), {}, TRAIN * FEATURES * 4)
  assert not room.data.pool.streamed


@pytest.mark.parametrize('memory', [np.inf, 0])
def test_caches_in_half_precision_stay_so(memory):
  """Where some rows are not labelled, too."""
  targets = make_targets(dtype=np.float16)
  del targets['A']['train']
  got = training.gather_family_data(
      [dataclasses.replace(MIMIC, mixture='views'), LABELS], make_data(),
      targets, memory)
  assert got.data.targets.dtype == np.float16
  assert np.isnan(got.data.targets[:, np.arange(TRAIN)]).all()


def fit(targets, memory=np.inf):
  got = training.gather_family_data([MIMIC], make_data(), targets, memory)
  normalizer = got.normalizers['A', MIMIC.mixture]
  alone = training.fit_normalizer(MIMIC, make_data(), targets)
  for ours, theirs in zip(normalizer, alone, strict=True):
    np.testing.assert_array_equal(ours, theirs)
  return [np.asarray(part) for part in normalizer]


@pytest.mark.parametrize('whole', [True, False])
def test_normalizers_are_the_same_wherever_the_logits_are(
    tmp_path, monkeypatch, whole):
  if not whole:
    monkeypatch.setattr(family_data, '_WHOLE_BYTES', 0)
    monkeypatch.setattr(family_data, '_ROWS', 7)
  want = fit(make_targets())
  for memory in (np.inf, 0):
    for ours, theirs in zip(fit(make_targets(tmp_path), memory), want,
                            strict=True):
      np.testing.assert_array_equal(ours, theirs)
  logits = np.concatenate([
      make_targets()['A']['train'], make_targets()['A']['views'][:80]])
  np.testing.assert_allclose(want[0], logits.mean(0, np.float64), rtol=1e-6)
  np.testing.assert_allclose(want[1], logits.std(0, np.float64), rtol=1e-5)


def test_some_rows_at_a_time_is_what_fit_gives(monkeypatch):
  whole = fit(make_targets())
  monkeypatch.setattr(family_data, '_WHOLE_BYTES', 0)
  targets = make_targets()
  for ours, theirs in zip(fit(targets), whole, strict=True):
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=2e-6)
  # A class that never varies has its value and 1, to the last bit.
  targets['A']['train'][:, 1] = 7.25
  for constants in (fit(targets), losses.LogitNormalizer.fit(
      targets['A']['views'])):
    assert (constants[0][1], constants[1][1]) == (7.25, 1)
