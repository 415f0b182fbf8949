"""Trains a family from its first step, or its last checkpoint, to its end."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from shallow_mimic.runs import checkpoints, progress, stopping
from shallow_mimic.training import batches, family
from shallow_mimic.training.family_data import FamilyData
from shallow_mimic.training.program import make_program
from shallow_mimic.training.settings import Settings

# Dispatches between two looks at dev: after each, progress is told and a stop
# is heeded.
_DISPATCHES = 10


class Fitted(NamedTuple):
  """A member after training: its best parameters on dev, its own shapes.

  `history` has the dev accuracy and the mean training loss at `steps`.
  """

  params: Any
  accuracy: float
  best_step: int
  diverged: bool
  steps: list[int]
  dev_accuracy: list[float]
  train_loss: list[float]


def fit(members: Sequence[family.Member], family_data: FamilyData,
        settings: Settings, directory: os.PathLike | str, *,
        stage: str, identity: str = '') -> list[Fitted]:
  """Trains a family to its end; what a checkpoint holds is not done again.

  Killed at any time and started again, it ends with the same bits.

  Args:
    members: the family.
    family_data: what it trains on.
    settings: how.
    directory: where its checkpoints lie.
    stage: the name that progress is told under.
    identity: of the family: checkpoints of another one are not read.

  Returns:
    One result a member, in the order of `members`.

  Raises:
    Stopped: a signal has come, see `runs.stopping`; the state is saved.
  """
  program = make_program(members, family_data, settings)
  step, states, history = _start(program, settings, directory, identity)
  total, saved_at = settings.recipe.steps, time.monotonic()
  size = _dispatch_steps(members, family_data, settings)
  bounds = list(_find_bounds(step, size, settings))
  with (stopping.save_first() as saver,
        progress.Progress(stage, total, done=step) as told,
        _feed(program, members, family_data, settings, bounds,
              size) as batches):
    for (step, stop), data in zip(bounds, batches, strict=False):
      with saver.waiting('the dispatch of {} step(s)', stop - step):
        states, means = program.chunk(
            states, program.hypers, data, np.int32(step), np.int32(stop)
        )
        _record_loss(history, program, means, step, stop, settings)
      if stop % settings.eval_every == 0 or stop == total:
        with saver.waiting('the look at dev'):
          states, accuracy = program.select(
              states, program.hypers, *program.dev, np.int32(stop)
          )
          _record_accuracy(history, program, accuracy, stop, settings)
      told.update(stop, _note(history['dev_accuracy']))
      late = time.monotonic() - saved_at > settings.save_seconds
      if late or saver.signum or stop == total:
        with saver.waiting('the writing of the state'):
          _save(program, directory, stop, states, history, identity)
        saved_at = time.monotonic()
        saver.check(f'stopped at step {stop} of {total} ({stage}); the same'
                    ' command, or call, goes on from there')
  return _results(program, members, family_data, settings, states, history)


def _start(program, settings, directory, identity):
  """The step, states and history to go on from."""
  rows = -(-settings.recipe.steps // settings.eval_every)
  shape = rows, sum(len(b.indices) for b in program.buckets)
  history = {'dev_accuracy': np.zeros(shape, np.float32),
             'train_loss': np.zeros(shape, np.float32)}
  # Joined, so that as many devices as there are can go on.
  joined = jax.eval_shape(program.placement.join, program.states)
  found = checkpoints.read_checkpoint(
      directory, _saved(joined, history), identity=identity)
  if not found:
    return 0, program.states, history
  step, saved = found
  history = {k: np.array(v) for k, v in saved['history'].items()}
  return step, program.placement.place(saved['states']), history


def _save(program, directory, step, states, history, identity):
  """Writes a checkpoint; no copy of the states is kept in memory after it."""
  # Joined on the host: on a device it would be a second copy.
  joined = program.placement.join(jax.device_get(states))
  checkpoints.write_checkpoint(
      directory, step, _saved(joined, history), identity=identity)


def _saved(states, history):
  return {'states': states, 'history': history}


def _dispatch_steps(members, family_data, settings):
  """Steps of a dispatch: a tenth of those between looks at dev, or fewer."""
  most = batches.count_window_steps(
      members, family_data.data, settings.recipe.batch)
  return min(most, max(1, settings.eval_every // _DISPATCHES))


def _find_bounds(step, size, settings):
  """(first, last + 1) step of each dispatch from a step on.

  Always at the same steps, so that sums are the same sums after a kill.
  """
  every, total = settings.eval_every, settings.recipe.steps
  while step < total:
    last = step - step % every
    stop = min(step - (step - last) % size + size, last + every, total)
    yield step, stop
    step = stop


@contextlib.contextmanager
def _feed(program, members, family_data, settings, bounds, size):
  """Yields the data of each dispatch: all of them, or a window a dispatch."""
  if program.data is not None:
    yield itertools.repeat(program.data)
    return
  windows = batches.Windows(
      members, family_data.data, family_data.sets, bounds,
      base_seed=settings.base_seed, batch=settings.recipe.batch, steps=size)
  devices = program.placement.devices
  with contextlib.closing(batches.feed(windows, devices)) as fed:
    yield fed


def _order(program):
  return np.concatenate([b.indices for b in program.buckets])


def _record_loss(history, program, means, step, stop, settings):
  """Adds a dispatch's share to the mean training loss of its row."""
  row = step // settings.eval_every
  first = row * settings.eval_every
  length = min(settings.eval_every, settings.recipe.steps - first)
  share = np.float32((stop - step) / length)
  history['train_loss'][row, _order(program)] += share * np.concatenate(
      jax.device_get(program.placement.join(means)))


def _record_accuracy(history, program, accuracy, stop, settings):
  row = (stop - 1) // settings.eval_every
  history['dev_accuracy'][row, _order(program)] = np.concatenate(
      jax.device_get(program.placement.join(accuracy)))


def _note(accuracy):
  if not accuracy.any():
    return ''
  return f'best dev accuracy {100 * np.max(accuracy):.1f} %'


def _results(program, members, family_data, settings, states, history):
  shape = family_data.data.pool.input_shape
  every, total = settings.eval_every, settings.recipe.steps
  steps = [*range(every, total, every), total]
  results = [None] * len(members)
  joined = jax.device_get(program.placement.join(states))
  for bucket, state in zip(program.buckets, joined, strict=True):
    for place, index in enumerate(bucket.indices):
      last = family.unpad_member(
          bucket, members, place, state.params, shape, family_data.classes
      )
      results[index] = Fitted(
          params=family.unpad_member(
              bucket, members, place, state.best_params, shape,
              family_data.classes
          ),
          accuracy=float(state.best_accuracy[place]),
          best_step=int(state.best_step[place]),
          diverged=not all(np.isfinite(x).all() for x in jax.tree.leaves(last)),
          steps=steps,
          dev_accuracy=history['dev_accuracy'][:, index].tolist(),
          train_loss=history['train_loss'][:, index].tolist(),
      )
  return results
