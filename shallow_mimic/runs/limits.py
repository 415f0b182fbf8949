"""Whether this process may have the threads, memory and files that JAX takes.

JAX, LLVM and TensorStore end the process with a dump where a thread cannot be
started, and array_record then waits for ever: there is no error to be caught.
So it is tried before they are loaded.
"""

from __future__ import annotations

import errno
import functools
import os
import threading

from shallow_mimic.runs import refusals

# Measured: the least with which tests/helpers/tiny_experiment.py ends well,
# on 1, 2, 8, 32 and 128 cores, less up to a tenth. What a run takes beyond that
# is for its plan to say.
_FILES = 30
_MIB = 1 << 20
_BASE, _THREAD = 1370 * _MIB, 6 * _MIB  # A thread's, beside its stack.
_STACK = 2 * _MIB  # Where there is no limit to it.
# What TFDS takes, and the threads of array_record's first file, on any machine.
_RECORDS, _RECORD_THREADS = 330 * _MIB, 64


def check_start() -> None:
  """Whether any run can start, at a cost of some milliseconds.

  Raises:
    RefusedError: a limit of the process is too low, and which.
  """
  threads = _count_threads()
  _check_limit(errno.EMFILE, _FILES, 'a run')
  _check_limit(errno.ENOMEM, _BASE + threads * (_THREAD + _find_stack()),
               'a run')
  _check_threads(threads)


@functools.cache
def check_records() -> None:
  """Whether files of array_record can be opened, before the first one is.

  Raises:
    RefusedError: a limit of the process is too low, and which.
  """
  threads = _count_threads()
  _check_limit(errno.ENOMEM, _BASE + threads * (_THREAD + _find_stack())
               + _RECORDS + _RECORD_THREADS * _find_stack(),
               'a run that reads such data')
  _check_threads(_RECORD_THREADS)  # JAX has its own by now.


def _count_threads() -> int:
  """How many threads a run has at least.

  Two a core are JAX's, one NumPy's; the rest are LLVM's and TensorStore's, as
  many as find work, and Python's.
  """
  cores = count_cores()
  return 16 + 2 * cores + min(cores, 64) + min(2 * cores, 24)


def count_cores() -> int:
  """As many as the process may use."""
  try:
    return len(os.sched_getaffinity(0))
  except AttributeError:  # Not on every system.
    return os.cpu_count() or 1


def _find_stack() -> int:
  """Bytes of address space that a thread's stack takes."""
  limit = refusals.find_limit('STACK')
  return _STACK if limit is None else limit


def _check_limit(number: int, least: int, what: str) -> None:
  """RefusedError where a limit is less than what is needed."""
  name, _, _, unit = refusals.LIMITS[number]
  limit = refusals.find_limit(name)
  if limit is not None and limit < least:
    raise refusals.RefusedError(
        f'{refusals.say_limit(number)} is too low; {what} needs at least'
        f' {-(-least // unit)} here: raise it and run the same command again')


def _check_threads(count: int) -> None:
  """Starts so many threads at once, and ends them."""
  go = threading.Event()
  started = []
  try:
    for _ in range(count):
      thread = threading.Thread(target=go.wait)
      thread.start()
      started.append(thread)
  except (RuntimeError, MemoryError) as error:
    raise refusals.RefusedError(
        f'only {len(started)} of the {count} threads that are needed at least'
        f' can be started; {refusals.advise_threads()}') from error
  finally:
    go.set()
    for thread in started:
      thread.join()
