"""Many steps of a whole family in one program, and the choice of the best.

Buckets are independent, and so are their members: how they are interleaved
is a matter of speed alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from shallow_mimic import models
from shallow_mimic.data.pools import take
from shallow_mimic.training.family import Bucket
from shallow_mimic.training.step import MemberState, real_units

# Activations, units × batch, that stay in a CPU core's cache.
CPU_CACHE_UNITS = 400_000


def make_chunk_fn(updates: Sequence[Callable],
                  groups: Sequence[int]) -> Callable:
  """Returns chunk(states, hypers, data, start, stop) -> (states, losses).

  One program for the whole family. Each bucket is one `vmap`, taken `groups`
  members at a time: members are independent, so a group may run all steps of
  the chunk before the next begins, while it is in the processor's cache. The
  bounds are traced, so any chunk, resumed or not, runs the same compiled code
  and ends with the same bits. `losses` are means over the chunk's steps, one
  [S] per bucket.
  """
  def chunk(states, hypers, data, start, stop):
    results = [None] * len(updates)
    members = list(zip(states, hypers, strict=True))
    together = [i for i, (group, (state, _)) in enumerate(
        zip(groups, members, strict=True))
                if group >= state.best_accuracy.shape[0]]
    if together:
      done = _make_run([updates[i] for i in together])(
          [members[i] for i in together], data, start, stop)
      for i, result in zip(together, done, strict=True):
        results[i] = result
    for i, result in enumerate(results):
      if result is None:
        results[i] = _map_groups(
            functools.partial(_run_alone, _make_run([updates[i]]), data, start,
                              stop), groups[i], members[i])
    return [state for state, _ in results], [loss for _, loss in results]

  return chunk


def _run_alone(run, data, start, stop, part):
  """Many steps of one bucket, or of some of its members."""
  return run([part], data, start, stop)[0]


def _make_run(updates):
  """Many steps of one or more buckets, step by step side by side."""
  mapped = [jax.vmap(u, in_axes=(0, 0, None, None)) for u in updates]

  def run(members, data, start, stop):
    hypers = [hyper for _, hyper in members]

    def body(step, carry):
      states, totals = carry
      results = [update(state, hyper, data, step) for update, state, hyper
                 in zip(mapped, states, hypers, strict=True)]
      return ([state for state, _ in results],
              [total + loss for total, (_, loss)
               in zip(totals, results, strict=True)])

    states = [state for state, _ in members]
    totals = [jnp.zeros_like(state.best_accuracy) for state in states]
    states, totals = jax.lax.fori_loop(start, stop, body, (states, totals))
    count = jnp.maximum(stop - start, 1)
    return [(state, total / count)
            for state, total in zip(states, totals, strict=True)]

  return run


def _map_groups(run, group, members):
  """Runs [S, …] members `group` at a time, the last group being smaller."""
  count = members[0].best_accuracy.shape[0]
  whole = count - count % group
  grouped = jax.tree.map(
      lambda leaf: leaf[:whole].reshape(
          whole // group, group, *leaf.shape[1:]), members
  )
  result = jax.tree.map(
      lambda leaf: leaf.reshape(whole, *leaf.shape[2:]),
      jax.lax.map(run, grouped),
  )
  if whole == count:
    return result
  rest = run(jax.tree.map(lambda leaf: leaf[whole:], members))
  return jax.tree.map(lambda *parts: jnp.concatenate(parts), result, rest)


def make_selection_fn(nets: Sequence[models.Net], *,
                      batch: int = 500) -> Callable:
  """Returns select(states, hypers, dev, labels, step) → (states, accuracies).

  Accuracy on the pool `dev` of each member; parameters that are at least as
  good as the best so far are kept. A member whose parameters are not finite
  scores -1.
  """
  def accuracy(net, params, hyper, dev, labels):
    count = len(dev.x)

    def judge(rows):
      outputs = net.apply(params, take(dev, jnp.minimum(rows, count - 1)),
                          unit_mask=real_units(hyper))
      logits = hyper.normalizer.denormalize(outputs)
      right = jnp.argmax(logits, -1) == jnp.asarray(labels)[rows]
      return (jnp.sum(right & (rows < count), dtype=jnp.float32),
              jnp.all(jnp.isfinite(logits)))

    # Rows past the end are the last one again; they do not count.
    size = min(batch, count)
    blocks = jnp.arange(-(-count // size) * size).reshape(-1, size)
    right, finite = jax.lax.map(judge, blocks)
    return jnp.where(jnp.all(finite), jnp.sum(right) / count, -1.0)

  def select_one(net):
    def select(state, hyper, dev, labels, step):
      value = accuracy(net, state.params, hyper, dev, labels)
      better = value >= state.best_accuracy
      best = jax.tree.map(lambda new, old: jnp.where(better, new, old),
                          state.params, state.best_params)
      return MemberState(
          state.params, state.optimizer, best,
          jnp.where(better, value, state.best_accuracy),
          jnp.where(better, step, state.best_step),
      ), value
    return jax.vmap(select, in_axes=(0, 0, None, None, None))

  selects = [select_one(net) for net in nets]

  def select_all(states, hypers, dev, labels, step):
    results = [s(state, hyper, dev, labels, step) for s, state, hyper
               in zip(selects, states, hypers, strict=True)]
    return [state for state, _ in results], [value for _, value in results]

  return select_all


def choose_group(bucket: Bucket, batch: int, platform: str) -> int:
  """How many of a bucket's members run side by side.

  All of them on an accelerator. On a CPU as many as keep their activations in
  its cache: measured up to twice as fast as all at once.
  """
  count = len(bucket.indices)
  if platform != 'cpu':
    return count
  units = max(1, models.count_hidden_units(bucket.net)) * batch
  most = max(1, CPU_CACHE_UNITS // units)
  if most >= count:
    return count
  # Groups of one size are one program; a smaller last group is a second one.
  even = max(size for size in range(1, most + 1) if count % size == 0)
  return even if 2 * even > most else most
