"""Training on inputs streamed from disk against the same inputs in memory."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shallow_mimic import losses, training
from shallow_mimic.data import pools
from shallow_mimic.runs import files
from shallow_mimic.training import batches, family, objectives
from shallow_mimic.training.batches import Windows, feed
from shallow_mimic.training.program import make_program

from . import timing

_OBJECTIVE = objectives.Objective('logit_regression')
_BATCH, _IMAGES = 128, 20_000
_STEPS, _DISPATCHES = 3, 10


def make_members() -> list[family.Member]:
  """The CIFAR-10 students of two widths and three seeds."""
  return [
      family.Member('SNN-MIMIC', '16c3-p-100L-H', width, seed, 1e-3,
                    _OBJECTIVE, 'train', 'teacher')
      for width in (250, 1000) for seed in range(3)
  ]


def make_inputs(pool: pools.Pool) -> training.FamilyData:
  """Images of noise and a teacher's logits."""
  draw, count = np.random.default_rng(0), len(pool.x)
  return training.FamilyData(
      data=batches.Data(
          pool, np.zeros(count, np.int32),
          draw.standard_normal((1, count, 10), np.float32),
          np.arange(count, dtype=np.int32)[None],
          np.array([count], np.int32)),
      sets=('train',), teachers=('teacher',),
      normalizers={('teacher', 'train'): losses.LogitNormalizer(
          jnp.zeros(10), jnp.ones(10))},
      dev=pools.Pool(np.zeros((10, 32, 32, 3), np.float32)),
      dev_labels=np.zeros(10, np.int32), classes=10,
  )


def make_run(inputs: training.FamilyData,
             stack: contextlib.ExitStack) -> Callable[[], None]:
  """Returns run(): one dispatch of some steps, awaited."""
  members = make_members()
  program = make_program(members, inputs, training.Settings(
      training.Recipe(steps=10 ** 6, batch=_BATCH), eval_every=1, devices=1))
  bounds = [(i * _STEPS, (i + 1) * _STEPS) for i in range(1000)]
  if program.data is None:
    windows = Windows(members, inputs.data, inputs.sets, bounds, base_seed=0,
                      batch=_BATCH, steps=_STEPS)
    read_ahead: Any = feed(windows, jax.devices()[:1])
    stack.callback(read_ahead.close)
  states, todo = program.states, iter(bounds)

  def run():
    nonlocal states
    start, stop = next(todo)
    data = program.data if program.data is not None else next(read_ahead)
    states, loss = program.chunk(
        states, program.hypers, data, np.int32(start), np.int32(stop))
    jax.block_until_ready(loss)

  return run


def _repeat(run: Callable[[], None]) -> None:
  for _ in range(_DISPATCHES):
    run()


def compare() -> dict[str, str]:
  """One row: milliseconds a step in memory, and streaming's speed to it.

  The next windows are gathered while one is at work, at a round's end in the
  other's time: so a turn is of several dispatches, not of one.
  """
  x = np.random.default_rng(0).standard_normal((_IMAGES, 32, 32, 3), np.float32)
  with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
    path = pathlib.Path(folder) / 'x.npy'
    files.write_array(path, x)
    mapped = pools.Stacked([files.read_array(path, mmap=True)])
    contenders = {
        'in memory': make_run(make_inputs(pools.Pool(x)), stack),
        'streamed': make_run(make_inputs(pools.Pool(mapped)), stack),
    }
    repeated = {name: functools.partial(_repeat, run)
                for name, run in contenders.items()}
    seconds = timing.measure(repeated, rounds=5)
  per_step = 1e3 * seconds['in memory'] / (_DISPATCHES * _STEPS)
  speed = seconds['in memory'] / seconds['streamed']
  return {'streaming, 2 widths × 3 seeds, batch 128': '16c3-p-100L-H',
          'in memory, ms a step': f'{per_step:.1f}',
          'streamed, of that speed': f'{speed:.0%}'}
