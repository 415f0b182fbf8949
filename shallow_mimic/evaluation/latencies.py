"""Stage between students and curves: how long each net takes for a batch.

Off unless `report.latency` says otherwise: times differ from run to run, so
they are measured once, once for each net's shape, and read back ever after.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shallow_mimic import models
from shallow_mimic.evaluation.records import Record
from shallow_mimic.runs import files

BATCHES = (1, 256)  # A `Record` has a field for each, latency_ms_1.
_FILE = 'latencies.json'
_ROUNDS = {1: 15, 256: 7}
_REPEATS = 3  # in each turn, after one call that is not counted


class Subject(NamedTuple):
  """What is timed: one net, or an ensemble's nets in one program.

  `space` is where an ensemble is averaged, '' for one net.
  """

  nets: tuple[models.Net, ...]
  space: str = ''


def make_subject(nets: Sequence[models.Net], space: str = '') -> Subject:
  """Without what matters in training alone: equal nets take equal time."""
  return Subject(tuple(dataclasses.replace(
      net, options=dataclasses.replace(
          net.options, dropout_input=0.0, dropout_hidden=0.0, dropout_conv=0.0,
          bias_spread=0.0)) for net in nets), space)


def make_call(subject: Subject, combine: Callable[..., jax.Array],
              batch: int) -> Callable[[], None]:
  """A call of a subject: jitted, on the default device, waits for its end.

  Args:
    subject: the nets; their parameters are random.
    combine: logits [T, B, C] and space to logits, see `ensemble_logits`.
    batch: B inputs, which lie on the device already.
  """
  keys = jax.random.split(jax.random.key(0), len(subject.nets))
  params = [net.init(key)
            for net, key in zip(subject.nets, keys, strict=True)]
  shape = (batch, *subject.nets[0].input_shape)
  x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)

  @jax.jit
  def run(params, x):
    logits = [net.apply(p, x)
              for net, p in zip(subject.nets, params, strict=True)]
    return combine(jnp.stack(logits), subject.space) if subject.space else (
        logits[0])

  return lambda: jax.block_until_ready(run(params, x))


def measure(calls: Mapping[Any, Callable[[], None]], rounds: int, *,
            clock: Callable[[], float] = time.perf_counter,
            ) -> dict[Any, float]:
  """Median milliseconds of each call, warm, taken in turns.

  Turns, because the load of a shared machine drifts: what drifts hits all.
  Each turn begins with a call that is not counted, as the others' turns have
  emptied the caches.
  """
  times: dict[Any, list[float]] = {name: [] for name in calls}
  for call in calls.values():
    call()  # Compiles.
  for _ in range(rounds):
    for name, call in calls.items():
      call()
      for _ in range(_REPEATS):
        started = clock()
        call()
        times[name].append(1000 * (clock() - started))
  return {name: statistics.median(values) for name, values in times.items()}


def write_latencies(directory: os.PathLike | str,
                    subjects: Mapping[tuple[str, str, int], dict[str, Subject]],
                    combine: Callable[..., jax.Array]) -> str:
  """Times every different subject once, writes who takes how long; a digest.

  Args:
    directory: the stage's own folder.
    subjects: by role, model and width; then by the end of the metric's name,
      '' for a net as it is used and '_factored' for a second form of it.
    combine: see `make_call`.
  """
  directory = pathlib.Path(directory)
  different = list(dict.fromkeys(
      subject for forms in subjects.values() for subject in forms.values()))
  found = {}
  for batch in BATCHES:
    calls = {one: make_call(one, combine, batch) for one in different}
    found[batch] = measure(calls, _ROUNDS[batch])
  records = []
  for (role, model, width), forms in subjects.items():
    times = {f'latency_ms_{batch}{end}': found[batch][subject]
             for batch in BATCHES for end, subject in forms.items()}
    records.append({'role': role, 'model': model, 'width': width, **times})
  device = jax.devices()[0]
  files.write_json(directory / _FILE, {
      'records': records, 'device': f'{device.platform}: {device.device_kind}'})
  return files.digest_json(records)


def read_latencies(
    directory: os.PathLike | str,
) -> dict[tuple[str, str, int], dict[str, Any]]:
  """Metrics by role, model and width, with the device's name."""
  read = files.read_json(pathlib.Path(directory) / _FILE)
  return {(one.pop('role'), one.pop('model'), one.pop('width')):
          one | {'latency_device': read['device']} for one in read['records']}


def add_latencies(directory: os.PathLike | str,
                  records: Sequence[Record]) -> list[Record]:
  """Final records with the times of their nets; the others as they are."""
  timed = read_latencies(directory)
  return [dataclasses.replace(r, **timed[r.role, r.model, r.width])
          if r.phase == 'final' else r for r in records]
