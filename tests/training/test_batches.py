"""Streamed inputs: the same batches, the same bits, also after a kill."""

import functools
import threading

import jax
import numpy as np
import pytest
import small_family as small

from shallow_mimic.data import pools
from shallow_mimic.data.pools import Beside, Stacked
from shallow_mimic.training import batches, fit
from shallow_mimic.training import program as programs
from shallow_mimic.training.step import make_batch_rows

STEPS, EVERY = 26, 20  # Dispatches of two steps; the last look after six.
MEMBERS = (
    small.make_member(3),
    small.make_member(5, small.LABELS, mixture='train', learning_rate=0.3),
    small.make_member(3, seed=1, teacher='DNN'),
    small.make_member(5, small.LABELS, seed=1),
)


class KilledError(Exception):
  """What stands for a kill."""


def make_settings(**changes):
  return small.make_settings(
      STEPS, eval_every=EVERY, save_seconds=0.0, optimizer='adam', **changes)


def streamed(inputs):
  """The same inputs and targets in pieces that are never joined."""
  def cut(x):
    return Stacked([x[:13], x[13:20], x[20:]])

  data = inputs.data
  targets = data.targets
  if batches.has_targets(data):
    targets = Beside([cut(theirs) for theirs in targets])
  return inputs._replace(data=data._replace(
      pool=data.pool._replace(x=cut(data.pool.x)), targets=targets))


@functools.cache
def compiled(settings):
  return programs.make_program(MEMBERS, small.make_inputs(), settings)


def make_program(_, inputs, settings):
  """A program compiled once, with states that may be given away."""
  program = compiled(settings)
  return program._replace(
      states=jax.tree.map(lambda x: x.copy(), program.states),
      data=None if inputs.data.pool.streamed else program.data)


@pytest.fixture(autouse=True)
def fixture_program_once(monkeypatch):
  monkeypatch.setattr(fit, 'make_program', make_program)


def run(directory, inputs, **changes):
  return fit.fit(MEMBERS, inputs, make_settings(**changes), directory,
                 stage='students')


def make_windows(bounds, steps, members=MEMBERS, inputs=None):
  inputs = inputs or streamed(small.make_inputs())
  return batches.Windows(members, inputs.data, inputs.sets, bounds,
                         base_seed=0, batch=8, steps=steps)


def test_streamed_frames_have_their_neighbours():
  x = np.random.default_rng(0).normal(size=(12, 3, 2)).astype(np.float32)
  parts = [pools.make_pool(x[:5], np.array([2, 5]), 2),
           pools.make_pool(x[5:], np.array([3, 7]), 2)]
  joined, left = (pools.join_pools(parts, [5, 6], memory=memory)
                  for memory in (np.inf, 0))
  assert (joined.streamed, left.streamed) == (False, True)
  assert joined.input_shape == left.input_shape
  rows = np.array([0, 4, 5, 10, 7])
  np.testing.assert_array_equal(
      pools.take(left, rows), pools.take(joined, rows))


def test_a_window_holds_the_batches_of_its_steps():
  """Against the rows that each member draws for itself on the device."""
  inputs = small.make_inputs()
  window = make_windows([(0, 2), (5, 8)], 3)[1]
  program = compiled(make_settings())
  for bucket, hypers in zip(program.buckets, program.hypers, strict=True):
    for place in range(len(bucket.indices)):
      hyper = jax.tree.map(lambda leaf, place=place: leaf[place], hypers)
      for step in (5, 6, 7):
        here = make_batch_rows(hyper, window, step, 8)
        there = np.asarray(make_batch_rows(
            hyper, inputs.data, step, 8))
        np.testing.assert_array_equal(
            window.pool.x[here], inputs.data.pool.x[there])
        np.testing.assert_array_equal(
            window.labels[here], inputs.data.labels[there])
        np.testing.assert_array_equal(
            window.targets[:, here], inputs.data.targets[:, there])


def test_members_of_one_seed_and_set_share_their_batches():
  members = [small.make_member(width, seed=seed, mixture=text)
             for width in (3, 5) for seed in (0, 1) for text in small.SETS]
  assert len(batches.find_streams(members)) == 4
  window = make_windows([(0, 2)], 2, members)[0]
  assert len(window.labels) == 4 * 2 * 8


@pytest.mark.parametrize('changes', [
    {}, {'devices': 4}, {'devices': 4, 'split': 'batch'}], ids=str)
def test_streamed_ends_with_the_same_bits(tmp_path, changes):
  inputs = small.make_inputs()
  want = run(tmp_path / 'resident', inputs, **changes)
  got = run(tmp_path / 'streamed', streamed(inputs), **changes)
  small.assert_same(got, want)


