"""A family made ready to run: packed, initialised, placed on its devices."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from shallow_mimic.data.pools import Pool
from shallow_mimic.training import batches, chunks, family, parallel, step
from shallow_mimic.training.family_data import FamilyData, choose_normalizer
from shallow_mimic.training.objectives import Objective
from shallow_mimic.training.settings import Settings


class Program(NamedTuple):
  """A family ready to run: buckets, arrays and compiled functions.

  `data` are whole and in place; None where they are streamed.
  """

  buckets: list[family.Bucket]
  states: list[step.MemberState]
  hypers: list[step.Hyper]
  data: batches.Data | None
  dev: tuple[Pool, jax.Array]
  chunk: Callable
  select: Callable
  placement: parallel.Placement


def make_program(members: Sequence[family.Member], family_data: FamilyData,
                 settings: Settings) -> Program:
  """Packs a family, initialises it and compiles nothing yet."""
  recipe = settings.recipe
  devices = parallel.choose_devices(settings.devices)
  shape = family_data.data.pool.input_shape
  buckets = family.make_buckets(
      members, shape, family_data.classes, batch=recipe.batch,
      waste=settings.waste, overhead=settings.bucket_overhead,
  )
  if settings.split == 'family':  # Further ones would repeat members.
    devices = devices[:max(len(b.indices) for b in buckets)]
  parallel.check_split(settings.split, recipe.batch, len(devices))
  objectives = tuple(dict.fromkeys(m.objective for m in members))
  hypers = [make_hypers(b, members, objectives, family_data, settings.base_seed)
            for b in buckets]
  states = [_init_states(b, members, family_data, settings) for b in buckets]
  placement = parallel.Placement(
      devices, settings.split if len(devices) > 1 else '',
      [len(b.indices) for b in buckets])
  extra: dict[str, Any] = {}
  if placement.split == 'batch':
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
  data = None if family_data.data.pool.streamed else family_data.data
  data, dev = parallel.replicate(
      (data, (family_data.dev, family_data.dev_labels)), devices
  )
  return Program(
      buckets, placement.place(states), placement.place(hypers), data, dev,
      placement.wrap(chunk), placement.wrap(select), placement)


def make_hypers(bucket: family.Bucket, members: Sequence[family.Member],
                objectives: Sequence[Objective], family_data: FamilyData,
                base_seed: int) -> step.Hyper:
  """The constants of a bucket's members as arrays [S, …]."""
  rows, streams = [], batches.find_streams(members)
  for index in bucket.indices:
    member = members[index]
    teacher = (family_data.teachers.index(member.teacher)
               if member.teacher else 0)
    key = family.member_keys(base_seed, member)[1]
    rows.append(step.Hyper(
        key=jax.random.key_data(key),
        stream=np.int32(streams.index((member.seed, member.mixture))),
        learning_rate=np.float32(member.learning_rate),
        weight_decay=np.float32(member.weight_decay),
        objective=np.int32(objectives.index(member.objective)),
        mixture=np.int32(family_data.sets.index(member.mixture)),
        teacher=np.int32(teacher),
        unit_mask=family.make_unit_mask(member.width, bucket.width),
        normalizer=choose_normalizer(member, family_data),
    ))
  # NumPy stacks them on the host, so that nothing has to be compiled for it.
  stacked = jax.tree.map(lambda *leaves: np.stack(leaves),
                         *jax.device_get(rows))
  return stacked._replace(key=jax.random.wrap_key_data(stacked.key))


def _init_states(
    bucket: family.Bucket, members: Sequence[family.Member],
    family_data: FamilyData, settings: Settings) -> step.MemberState:
  params = family.init_bucket(
      bucket, members, settings.base_seed,
      family_data.data.pool.input_shape, family_data.classes,
  )
  init = functools.partial(step.init_state, settings.recipe)
  return jax.jit(jax.vmap(init))(params)
