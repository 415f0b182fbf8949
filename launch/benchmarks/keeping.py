"""What a change of a finished run costs: one more width, or nothing at all."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from statistics import median

_WIDTHS, _ADDED = (16, 64, 256), 512
_ROUNDS = 3
_STAGES_BEFORE = 'data,teachers,ensembles,logits'


def _run(folder: pathlib.Path, widths: tuple[int, ...],
         stages: str = '') -> float:
  """Seconds of a process that runs the experiment in a folder."""
  command = [
      sys.executable, '-m', 'launch.run', '--config=mnist1d_smoke',
      f'--workdir={folder}', f'--config.students.widths={widths}',
      '--config.students.steps=3000', '--config.students.search_steps=300']
  command += [f'--stages={stages}'] if stages else []
  started = time.perf_counter()
  subprocess.run(command, check=True, stdout=subprocess.DEVNULL,
                 cwd=pathlib.Path(__file__).parents[2])
  return time.perf_counter() - started


def compare() -> list[dict[str, str]]:
  """One row: seconds of a width added, of it alone, and of verifying.

  Alone means in a directory where the teachers and their logits are, but no
  student. Both begin with the start of Python, and end with the report.
  """
  times: dict[str, list[float]] = {'added': [], 'alone': [], 'verified': []}
  with tempfile.TemporaryDirectory() as place:
    root = pathlib.Path(place)
    _run(root / 'taught', _WIDTHS, _STAGES_BEFORE)
    shutil.copytree(root / 'taught', root / 'finished')
    _run(root / 'finished', _WIDTHS)
    for number in range(_ROUNDS):
      for name, begin, widths in (
          ('added', 'finished', (*_WIDTHS, _ADDED)),
          ('alone', 'taught', (_ADDED,)), ('verified', 'finished', _WIDTHS)):
        folder = root / f'{name}-{number}'
        shutil.copytree(root / begin, folder)
        if name == 'verified':  # The report has the folder's name.
          _run(folder, widths)
        times[name].append(_run(folder, widths))
  seconds = {name: median(some) for name, some in times.items()}
  return [{
      'one more width, mnist1d_smoke of 3,000 steps': f'{_WIDTHS} + {_ADDED}',
      'added, s': f'{seconds["added"]:.1f}',
      'of the width alone': f'{seconds["added"] / seconds["alone"]:.2f}',
      'nothing changed, s': f'{seconds["verified"]:.1f}'}]