def replace_targets(inputs, targets):
  return inputs._replace(data=inputs.data._replace(targets=targets))


def test_a_family_on_labels_carries_no_targets(tmp_path, monkeypatch):
  """As if they were zeros, which no loss looks at."""
  monkeypatch.setattr(fit, 'make_program', programs.make_program)
  monkeypatch.setattr(batches, 'WINDOW_BYTES', 10 ** 4)
  members = [one for one in MEMBERS if not one.teacher]
  inputs, (zeros, none) = small.make_inputs(), (
      np.zeros((1, rows, small.CLASSES), np.float32)
      for rows in (small.ROWS, 1))
  none = replace_targets(inputs, none)
  results = [
      fit.fit(members, each, make_settings(), tmp_path / str(i), stage='')
      for i, each in enumerate((
          replace_targets(inputs, zeros), none, streamed(none)))]
  small.assert_same(*results[:2])
  small.assert_same(*results[1:])
  window = make_windows([(0, 2)], 2, members, streamed(none))[0]
  assert window.targets.shape == (1, 1, small.CLASSES)
  for data in (none.data, window):
    np.testing.assert_array_equal(
        batches.take_targets(data, 0, np.array([0, 17])),
        np.zeros((2, small.CLASSES)))


def test_targets_stay_in_half_precision_until_they_are_used(
    tmp_path, monkeypatch):
  monkeypatch.setattr(fit, 'make_program', programs.make_program)
  inputs = small.make_inputs()
  half = replace_targets(inputs, inputs.data.targets.astype(np.float16))
  whole = replace_targets(half, half.data.targets.astype(np.float32))
  program = programs.make_program(MEMBERS, half, make_settings())
  assert program.data.targets.dtype == np.float16
  assert make_windows([(0, 2)], 2, MEMBERS, streamed(half))[
      0].targets.dtype == np.float16
  results = [run(tmp_path / str(i), each)
             for i, each in enumerate((whole, half, streamed(half)))]
  small.assert_same(*results[:2])
  small.assert_same(*results[1:])


def test_killed_while_streaming_ends_with_the_same_bits(tmp_path, monkeypatch):
  inputs = small.make_inputs()
  want = run(tmp_path / 'resident', inputs)
  original, made = fit.checkpoints.write_checkpoint, iter(range(100))

  def write(*args, **options):
    original(*args, **options)
    if next(made) in (3, 4, 11):
      raise KilledError

  monkeypatch.setattr(fit.checkpoints, 'write_checkpoint', write)
  kills, got = 0, None
  while got is None:
    try:
      got = run(tmp_path / 'streamed', streamed(inputs))
    except KilledError:
      kills += 1
  assert kills == 3
  small.assert_same(got, want)
  readers = [thread for thread in threading.enumerate()
             if 'grain' in thread.name]
  for thread in readers:  # told to stop; one may be at its last window
    thread.join(timeout=20)
  assert not [thread.name for thread in readers if thread.is_alive()]


def test_dispatches_are_the_same_wherever_the_data_are(tmp_path, monkeypatch):
  """A small window parts the steps more finely, for resident data too."""
  inputs, seen = small.make_inputs(), []
  bytes_a_step = 3 * 8 * (small.FEATURES + 2 * small.CLASSES) * 4
  assert batches.count_window_steps(
      MEMBERS, inputs.data, 8) == batches.WINDOW_BYTES // bytes_a_step
  monkeypatch.setattr(batches, 'WINDOW_BYTES', 2 * bytes_a_step - 1)

  def make_watched(*args):
    program = make_program(*args)

    def chunk(states, hypers, data, start, stop):
      seen.append((type(data).__name__, int(start), int(stop)))
      return program.chunk(states, hypers, data, start, stop)

    return program._replace(chunk=chunk)

  monkeypatch.setattr(fit, 'make_program', make_watched)
  results = [run(tmp_path / str(i), each)
             for i, each in enumerate((inputs, streamed(inputs)))]
  small.assert_same(*results)
  bounds = [(step, step + 1) for step in range(STEPS)]
  assert seen == [(name, *pair) for name in ('Data', 'Window')
                  for pair in bounds]


def test_streamed_data_are_not_put_on_the_device():
  program = make_program(
      MEMBERS[:1], streamed(small.make_inputs()), make_settings())
  assert program.data is None


def test_an_error_of_the_host_is_told(tmp_path):
  inputs = streamed(small.make_inputs())
  inputs.data.pool.x.parts[1] = None
  with pytest.raises(TypeError):
    run(tmp_path, inputs)
