"""What a configuration will do, before it does anything."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from shallow_mimic import configs, ensembles, errors, models, students, teachers
from shallow_mimic.data import Shapes, find_shapes, find_source, mixtures
from shallow_mimic.pipeline import plan_tables, registered, validation
from shallow_mimic.teachers import realignment
from shallow_mimic.training import family

# A step is a forward pass and about twice as much again going backward.
_STEP_FACTOR = 3
# Parameters, moments, and the best parameters so far.
_COPIES = {'adam': 4, 'muon': 3, 'sgd': 3}
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


def make_plan(config: configs.Given, shapes: Shapes, rate: float) -> str:
  """The whole plan as text.

  Args:
    config: see `configs.default_config`.
    shapes: of the data.
    rate: multiply-adds a second, see `matmul_rate`.

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
  memory = _describe_memory(config, shapes, rows, groups, buckets)
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
          _COPIES[config.students.optimizer])],
      '', f'memory    {memory}',
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


def _make_buckets(config, members, shapes):
  return family.make_buckets(
      members, shapes.input_shape, shapes.classes,
      batch=config.students.batch, waste=config.students.waste)


def _set_rows(config: configs.Config, shapes: Shapes) -> dict[str, int | None]:
  """How many inputs each set will have; None where only the data say it."""
  rows: dict[str, int | None] = {'train': shapes.examples or None}
  for name, spec in config.data.transfer.items():
    rows[name] = spec.get('size')
    copies = spec.get('copies') or len(spec.get('views', ()))
    if copies and rows['train']:
      rows[name] = copies * rows['train']
  return rows


def _labelled_rows(config: configs.Config, rows: Mapping[str, int | None]
                   ) -> dict[str, int]:
  """How many inputs each ensemble labels, as far as this is known."""
  return {name: _count_rows(texts, rows)
          for name, texts in students.find_taught(config).items()}


def _count_rows(texts, rows):
  """How many inputs some texts name in all, of the sets that are known."""
  known = {name: count or 10**12 for name, count in rows.items()}
  return sum(count for name, count in mixtures.make_layout(texts, known).sets
             if rows[name])


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
          count * (1 + config.ensembles[name].mirror)
          * sum(once(ensembles.pick_members(parts.teachers, text))
                for text in config.ensembles[name].members)
          for name, count in _labelled_rows(config, rows).items())),
      'search': float(steps * section.search_steps * once(parts.search)),
      'students': float(steps * section.steps * once(parts.final)),
  }


def _realign_work(config, once):
  member, settings = realignment.make_aligner(config)
  recipe = settings.recipe
  return (_STEP_FACTOR * config.data.speech.realign * recipe.steps
          * recipe.batch * once([member]))


def _count_inputs(config, rows):
  """The most inputs that teachers or students train on, as far as known."""
  texts = [[group.inputs] for group in config.teachers.values()]
  texts.append([curve.inputs for curve in config.students.curves.values()])
  return max(_count_rows(some, rows) for some in texts)


def _describe_memory(config, shapes, rows, groups, buckets):
  """Bytes of what lies on the device at a time, and of what is streamed."""
  section = config.students
  state = max(
      (plan_tables.count_state(phase, _COPIES[section.optimizer])
       for phase in buckets.values()), default=0)
  deep = max((
      _COPIES[group.optimizer] * (group.together or group.members)
      * models.count_parameters(groups[name][0])
      for name, group in config.teachers.items()), default=0)
  # Frames are kept once; their neighbours are gathered.
  context = (2 * config.data.speech.reach + 1
             if find_source(config.data).speech else 1)
  data = _count_inputs(config, rows) * math.prod(shapes.input_shape) / context
  streamed = 4 * data > config.data.memory_gib * 2 ** 30
  cached = shapes.classes * sum(_labelled_rows(config, rows).values())
  shown = [f'{plan_tables.name_size(count)} of {what}' for count, what in (
      (state, 'students'), (deep, 'teachers'),
      (data, 'inputs' + ', streamed from disk' * streamed),
      (cached, 'cached logits'))]
  return (', '.join(shown)
          + ' (nets: parameters, optimiser and the best parameters)')
