"""Interleaved timing: contenders take turns, medians are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def measure(contenders: Mapping[str, Callable[[], object]], *,
            rounds: int = 7) -> dict[str, float]:
  """Median seconds of a call of each, taken in turns after one warm-up.

  Turns, because the load of a shared machine drifts: what drifts hits all.
  """
  for call in contenders.values():
    call()
    call()
  times: dict[str, list[float]] = {name: [] for name in contenders}
  for _ in range(rounds):
    for name, call in contenders.items():
      started = time.perf_counter()
      call()
      times[name].append(time.perf_counter() - started)
  return {name: statistics.median(values) for name, values in times.items()}


def ratios(seconds: Mapping[str, float], ours: str) -> dict[str, str]:
  """How many times as long as ours each of the others takes."""
  return {name: f'{value / seconds[ours]:.2f}'
          for name, value in seconds.items()}
