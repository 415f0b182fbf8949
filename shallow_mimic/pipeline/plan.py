"""What a configuration will do, before it does anything."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from shallow_mimic import configs, ensembles, errors, models, students, teachers
from shallow_mimic.data import Shapes, find_shapes, mixtures
from shallow_mimic.pipeline import (
  plan_memory,
  plan_tables,
  registered,
  validation,
)
from shallow_mimic.teachers import realignment
from shallow_mimic.training import family

# A step is a forward pass and about twice as much again going backward.
_STEP_FACTOR = 3
# Share of the matmul peak that training steps were measured to reach.
_EFFICIENCY = 0.35


def stated_shapes(config: configs.Given) -> Shapes:
  """Shapes as the source says them, or else as stated.

  Raises:
    UserError: the configuration does not state them.
  """
  data = configs.read_config(config).data
  shapes, limit = find_shapes(data), data.limit_train
  if not shapes:
    if not data.input_shape or data.classes < 1:
      raise errors.UserError(
          'the plan needs config.data.path, or else config.data.input_shape and'
          f' config.data.classes, for the source {data.source!r}'
      )
    shapes = Shapes(tuple(data.input_shape), data.classes, data.examples)
  if limit and shapes.examples:
    shapes = shapes._replace(examples=min(limit, shapes.examples))
  return shapes


def matmul_rate(size: int = 1024) -> float:
  """Multiply-adds a second of this machine's matmul, float32."""
  a = jnp.ones((size, size))
  multiply = jax.jit(lambda a: a @ a)
  multiply(a).block_until_ready()
  times = []
  for _ in range(5):
    started = time.perf_counter()
    multiply(a).block_until_ready()
    times.append(time.perf_counter() - started)
  return size ** 3 / min(times)


class Parts(NamedTuple):
  """All that will be trained: teachers by group, students in two phases."""

  teachers: dict[str, list[family.Member]]
  search: list[family.Member]
  final: list[family.Member]


def make_plan(config: configs.Given, shapes: Shapes, rate: float,
              start_up: float) -> str:
  """The whole plan as text.

  Args:
    config: see `configs.default_config`.
    shapes: of the data.
    rate: multiply-adds a second, see `matmul_rate`.
    start_up: bytes of Python and JAX, see `plan_memory.measure_start_up`.

  Raises:
    UserError: the configuration is wrong, or a net does not fit the data.
  """
  config = validation.check_config(config)
  parts, rows = _make_parts(config, shapes), _set_rows(config, shapes)
  nets = [(member.model, _net(member, shapes)) for member in [
      *(m for group in parts.teachers.values() for m in group), *parts.final]]
  groups = {name: [_net(m, shapes) for m in members]
            for name, members in parts.teachers.items()}
  phases = {'search': parts.search, 'students': parts.final}
  buckets = {phase: _make_buckets(config, members, shapes)
             for phase, members in phases.items()}
  memory = _count_memory(config, shapes, parts, rows, start_up)
  work = _measure_work(config, shapes, parts, rows)
  source = f'{config.data.source} {config.data.name}'.rstrip()
  return '\n'.join([
      f'data      {source}: inputs of shape {shapes.input_shape},'
      f' {shapes.classes} classes',
      f'inputs    {plan_tables.name_sets(rows)}', '',
      *plan_tables.make_net_table(nets, config.ensembles, groups), '',
      *plan_tables.make_loss_table(parts.final), '',
      *[line for phase in phases for line in plan_tables.make_bucket_table(
          phase, buckets[phase], config.students.batch, jax.default_backend(),
          plan_memory.COPIES[config.students.optimizer])],
      '', *plan_memory.make_memory_table(memory),
      '', *plan_tables.make_work_table(work, rate * _EFFICIENCY),
      f'at {_EFFICIENCY:.0%} of this machine\'s {2 * rate / 1e9:.0f} GFLOP/s',
      *registered.say_registered(config),
  ])


def _make_parts(config, shapes):
  section, problem = config.students, (shapes.input_shape, shapes.classes)
  search = students.make_members(section, *problem, seeds=section.search_seeds)
  first = (section.learning_rates[0], 0.0)
  return Parts(
      {name: teachers.make_members(name, group)
       for name, group in config.teachers.items()},
      search, students.make_members(
          section, *problem, seeds=section.seeds,
          rates={(m.model, m.width): first for m in search}))


