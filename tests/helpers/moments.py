"""A script that stands still, deep in C, at one moment of its work.

    python moments.py MODULE:FUNCTION CALL SECONDS SCRIPT [flags]

At a call of a function, the first or a later one, it says so on stdout, sleeps
and goes on. Meanwhile tests send it signals.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.abc
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from scripts import make_environment

HERE = 'here\n'
IMPORT = 'jax:import'


def sleep_deep(seconds: float) -> None:
  """Sleeps where Python runs no handler, as in a program of XLA.

  Who waits for a mutex of C waits on, whatever signals come.
  """
  library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(128)
  library.pthread_mutex_lock(mutex)
  until = time.time() + seconds
  library.pthread_mutex_timedlock(
      mutex, (ctypes.c_long * 2)(int(until), int(until % 1 * 1e9)))


def wait_here(seconds: float) -> None:
  """Says that it is here, and sleeps."""
  print(HERE, end='', flush=True)
  sleep_deep(seconds)


def patch(moment: str, call: int, seconds: float) -> None:
  """Lets a function sleep before its work, at one call of it."""
  module, _, name = moment.partition(':')
  owner = importlib.import_module(module)
  function, left = getattr(owner, name), [call]

  def slow(*args, **kwargs):
    left[0] -= 1
    if not left[0]:
      wait_here(seconds)
    return function(*args, **kwargs)

  setattr(owner, name, slow)


class ImportOfJax(importlib.abc.MetaPathFinder):
  """Sleeps before JAX is imported."""

  def __init__(self, seconds: float):
    self._seconds = seconds

  def find_spec(self, name: str, path: Any, target: Any = None) -> None:
    if name == 'jax':
      sys.meta_path.remove(self)
      wait_here(self._seconds)


def main(moment: str, call: str, seconds: str, script: str,
         *flags: str) -> None:
  """Starts the script of `launch`; it sleeps at the moment."""
  module = importlib.import_module(f'launch.{script}')
  work, sys.argv = module.main, [script, *flags]
  if moment == IMPORT:
    sys.meta_path.insert(0, ImportOfJax(float(seconds)))
  else:

    def patched():
      patch(moment, int(call), float(seconds))
      work()

    patched.__module__, module.main = work.__module__, patched
  module.start()


@contextlib.contextmanager
def start(command: Sequence[str], cwd: Any,
          **options: Any) -> Iterator[subprocess.Popen]:
  """A process of Python that has said that it is HERE; killed at the end."""
  process = subprocess.Popen(
      [sys.executable, *command], cwd=cwd, text=True, encoding='utf-8',
      stdout=subprocess.PIPE,
      **{'stderr': subprocess.PIPE, 'env': make_environment(), **options})
  with process:
    try:
      for line in process.stdout:
        if line.endswith(HERE):
          break
      yield process
    finally:
      process.kill()


def answer(process: subprocess.Popen,
           *signums: int) -> tuple[int, str, float]:
  """Sends signals; the status, stderr, and the seconds until the end."""
  began = time.monotonic()
  for place, signum in enumerate(signums):
    if place:  # Else the kernel may make one of two.
      time.sleep(1.0)
    process.send_signal(signum)
  _, stderr = process.communicate(timeout=60)
  return process.returncode, stderr, time.monotonic() - began


if __name__ == '__main__':
  main(*sys.argv[1:])
