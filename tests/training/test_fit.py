"""Fitting: interrupted runs end with the same bits, and the best is kept."""

import dataclasses
import functools
import os
import signal
import threading

import jax
import numpy as np
import pytest
import small_family as small

from shallow_mimic import errors, models
from shallow_mimic.runs import checkpoints, progress
from shallow_mimic.training import fit, program

STEPS, EVERY = 10, 4  # the last look at dev is after fewer steps


class KilledError(Exception):
  """What stands for a kill."""


def make_settings(**changes):
  return small.make_settings(
      STEPS, eval_every=EVERY, save_seconds=0.0, **changes)


MEMBERS = (
    small.make_member(3),
    small.make_member(8, small.LABELS, learning_rate=0.3, mixture='train'),
)


def run(directory, settings=None, members=MEMBERS):
  return fit.fit(members, small.make_inputs(), settings or make_settings(),
                 directory, stage='students')


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A run that nothing interrupted."""
  folder = tmp_path_factory.mktemp('whole')
  return run(folder), folder


@functools.cache
def compiled(members, settings):
  """A program, made and compiled once for all tests of this file."""
  return program.make_program(members, small.make_inputs(), settings)


def make_program(members, _, settings):
  """The compiled program with states that may be given away."""
  asked = dataclasses.replace(settings, save_seconds=0.0)
  program = compiled(tuple(members), asked)
  return program._replace(
      states=jax.tree.map(lambda x: x.copy(), program.states))


@pytest.fixture
def program_once(monkeypatch):
  """Lets the runs of a test share what is compiled."""
  monkeypatch.setattr(fit, 'make_program', make_program)


def interrupt(monkeypatch, calls, after_save):
  """Raises at the given calls of saving (after it) or of progress."""
  owner, name = ((checkpoints, 'write_checkpoint') if after_save
                 else (progress.Progress, 'update'))
  original, count = getattr(owner, name), iter(range(1, 100))

  def wrapped(*args, **kwargs):
    original(*args, **kwargs)
    if next(count) in calls:
      raise KilledError

  monkeypatch.setattr(owner, name, wrapped)


@pytest.mark.parametrize('after_save', [True, False])
def test_interrupted_runs_end_with_the_same_bits(
    whole, tmp_path, monkeypatch, program_once, after_save):
  """Killed four times, once after the last save; each time run again."""
  interrupt(monkeypatch, {1, 3, 6, 10, 14}, after_save)
  kills = 0
  while True:
    try:
      got = run(tmp_path)
      break
    except KilledError:
      kills += 1
  assert kills >= 3
  small.assert_same(got, whole[0])


@pytest.mark.parametrize('split', ['family', 'batch'])
def test_interrupted_on_four_devices(
    tmp_path, monkeypatch, program_once, split):
  settings = make_settings(devices=4, split=split)
  want = run(tmp_path / 'whole', settings)
  interrupt(monkeypatch, {2}, True)
  with pytest.raises(KilledError):
    run(tmp_path / 'part', settings)
  small.assert_same(run(tmp_path / 'part', settings), want)


@pytest.mark.parametrize('counts', [(4, 1), (1, 4)])
def test_half_a_run_goes_on_with_another_number_of_devices(
    tmp_path, monkeypatch, program_once, counts):
  members = [small.make_member(8, seed=seed) for seed in range(5)]
  first, second = (
      make_settings(devices=count, split='family') for count in counts)
  want = run(tmp_path / 'whole', second, members)
  interrupt(monkeypatch, {2}, True)
  with pytest.raises(KilledError):
    run(tmp_path / 'part', first, members)
  begun = []
  monkeypatch.setattr(progress.Progress, '__init__', spy(
      progress.Progress.__init__, begun))
  got = run(tmp_path / 'part', second, members)
  assert begun[0] > 0  # What was there was not done again.
  for one, other in zip(got, want, strict=True):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(
        a, b, rtol=1e-4, atol=1e-5), one.params, other.params)


def spy(original, begun):
  """A constructor that notes the step at which progress begins."""
  def wrapped(self, *args, **kwargs):
    begun.append(kwargs['done'])
    original(self, *args, **kwargs)

  return wrapped


def test_a_finished_run_trains_no_more(whole, monkeypatch, program_once):
  done, folder = whole
  monkeypatch.setattr(progress.Progress, 'update', None)
  small.assert_same(run(folder), done)


def test_history(whole):
  for result in whole[0]:
    assert result.steps == [4, 8, 10]
    assert len(result.dev_accuracy) == len(result.train_loss) == 3
    assert not result.diverged
    assert result.accuracy == max(result.dev_accuracy)
    # The later of equals, as `make_selection_fn` says.
    last = max(i for i, a in enumerate(result.dev_accuracy)
               if a == result.accuracy)
    assert result.best_step == result.steps[last]


def test_history_is_that_of_plain_chunks(whole):
  settings = make_settings()
  program = make_program(MEMBERS, None, settings)
  states = program.states
  for row, (start, stop) in enumerate([(0, 4), (4, 8), (8, 10)]):
    states, means = program.chunk(
        states, program.hypers, program.data, np.int32(start), np.int32(stop))
    _, losses = small.split_up(program, MEMBERS, states, means)
    np.testing.assert_allclose(
        [r.train_loss[row] for r in whole[0]], losses, rtol=1e-5)


def test_the_best_parameters_are_those_of_the_best_step(tmp_path, monkeypatch):
  """Accuracies made to peak early: the parameters of that step come back."""
  settings = make_settings()
  program = make_program(MEMBERS, None, settings)
  seen, select = {}, program.select

  def watched(states, hypers, dev, labels, step):
    seen[int(step)] = small.split_up(
        program, MEMBERS, states, [np.zeros(len(MEMBERS))])[0]
    # Another dev set for each look: the first one is right by construction.
    outputs = [model_of(m).apply(p, dev.x) for m, p in
               zip(MEMBERS, seen[int(step)], strict=True)]
    right = np.argmax(denormalized(outputs[0], MEMBERS[0]), -1)
    if step > 4:
      right = (right + 1) % small.CLASSES
    return select(states, hypers, dev, right.astype(np.int32), step)

  monkeypatch.setattr(fit, 'make_program',
                      lambda *_: program._replace(select=watched))
  first, second = run(tmp_path)
  assert (first.best_step, first.accuracy) == (4, 1.0)
  assert first.dev_accuracy == [1.0, 0.0, 0.0]
  small.assert_same(first.params, seen[4][0])
  small.assert_same(second.params, seen[second.best_step][1])
  assert any((a != b).any() for a, b in zip(
      jax.tree.leaves(seen[4][0]), jax.tree.leaves(seen[10][0]), strict=True))


def model_of(member):
  return models.make_net(f'4L-{member.width}', (small.FEATURES,),
                         small.CLASSES)


def denormalized(outputs, member):
  return small.make_inputs().normalizers[
      member.teacher, member.mixture].denormalize(outputs)


def test_accuracy_is_that_of_the_parameters_handed_over(whole):
  inputs = small.make_inputs()
  for member, result in zip(MEMBERS, whole[0], strict=True):
    outputs = model_of(member).apply(result.params, inputs.dev.x)
    if member.objective == small.LOGITS:
      outputs = denormalized(outputs, member)
    right = np.mean(np.argmax(outputs, -1) == inputs.dev_labels)
    np.testing.assert_allclose(result.accuracy, right, rtol=1e-6)


def test_a_diverged_member_is_told_and_the_other_untouched(
    whole, tmp_path):
  wild = (MEMBERS[0], dataclasses.replace(MEMBERS[1], learning_rate=np.inf))
  got = run(tmp_path, members=wild)
  assert [r.diverged for r in got] == [False, True]
  assert got[1].dev_accuracy == [-1.0, -1.0, -1.0]
  small.assert_same(got[0], whole[0][0])


def send_at(monkeypatch, step, signum):
  """Lets a signal come when progress is told of a step."""
  original = progress.Progress.update

  def update(self, done, note=''):
    original(self, done, note)
    if done == step:
      os.kill(os.getpid(), signum)

  monkeypatch.setattr(progress.Progress, 'update', update)


@pytest.mark.parametrize(('sent', 'status'), [
    (signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)])
@pytest.mark.parametrize('step', [EVERY - 1, EVERY, STEPS])
def test_told_to_stop(
    whole, tmp_path, monkeypatch, program_once, sent, status, step):
  """The state is saved, one line says so, and the next run goes on.

  Even after the last step: what would come next has to stop as well.
  """
  before = signal.getsignal(sent)
  patient = dataclasses.replace(make_settings(), save_seconds=1e9)
  with monkeypatch.context() as patched, pytest.raises(errors.Stopped) as error:
    send_at(patched, step, sent)
    run(tmp_path, patient)
  assert error.value.status == status
  assert str(error.value) == (
      f'stopped at step {step} of 10 (students); the same command, or call,'
      ' goes on from there')
  assert signal.getsignal(sent) == before
  assert checkpoints.steps(tmp_path) == [step]
  small.assert_same(run(tmp_path, patient), whole[0])


def test_a_stop_during_the_writing_of_the_state(
    whole, tmp_path, monkeypatch, program_once):
  """What is being written is enough."""
  original = checkpoints.write_checkpoint

  def write(directory, step, tree, **options):
    original(directory, step, tree, **options)
    os.kill(os.getpid(), signal.SIGTERM)

  with monkeypatch.context() as patched, pytest.raises(
      errors.Stopped, match=r'^stopped at step 1 of 10 '):
    patched.setattr(checkpoints, 'write_checkpoint', write)
    run(tmp_path)
  small.assert_same(run(tmp_path), whole[0])


def test_saves_only_as_often_as_asked(tmp_path, monkeypatch, program_once):
  saved, original = [], checkpoints.write_checkpoint

  def write(directory, step, tree, **options):
    saved.append(step)
    original(directory, step, tree, **options)

  monkeypatch.setattr(checkpoints, 'write_checkpoint', write)
  run(tmp_path, dataclasses.replace(make_settings(), save_seconds=1e9))
  assert saved == [STEPS]


def test_outside_the_main_thread(whole, tmp_path, program_once):
  results = []
  thread = threading.Thread(target=lambda: results.extend(run(tmp_path)))
  thread.start()
  thread.join()
  small.assert_same(results, whole[0])
