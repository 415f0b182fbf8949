"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tqdm import tqdm


class Progress:
  """Tells how far a stage has come: step, rate and time left.

  Use as a context manager; call `update(done, note)` with the steps done.
  """

  def __init__(self, stage: str, total: int, *, done: int = 0,
               interval: float = 10.0,
               write: Callable[[str], None] | None = None):
    self._stage, self._total, self._first = stage, total, done
    self._interval = interval
    self._write = write or (lambda line: print(line, flush=True))
    self._started = self._told = time.monotonic()
    self._bar = None
    if write is None and sys.stdout.isatty():
      self._bar = tqdm(
          desc=stage, total=total, initial=done, file=sys.stdout,
          dynamic_ncols=True, leave=False,
      )

  def __enter__(self) -> Progress:
    return self

  def __exit__(self, *_) -> None:
    if self._bar is not None:
      self._bar.close()

  def update(self, done: int, note: str = '') -> None:
    """Says that `done` of the steps are behind us."""
    if self._bar is not None:
      self._bar.set_postfix_str(note, refresh=False)
      self._bar.update(done - self._bar.n)
      return
    now = time.monotonic()
    if now - self._told < self._interval:
      return
    self._told = now
    rate = max(done - self._first, 1e-9) / (now - self._started)
    left = (self._total - done) / rate
    self._write(
        f'{self._stage}: {done}/{self._total}, {rate:.1f}/s,'
        f' {left:.0f} s left{", " + note if note else ""}'
    )
