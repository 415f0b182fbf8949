"""What the plan says that a run takes, and what it takes: Linux alone.

Three shapes: cached logits of many classes, large inputs that are streamed, and
a family so wide that its nets are most of it. The plan and the run are each a
process of their own; what a run took is the peak that the kernel kept of it.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np

from shallow_mimic import configs, errors, pipeline

_STEPS = 60
_UNITS = {'': 1, 'k': 1e3, 'M': 1e6, 'G': 1e9}


def _make_logits() -> tuple[ml_collections.ConfigDict, dict[str, np.ndarray]]:
  config = _make_config(
      (16, 64), SNN=dict(objective='cross_entropy'),
      MIMIC=dict(teacher='EDNN', inputs='views'))
  config.data.transfer = {'views': {
      'kind': 'views', 'copies': 8, 'noise': 0.1}}
  return config, _make_arrays((20,), 1000, 10_000)


def _make_streamed() -> tuple[ml_collections.ConfigDict, dict[str, np.ndarray]]:
  config = _make_config(
      (16, 64), SNN=dict(objective='cross_entropy'),
      MIMIC=dict(teacher='EDNN', inputs='train+views'))
  config.data.memory_gib = 0.25
  config.data.transfer = {'views': {
      'kind': 'views', 'copies': 4, 'crop': 4}}
  config.students.steps = config.students.eval_every = 200
  return config, _make_arrays((64, 64, 3), 10, 4000)


def _make_wide() -> tuple[ml_collections.ConfigDict, dict[str, np.ndarray]]:
  config = _make_config((2048, 4096, 8192), MIMIC=dict(teacher='EDNN'))
  config.students.seeds = 6
  return config, _make_arrays((512,), 10, 4000)


CASES = {
    '10,000 inputs × 8 views × 1,000 classes': _make_logits,
    '20,000 images of 64 × 64 × 3, streamed': _make_streamed,
    '512 → 2048…8192 → 10, 6 seeds': _make_wide,
}


def _make_config(widths: tuple[int, ...],
                 **curves: Mapping[str, Any]) -> ml_collections.ConfigDict:
  """Few steps of two small teachers and of their students."""
  config = configs.default_config()
  config.data.source = 'arrays'
  config.teachers = {'DNN': configs.make_teacher(
      architecture='32', members=2, steps=_STEPS, batch=32, eval_every=_STEPS)}
  config.ensembles = {'EDNN': configs.make_ensemble('DNN')}
  students = config.students
  students.widths, students.seeds, students.batch = widths, 2, 32
  students.steps = students.search_steps = students.eval_every = _STEPS
  students.learning_rates = (0.01,)
  students.curves = {
      name: configs.make_curve(**curve) for name, curve in curves.items()}
  config.parallel.devices = 1
  return config


def _make_arrays(shape: tuple[int, ...], classes: int,
                 count: int) -> dict[str, np.ndarray]:
  """Noise: images of bytes, or vectors."""
  draw, arrays = np.random.default_rng(0), dict[str, np.ndarray]()
  for split, rows in (('train', count), ('dev', 400), ('test', 400)):
    x = (draw.integers(0, 256, (rows, *shape), np.uint8) if len(shape) == 3
         else draw.standard_normal((rows, *shape), np.float32))
    arrays |= {f'x_{split}': x, f'y_{split}': np.arange(rows) % classes}
  return arrays


def compare() -> list[dict[str, str]]:
  """A row for each shape: memory planned and taken, and their ratio."""
  if not pathlib.Path('/proc/self/status').exists():
    raise errors.UserError('the peak of a process is read from /proc')
  return [_compare(case) for case in CASES]


def _compare(case: str) -> dict[str, str]:
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'data.npz'
    arrays: Any = CASES[case]()[1]
    np.savez(path, **arrays)
    planned, stage = _read_peak(_start(case, 'plan', path))
    taken = float(_start(case, 'run', path).split()[-1])
  return {'memory': case, 'planned, GB': f'{planned / 1e9:.2f}',
          'peak in': stage, 'taken, GB': f'{taken / 1e9:.2f}',
          'taken / planned': f'{taken / planned:.2f}'}


def _start(case: str, what: str, path: pathlib.Path) -> str:
  """What a process of this module says; its standard error is ours."""
  return subprocess.run(
      [sys.executable, '-m', __name__, case, what, os.fspath(path)],
      check=True, stdout=subprocess.PIPE, text=True).stdout


def _read_peak(plan: str) -> tuple[float, str]:
  """Bytes and the stage of the plan's peak."""
  found = re.search(r'^peak +([\d.]+)([kMG]?)B in (\w+)', plan, re.M)
  if not found:
    raise ValueError(f'no peak in the plan: {plan}')
  return float(found[1]) * _UNITS[found[2]], found[3]


def main(case: str, what: str, path: str) -> None:
  """Prints the plan, or runs it and prints the bytes that this process took."""
  config, _ = CASES[case]()
  config.data.path = path
  if what == 'plan':
    from shallow_mimic.pipeline import plan, plan_memory  # noqa: PLC0415

    plan.matmul_rate(64)  # As the script does, JAX is at work before it counts.
    print(plan.make_plan(config, plan.stated_shapes(config), 1e10,
                         plan_memory.measure_start_up()))
    return
  pipeline.run(config, pathlib.Path(path).with_name('run'))
  status = pathlib.Path('/proc/self/status').read_text(encoding='utf-8')
  peak = re.search(r'^VmHWM:\s*(\d+) kB', status, re.M)
  print(1024 * int(peak[1]) if peak else 0)


if __name__ == '__main__':
  main(*sys.argv[1:])
