"""A family made ready to run: packed, initialised, placed on its devices."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from shallow_mimic.data.pools import Pool
from shallow_mimic.training import batches, chunks, family, parallel, step
from shallow_mimic.training.inputs import Inputs, choose_normalizer
from shallow_mimic.training.objectives import Objective
from shallow_mimic.training.settings import Settings


class Program(NamedTuple):
  """A family ready to run: buckets, arrays and compiled functions.

  `data` are whole and in place; None where they are streamed. `devices` are
  those in use: `join(states)` has a member's leaves once, [S, …], whatever
  they are, and `place` puts them on the devices again.
  """

  buckets: list[family.Bucket]
  states: list[step.MemberState]
  hypers: list[step.Hyper]
  data: batches.Data | None
  dev: tuple[Pool, jax.Array]
  chunk: Callable
  select: Callable
  join: Callable
  place: Callable
  devices: list[jax.Device]


def make_program(members: Sequence[family.Member], inputs: Inputs,
                 settings: Settings) -> Program:
  """Packs a family, initialises it and compiles nothing yet."""
  recipe = settings.recipe
  devices = parallel.choose_devices(settings.devices)
  shape = inputs.data.pool.input_shape
  buckets = family.make_buckets(
      members, shape, inputs.classes, batch=recipe.batch, waste=settings.waste,
      overhead=settings.bucket_overhead,
  )
  if settings.split == 'family':  # More would train the same members again.
    devices = devices[:max(len(b.indices) for b in buckets)]
  parallel.check_split(settings.split, recipe.batch, len(devices))
  objectives = tuple(dict.fromkeys(m.objective for m in members))
  hypers = [make_hypers(b, members, objectives, inputs, settings.base_seed)
            for b in buckets]
  states = [_init_states(b, members, inputs, settings) for b in buckets]
  split_batch = settings.split == 'batch' and len(devices) > 1
  extra = {}
  if split_batch:
    extra = dict(shard=parallel.make_shard(len(devices)),
                 spread=parallel.spread_key, average=parallel.average)
  chunk = chunks.make_chunk_fn([
      step.make_update_fn(
          b.net, objectives, recipe, **extra,
          dropout=step.has_dropout(members[b.indices[0]].net_options),
      ) for b in buckets
  ], [chunks.choose_group(b, recipe.batch, devices[0].platform)
      for b in buckets])
  select = chunks.make_selection_fn([b.net for b in buckets])
  counts = [len(b.indices) for b in buckets]
  wrap, place, join = _choose_placement(counts, devices, split_batch)
  data = None if inputs.data.pool.streamed else inputs.data
  data, dev = parallel.replicate(
      (data, (inputs.dev, inputs.dev_labels)), devices
  )
  return Program(
      buckets, place(states), place(hypers), data, dev, wrap(chunk),
      wrap(select), join, place, devices)


def _choose_placement(counts, devices, split_batch):
  """wrap(function), place(trees), join(trees): one device, or either split.

  Arrays are put in place at once: what the second call gets, or one that goes
  on from a checkpoint, lies as the first did, and the program compiles once.
  """
  if len(devices) > 1 and not split_batch:
    split = lambda trees: parallel.scatter(
        [parallel.split_members(t, len(devices)) for t in trees], devices)
    join = lambda trees: [parallel.join_members(t, n)
                          for t, n in zip(trees, counts, strict=True)]
    return (lambda function: parallel.make_family_split(function, devices),
            split, join)
  wrap = parallel.make_single if len(devices) == 1 else (
      lambda function: parallel.make_batch_split(function, devices))
  return (wrap, lambda trees: parallel.replicate(trees, devices),
          lambda trees: trees)


def make_hypers(bucket: family.Bucket, members: Sequence[family.Member],
                objectives: Sequence[Objective], inputs: Inputs,
                base_seed: int) -> step.Hyper:
  """The constants of a bucket's members as arrays [S, …]."""
  rows, streams = [], batches.find_streams(members)
  for index in bucket.indices:
    member = members[index]
    teacher = (inputs.teachers.index(member.teacher) if member.teacher else 0)
    key = family.member_keys(base_seed, member)[1]
    rows.append(step.Hyper(
        key=jax.random.key_data(key),
        stream=np.int32(streams.index((member.seed, member.inputs))),
        learning_rate=np.float32(member.learning_rate),
        weight_decay=np.float32(member.weight_decay),
        objective=np.int32(objectives.index(member.objective)),
        inputs=np.int32(inputs.sets.index(member.inputs)),
        teacher=np.int32(teacher),
        unit_mask=family.make_unit_mask(member.width, bucket.width),
        normalizer=choose_normalizer(member, inputs),
    ))
  # Stacked on the host: there it is no program to compile.
  stacked = jax.tree.map(lambda *leaves: np.stack(leaves),
                         *jax.device_get(rows))
  return stacked._replace(key=jax.random.wrap_key_data(stacked.key))


def _init_states(bucket, members, inputs, settings):
  params = family.init_bucket(
      bucket, members, settings.base_seed,
      inputs.data.pool.input_shape, inputs.classes,
  )
  init = functools.partial(step.init_state, settings.recipe)
  return jax.jit(jax.vmap(init))(params)
