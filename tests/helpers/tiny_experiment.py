"""An experiment of seconds on made-up arrays; a --config file, and a script.

Two teachers, students of width 3 and 5, 20 steps. `save_seconds` is 0: a
checkpoint is written at every look at dev.
"""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import ml_collections
import numpy as np

from shallow_mimic import configs, pipeline
from shallow_mimic.runs import progress

CLASSES = 3
ROOT = pathlib.Path(__file__).parents[2]


def make_arrays() -> dict[str, np.ndarray]:
  """Three noisy blobs: 60 train, 24 dev, 24 test, 20 transfer inputs."""
  rng = np.random.default_rng(0)
  centres = 2 * rng.normal(size=(CLASSES, 4))
  arrays = {}
  for split, count in (('train', 60), ('dev', 24), ('test', 24)):
    y = np.arange(count) % CLASSES
    x = centres[y] + rng.normal(size=(count, 4))
    arrays |= {f'x_{split}': x.astype(np.float32), f'y_{split}': y}
  x = centres[np.arange(20) % CLASSES] + rng.normal(size=(20, 4))
  return arrays | {'x_transfer': x.astype(np.float32)}


def write_npz(path: os.PathLike | str, **changes: np.ndarray) -> None:
  """Writes the data, some arrays replaced, as an `.npz` file."""
  np.savez(path, **(make_arrays() | changes))


def make_config(path: os.PathLike | str = '') -> ml_collections.ConfigDict:
  """The experiment on the `.npz` file at `path`."""
  config = configs.default_config()
  data = config.data
  data.source, data.path = 'arrays', str(path)
  data.transfer = {'transfer': {'kind': 'arrays'}}
  config.teachers = {'DNN': configs.make_teacher(
      architecture='8-8', members=2, steps=20, batch=16, eval_every=5)}
  config.ensembles = {'EDNN': configs.make_ensemble('DNN')}
  config.logits.part_rows = 25
  students = config.students
  students.widths, students.seeds = (3, 5), 2
  students.steps, students.search_steps = 20, 10
  students.batch, students.eval_every = 16, 5
  students.learning_rates = (0.01, 0.05)
  students.curves = {
      'SNN': configs.make_curve(objective='cross_entropy'),
      'SNN-MIMIC': configs.make_curve(teacher='EDNN', inputs='train+transfer'),
  }
  config.parallel.devices, config.parallel.save_seconds = 1, 0.0
  return config


def get_config() -> ml_collections.ConfigDict:
  """What --config wants; the path comes as --config.data.path."""
  return make_config()


def main(config: ml_collections.ConfigDict, workdir: str,
         fatal: str = '', *,
         stages: tuple[str, ...] = pipeline.STAGES) -> None:
  """Runs the stages; `kill -9` as the file `fatal` is to be put in place.

  Says for every part of the work at which step, or row, it began.
  """
  replace, begin = os.replace, progress.Progress.__init__

  def guarded_replace(source, target):
    if fatal and str(target).endswith(fatal):
      os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

  def told_begin(self, stage, total, *, done=0, **options):
    print(f'{stage} from {done} of {total}', flush=True)
    begin(self, stage, total, done=done, **options)

  os.replace, progress.Progress.__init__ = guarded_replace, told_begin
  pipeline.run(config, workdir, stages=stages)


def start(data: os.PathLike | str, workdir: os.PathLike | str,
          fatal: str = '', *,
          script: str = __file__) -> subprocess.CompletedProcess:
  """`main` in a process of its own, quick to compile.

  Compiled programs are kept for the next. Another experiment's `script` takes
  the same arguments.
  """
  folder = pathlib.Path(data).parent / 'compiled'
  return subprocess.run(
      [sys.executable, script, str(data), str(workdir), fatal], check=False,
      capture_output=True, text=True, timeout=300, env={
          **os.environ, 'PYTHONPATH': os.pathsep.join(
              map(str, (ROOT, ROOT / 'tests/helpers'))),
          'JAX_COMPILATION_CACHE_DIR': str(folder),
          'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
          'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
          'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '-1'},
  )


if __name__ == '__main__':
  main(make_config(sys.argv[1]), *sys.argv[2:])