def _net(member: family.Member, shapes: Shapes) -> models.Net:
  return family.member_net(member, shapes.input_shape, shapes.classes)


def _make_buckets(config, members, shapes, batch=0):
  return family.make_buckets(
      members, shapes.input_shape, shapes.classes,
      batch=batch or config.students.batch, waste=config.students.waste)


def _set_rows(config: configs.Config, shapes: Shapes) -> dict[str, int | None]:
  """How many inputs each set will have; None where only the data say it."""
  rows: dict[str, int | None] = {'train': shapes.examples or None}
  for name, spec in config.data.transfer.items():
    rows[name] = spec.get('size')
    copies = spec.get('copies') or len(spec.get('views', ()))
    if copies and rows['train']:
      rows[name] = copies * rows['train']
  return rows


def _labelled_sets(config: configs.Config, rows: Mapping[str, int | None]
                   ) -> dict[str, dict[str, int]]:
  """How many inputs each ensemble labels of each set that is known."""
  return {name: _count_rows(texts, rows)
          for name, texts in students.find_taught(config).items()}


def _count_rows(texts, rows):
  """How many inputs some texts name of each set that is known."""
  known = {name: count or 10**12 for name, count in rows.items()}
  return {name: count
          for name, count in mixtures.make_layout(texts, known).sets
          if rows[name]}


def _measure_work(config: configs.Config, shapes: Shapes, parts: Parts,
                  rows: Mapping[str, int | None]) -> dict[str, float]:
  """Multiply-adds of each stage, without the looks at dev."""
  def once(members):
    return sum(
        models.count_multiply_adds(_net(m, shapes)) for m in members)
  section = config.students
  steps = _STEP_FACTOR * section.batch
  return {
      'teachers': float(_STEP_FACTOR * sum(
          group.steps * group.batch * once(parts.teachers[name])
          for name, group in config.teachers.items())),
      **({'realign': float(_realign_work(config, once))}
         if config.data.speech.realign else {}),
      'logits': float(sum(
          sum(sets.values()) * once(_list_labellers(config, parts, name))
          for name, sets in _labelled_sets(config, rows).items())),
      'search': float(steps * section.search_steps * once(parts.search)),
      'students': float(steps * section.steps * once(parts.final)),
  }


def _list_labellers(config, parts, name):
  """The members of an ensemble, once more where it looks at mirror images."""
  ensemble = config.ensembles[name]
  members = [member for text in ensemble.members
             for member in ensembles.pick_members(parts.teachers, text)]
  return members * (1 + ensemble.mirror)


def _realign_work(config, once):
  member, settings = realignment.make_aligner(config)
  recipe = settings.recipe
  return (_STEP_FACTOR * config.data.speech.realign * recipe.steps
          * recipe.batch * once([member]))


def _count_memory(config: configs.Config, shapes: Shapes, parts: Parts,
                  rows: Mapping[str, int | None],
                  start_up: float) -> list[plan_memory.Stage]:
  """What each stage takes, in that part of it that takes most."""
  counter = plan_memory.Counter(
      config, shapes, jax.default_backend(), start_up)

  def count(name, members, section, steps):
    texts = [mixtures.split_fold(m.mixture)[0] for m in members]
    return counter.count_family(plan_memory.Trained(
        name, members,
        _make_buckets(config, members, shapes, section.batch), section,
        min(section.eval_every, steps), sum(_count_rows(texts, rows).values())))

  section = config.students
  return [
      counter.count_data(rows),
      *plan_memory.keep_largest(
          count(f'teachers {name}',
                parts.teachers[name][:group.together or group.members],
                group, group.steps)
          for name, group in config.teachers.items()),
      *plan_memory.keep_largest(
          counter.count_labels(
              f'logits {name} {key}', size,
              [_net(m, shapes) for m in _list_labellers(config, parts, name)])
          for name, sets in _labelled_sets(config, rows).items()
          for key, size in sets.items()),
      count('search', parts.search, section, section.search_steps),
      count('students', parts.final, section, section.steps)]
