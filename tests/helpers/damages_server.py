"""Runs `python -m launch.run` hundreds of times, each in a process of its own.

To start Python and JAX takes longer than most damaged runs. So a server imports
once what the program imports, and forks a child for every run. The child's
arguments, status and output are those of the command line.
"""

from __future__ import annotations

import atexit
import collections
import dataclasses
import gc
import importlib
import json
import os
import pathlib
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_ENVIRONMENT = {
    'JAX_PLATFORMS': 'cpu',
    'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '-1',
    'OMP_NUM_THREADS': '1', 'PYTHONUNBUFFERED': '1'}


@dataclasses.dataclass(frozen=True)
class Result:
  """How one run ended; `status` is None where it never did."""

  status: int | None
  seconds: float
  stdout: str
  stderr: str


class Server:
  """A process that forks a child for every run.

  Args:
    code: the root of the code that is run.
    scratch: a folder for compiled programs and output.
  """

  def __init__(self, code: pathlib.Path, scratch: pathlib.Path):
    self._scratch, self._lock = scratch, threading.Lock()
    scratch.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **_ENVIRONMENT, 'PYTHONPATH': str(code),
                   'JAX_COMPILATION_CACHE_DIR': str(scratch / 'compiled')}
    environment.pop('XLA_FLAGS', None)  # Of the tests: several devices.
    self._process = subprocess.Popen(
        [sys.executable, __file__], cwd=code, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

  def preload(self, modules: Sequence[str]) -> None:
    """Imports what the runs will import."""
    self._ask({'preload': list(modules)})

  def run(self, arguments: Sequence[str], workdir: pathlib.Path,
          **options: Any) -> Result:
    """One run of `launch.run`.

    Args:
      arguments: of the command line, without --workdir.
      workdir: the work directory.
      **options: `limit`: seconds; `kill_after`: seconds until `kill -9`;
        `fatal`: [end of a kind, number] of the move to be killed at; `trace`:
        a folder for the list of moves and modules; `snapshots`: {name: [kind,
        number]} of moves before which the work directory is copied there.
    """
    with self._lock:
      output = self._scratch / f'output{self._process.pid}'
      reply = self._ask({
          'arguments': [*arguments, f'--workdir={workdir}'],
          'workdir': str(workdir), 'output': str(output), 'limit': 120.0,
          **options})
      said = [pathlib.Path(f'{output}.{name}').read_text(
          encoding='utf-8', errors='replace') for name in ('out', 'err')]
    return Result(reply['status'], reply['seconds'], *said)

  def close(self) -> None:
    """Ends the server."""
    self._process.communicate()

  def _ask(self, job: Mapping[str, Any]) -> Any:
    assert self._process.stdin and self._process.stdout
    self._process.stdin.write(json.dumps(job) + '\n')
    self._process.stdin.flush()
    return json.loads(self._process.stdout.readline())


def find_kind(path: str) -> str:
  """A path, its numbers and digests made equal.

  >>> find_kind('teachers/DNN/params/20/d/0c7a59ea1b')
  'teachers/DNN/params/#/d/#'
  """
  return re.sub(r'[0-9a-f]{8,}|\d+', '#', path)


def _serve() -> dict[str, Any]:
  """Answers jobs; returns only in a child, with its job."""
  commands = os.fdopen(os.dup(0), encoding='utf-8')
  while line := commands.readline():
    job = json.loads(line)
    if 'preload' in job:
      _preload(job['preload'])
      reply = {}
    else:
      gc.freeze()
      child = os.fork()
      if not child:
        return job
      reply = _watch_child(child, job)
    print(json.dumps(reply), flush=True)
  sys.exit()


def _preload(modules: Sequence[str]) -> None:
  for name in modules:
    try:
      importlib.import_module(name)
    except Exception:  # Some make their modules up, and cannot be imported.
      pass
  bridge: Any = sys.modules['jax._src.xla_bridge']
  assert not bridge._backends  # Its threads would not be there in a child.


def _watch_child(child: int, job: Mapping[str, Any]) -> dict[str, Any]:
  """Waits for a child, and kills it where that is asked for."""
  started, killed = time.monotonic(), False
  while True:
    ended, code = os.waitpid(child, os.WNOHANG)
    seconds = time.monotonic() - started
    if ended:
      status = os.waitstatus_to_exitcode(code)
      return {'status': status, 'seconds': seconds}
    if not killed and seconds > job.get('kill_after', job['limit']):
      try:
        os.killpg(child, signal.SIGKILL)
      except ProcessLookupError:  # It has no group of its own yet.
        os.kill(child, signal.SIGKILL)
      killed = True
      if 'kill_after' not in job:
        os.waitpid(child, 0)
        return {'status': None, 'seconds': seconds}
    time.sleep(0.005)


def _become_program(job: Mapping[str, Any]) -> None:
  """Makes the child what `python -m launch.run` would be, and runs it."""
  os.setsid()
  random.seed()
  for stream, name in ((1, 'out'), (2, 'err')):
    with open(f'{job["output"]}.{name}', 'wb') as file:
      os.dup2(file.fileno(), stream)
  with open(os.devnull, 'rb') as nothing:
    os.dup2(nothing.fileno(), 0)
  if 'fatal' in job or 'trace' in job:
    _watch_moves(job)
  sys.argv = ['launch/run.py', *job['arguments']]
  runpy.run_module('launch.run', run_name='__main__', alter_sys=True)


def _watch_moves(job: Mapping[str, Any]) -> None:
  """Tells of, copies or kills before what is renamed, replaced or removed."""
  workdir, counts = job['workdir'], collections.Counter()
  fatal, trace = job.get('fatal'), job.get('trace')
  wanted = {tuple(move): name
            for name, move in job.get('snapshots', {}).items()}
  lock, moves = threading.RLock(), []

  def tell(operation: str, path: Any) -> None:
    with lock:
      name = os.path.relpath(path, workdir) if os.path.isabs(path) else path
      kind = f'{operation} {find_kind(str(name))}'
      counts[kind] += 1
      moves.append([kind, counts[kind]])
      if fatal and kind.endswith(fatal[0]):
        counts['fatal'] += 1
        if counts['fatal'] == fatal[1]:
          os.killpg(os.getpid(), signal.SIGKILL)
      if (kind, counts[kind]) in wanted:
        _copy_moving(workdir, f'{trace}/{wanted[kind, counts[kind]]}')

  def watch(operation: str, operate: Callable, place: int) -> None:
    def watched(*paths, **options):
      tell(operation, paths[place])
      return operate(*paths, **options)
    setattr(os, operation, watched)

  for operation, place in (('replace', 1), ('rename', 1), ('rmdir', 0)):
    watch(operation, getattr(os, operation), place)
  if trace:
    os.makedirs(trace, exist_ok=True)
    def write() -> None:
      told = {'moves': moves, 'modules': list(sys.modules)}
      pathlib.Path(trace, 'trace.json').write_text(
          json.dumps(told), encoding='utf-8')
    atexit.register(write)


def _copy_moving(source: str, target: str) -> None:
  """Copies a folder in which another thread may be at work."""
  try:
    shutil.copytree(source, target, symlinks=True)
  except shutil.Error:  # What was gone by then is left out.
    pass


if __name__ == '__main__':
  sys.path[0] = os.getcwd()
  _become_program(_serve())
