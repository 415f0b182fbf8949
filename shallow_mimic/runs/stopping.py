"""Signals that ask for a stop, and are heard wherever the main thread is.

Python runs handlers of signals in the main thread, between two lines of
Python: while that thread compiles or computes inside JAX, minutes may pass.
The number of a signal is written to a socket at once, though, and here a second
thread reads it. Who listens is known from the handlers in force alone: a
listener puts back what it found, and passes on what is not for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from shallow_mimic import errors

# For a caller that starts the same command again, as a batch system does.
SAVED = 75
INTERRUPTED = 130
SIGNALS = tuple(
    getattr(signal, name) for name in ('SIGTERM', 'SIGUSR1', 'SIGINT')
    if hasattr(signal, name))
# Seconds: what is worth a line, and until when a stop needs an answer.
_SHORT, _LATE = 3.0, 4.0
# Until then a line is written, or nobody reads.
_PATIENCE = 0.5


def find_status(signum: int) -> int:
  """The exit status of a program that a signal has ended."""
  return INTERRUPTED if signum == signal.SIGINT else SAVED


@contextlib.contextmanager
def end_at_once() -> Iterator[None]:
  """Ends the process in the block with one line and a status, on any signal.

  For scripts: everything on disk is whole at any time. Listens in the main
  thread only, as Python allows no other.
  """
  with _listen(_Ender()):
    yield


@contextlib.contextmanager
def save_first() -> Iterator[Saver]:
  """Yields a Saver, which is told of signals that come in the block.

  A signal that is not heeded by the end of the block is sent again.
  """
  saver = Saver()
  with _listen(saver):
    yield saver
  if saver.signum:
    signal.raise_signal(saver.signum)


class _Listener:
  """Listens from a thread of its own.

  Attributes:
    outer: handlers and, as a file descriptor, the socket of who listens when
      this one does not; -1 for nobody.
  """

  outer: tuple[dict[int, Any], int] = {}, -1

  def handle(self, signum: int, frame: Any) -> None:
    """What Python calls in the main thread, when it comes to it."""

  def listen(self, heard: socket.socket) -> None:
    """Reads a byte a signal, to the end of the stream."""
    raise NotImplementedError

  def pass_on(self, signum: int) -> None:
    """Leaves a signal to who listened before."""
    if self.outer[1] >= 0:
      with contextlib.suppress(OSError):
        os.write(self.outer[1], bytes([signum]))


class _Ender(_Listener):

  def listen(self, heard: socket.socket) -> None:
    while number := heard.recv(1):
      if number[0] not in SIGNALS:
        self.pass_on(number[0])
        continue
      try:  # A terminal may be held, or a pipe full: that must not hold us.
        threading.Thread(target=_leave, args=number, daemon=True).start()
        time.sleep(_PATIENCE)
      finally:
        os._exit(find_status(number[0]))


def _leave(signum: int) -> None:
  name, status = signal.Signals(signum).name, find_status(signum)
  try:
    with _over_bars():
      if sys.stdout:
        sys.stdout.flush()
      _say(f'stopped by {name}; start the same command again to go on')
      os._exit(status)  # No bar is drawn again.
  finally:
    os._exit(status)


class _Work(NamedTuple):
  """What the main thread is at, since when, how long it takes; 0: who knows."""

  what: str
  began: float
  seconds: float


class Saver(_Listener):
  """Notes a signal, for a loop that saves what it has done and leaves.

  Until the first work is done there is nothing to save: the signal is left to
  who listened before. So is a second Ctrl-C.

  Attributes:
    signum: the first signal that came; 0 for none.
  """

  def __init__(self) -> None:
    self.signum, self._since = 0, 0.0
    self._handled = False
    self._work: _Work | None = None
    # Of one of the work, the last time; 0 after the first, which compiles.
    self._seconds: dict[str, float] = {}
    self._longest = 0.0

  @contextlib.contextmanager
  def waiting(self, what: str, count: int = 1) -> Iterator[None]:
    """Says what is done in the block; if it takes long, who stops is told.

    Args:
      what: in words, with {} for the count. How long it took the last time
        says how long it will take.
      count: how much of it.
    """
    known, began = self._seconds.get(what), time.monotonic()
    self._work = _Work(what.format(count), began, (known or 0) * count)
    yield
    taken = time.monotonic() - began
    self._work = None
    self._seconds[what] = 0 if known is None else taken / count
    self._longest = max(self._longest, taken)

  def check(self, message: str) -> None:
    """Raises Stopped, with this message, if a signal has come.

    Raises:
      Stopped: a signal has come.
    """
    if self.signum:
      raise errors.Stopped(message, find_status(self.signum))

  def handle(self, signum: int, frame: Any) -> None:
    """Notes it too: the main thread may look before ours has read."""
    again = self._handled and signum == signal.SIGINT
    self._handled = True
    self._note(signum)
    outer = self.outer[0].get(signum)
    if again and callable(outer):
      outer(signum, frame)

  def listen(self, heard: socket.socket) -> None:
    """Notes signals; says what is waited for, when it takes long."""
    told, first = None, True
    while True:
      heard.settimeout(0.5 if self.signum else None)
      try:
        number = heard.recv(1)
      except TimeoutError:
        told = self._tell(told)
        continue
      if not number:
        return
      signum = number[0]
      if signum not in SIGNALS:
        self.pass_on(signum)
        continue
      again = not first and signum == signal.SIGINT
      first = False
      self._note(signum)
      if again or not self._seconds:
        self.pass_on(signum)

  def _note(self, signum: int) -> None:
    if not self.signum:
      self.signum, self._since = signum, time.monotonic()

  def _tell(self, told: _Work | None) -> _Work | None:
    """Says once of every work how long it takes, if that is long."""
    work, now = self._work, time.monotonic()
    if not work or work is told:
      return told
    left = work.began + work.seconds - now
    if left < _SHORT and now - max(work.began, self._since) < _LATE:
      return told
    how = (f'ends in about {left:.0f} s' if left > 0 else 'takes a while; the'
           f' longest work so far took {max(self._longest, 1):.0f} s')
    with _over_bars():
      _say(f'stopping: {work.what} {how} (Ctrl-C ends it at once)')
    return work


@contextlib.contextmanager
def _listen(listener: _Listener) -> Iterator[None]:
  """Lets a listener hear every signal that comes in the block."""
  heard, told = socket.socketpair()
  with heard, told:
    told.setblocking(False)
    thread = threading.Thread(
        target=listener.listen, args=(heard,), daemon=True)
    if not _can_start(thread):
      yield
      return
    fd = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    # What is none of Python's could not be put back.
    old = {s: handler for s in SIGNALS if (handler := signal.getsignal(s))
           is not None}
    listener.outer = old, fd
    for number in old:
      signal.signal(number, listener.handle)
    try:
      yield
    finally:
      signal.set_wakeup_fd(fd)
      for number, handler in old.items():
        signal.signal(number, handler)
      told.close()
      thread.join()


def _can_start(thread: threading.Thread) -> bool:
  """Starts it, if this is the main thread and there may be one more."""
  if threading.current_thread() is not threading.main_thread():
    return False
  try:
    thread.start()
  except RuntimeError:  # Signals do what they do in any program, then.
    return False
  return True


def _forget() -> None:
  """Lets a forked child answer signals itself, not through its parent."""
  handler = signal.getsignal(signal.SIGTERM)
  if isinstance(getattr(handler, '__self__', None), _Listener):
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
      signal.signal(number, signal.default_int_handler
                    if number == signal.SIGINT else signal.SIG_DFL)


if hasattr(os, 'register_at_fork'):
  os.register_at_fork(after_in_child=_forget)


def _over_bars() -> contextlib.AbstractContextManager:
  """Takes progress bars away from the terminal until the block ends."""
  bars = getattr(sys.modules.get('tqdm'), 'tqdm', None)
  return bars.external_write_mode(sys.stderr) if bars else (
      contextlib.nullcontext())


def _say(line: str) -> None:
  print(line, file=sys.stderr, flush=True)
