"""Metrics of trained nets on a split: one program for all nets of a shape."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shallow_mimic import losses, models
from shallow_mimic.data.pools import Beside, Pool, as_pool, take, widen
from shallow_mimic.evaluation import metrics
from shallow_mimic.training import objectives
from shallow_mimic.training.objectives import Objective


class Judged(NamedTuple):
  """Nets of one shape under judgement, [S, …] each.

  `objective`, `teacher` and `independent` are indices: of the family's
  objectives, and of the leading axis of the split's teacher logits. Without
  `independent`, a second teacher to be compared to, its metrics are left out.
  """

  params: Any
  normalizer: losses.LogitNormalizer
  objective: jax.Array
  teacher: jax.Array
  independent: jax.Array | None = None


class Split(NamedTuple):
  """N inputs, labels [N] and the logits of every teacher [T, N, C].

  All of them count, or those of `rows` alone.
  """

  pool: Pool
  labels: np.ndarray
  targets: np.ndarray | Beside
  rows: np.ndarray | None = None


def evaluate(net: models.Net, family_objectives: Sequence[Objective],
             judged: Judged, split: Split, *,
             batch: int = 500) -> dict[str, np.ndarray]:
  """Accuracy, NLL, ECE, own loss, agreement with and KL to the teacher, [S].

  NLL, KL and loss in nats (loss in squared normalised logits for logit
  regression); the rest are fractions.
  """
  return read_values(
      measure(net, family_objectives, judged, split, batch=batch))


def read_values(sums: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """The metrics [S] that sums come to."""
  return jax.device_get({name: total.value for name, total in sums.items()})


def measure(net: models.Net, family_objectives: Sequence[Objective],
            judged: Judged, split: Split, *,
            batch: int = 500) -> dict[str, Any]:
  """The sums that `evaluate` reads its metrics from, see `metrics`.

  Blocks are gathered here, so that splits of all sizes share one program.
  """
  run = _make_measure(_without_dropout(net), tuple(family_objectives))
  totals: dict[str, Any] = {}
  judged = jax.device_put(judged)  # Once, not for every block.
  chosen = np.arange(len(split.labels)) if split.rows is None else split.rows
  for places, where in zip(*_blocks(len(chosen), batch), strict=True):
    rows = chosen[places]
    part = run(judged, _Block(
        take(split.pool, rows), split.labels[rows],
        widen(split.targets[:, rows]), where))
    totals = jax.tree.map(jnp.add, totals, part) if totals else part
    # Else all blocks would wait in memory for the first to be done.
    jax.block_until_ready(totals)
  return totals


def _without_dropout(net):
  """The net as it is judged, so that nets that differ in it share a program."""
  return dataclasses.replace(net, options=dataclasses.replace(
      net.options, dropout_input=0.0, dropout_conv=0.0, dropout_hidden=0.0))


class _Block(NamedTuple):
  x: Any
  labels: Any
  targets: Any
  where: Any


@functools.lru_cache(maxsize=64)
def _make_measure(net, family_objectives):
  branches = [objectives.make_objective_fn(o) for o in family_objectives]

  def measure_one(one, block):
    where, labels = block.where, block.labels
    outputs = net.apply(one.params, block.x)
    logits = one.normalizer.denormalize(outputs)
    teacher = block.targets[one.teacher]
    own = jax.lax.switch(
        one.objective, branches, outputs, objectives.Batch(teacher, labels),
        one.normalizer,
    )
    own = metrics.Mean(jnp.sum(jnp.where(where, own, 0)),
                       jnp.sum(where, dtype=jnp.float32))
    sums = {
        'accuracy': metrics.accuracy(logits, labels, where=where),
        'nll': metrics.nll(logits, labels, where=where),
        'ece': metrics.calibration(logits, labels, where=where),
        'loss': own,
        'agreement': metrics.agreement(logits, teacher, where=where),
        'kl': metrics.kl(logits, teacher, where=where),
    }
    if one.independent is not None:
      other = block.targets[one.independent]
      sums |= {
          'agreement_independent': metrics.agreement(
              logits, other, where=where),
          'kl_independent': metrics.kl(logits, other, where=where)}
    return sums

  return jax.jit(lambda judged, block: jax.lax.map(
      lambda one: measure_one(one, block), judged))


def _blocks(count, batch):
  """All rows in blocks of one size, with a mask for the padding.

  That is made of rows from the start on: a loss that relates the examples of
  a batch sees a batch like any other.
  """
  rows = np.arange(-(-count // batch) * batch).reshape(-1, batch)
  return rows % count, rows < count


def predict(net: models.Net, params: Any, inputs: Pool | np.ndarray, *,
            batch: int = 512) -> np.ndarray:
  """Logits [N, C] of one net, float32, in blocks of one compiled size."""
  run, pool = _make_predict(net), as_pool(inputs)
  count, params = len(pool.x), jax.device_put(params)
  out = np.empty((count, net.classes), np.float32)
  for start in range(0, count, batch):
    rows = np.arange(start, start + batch)
    block = take(pool, np.minimum(rows, count - 1))
    out[start:start + batch] = np.asarray(run(params, block))[:count - start]
  return out


@functools.lru_cache(maxsize=64)
def _make_predict(net):
  return jax.jit(net.apply)
