"""What a configuration will do, before it does anything."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from shallow_mimic import (
    configs,
    errors,
    evaluation,
    family,
    models,
    students,
    teachers,
)
from shallow_mimic.data import arrays

# A step is a forward pass and about twice as much again going backward.
_STEP_FACTOR = 3
# Parameters, two moments, and the best parameters so far.
_COPIES = 4
# Share of the matmul peak that training steps were measured to reach.
_EFFICIENCY = 0.35


class Shapes(NamedTuple):
  """What a plan has to know of the data: one input, classes, train inputs."""

  input_shape: tuple[int, ...]
  classes: int
  examples: int


def stated_shapes(config: Any) -> Shapes:
  """Shapes as stated, as the source has them, or as its `.npz` has them.

  Raises:
    UserError: the configuration does not state them.
  """
  data = config.data
  if data.source == 'mnist1d':
    return Shapes((40,), 10, 4000 - data.dev)
  if data.source == 'arrays' and data.path:
    parts = arrays.read_arrays(data.path)
    x, labels = parts['train']
    apart = 0 if 'dev' in parts else data.dev
    return Shapes(x.shape[1:], int(labels.max()) + 1, len(x) - apart)
  if not data.input_shape or data.classes < 1:
    raise errors.UserError(
        'the plan needs config.data.path, or else config.data.input_shape and'
        f' config.data.classes, for the source {data.source!r}'
    )
  return Shapes(tuple(data.input_shape), data.classes, data.examples)


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


def make_plan(config: Any, shapes: Shapes, rate: float) -> str:
  """The whole plan as text.

  Args:
    config: see `configs.default_config`.
    shapes: of the data.
    rate: multiply-adds a second, see `matmul_rate`.

  Raises:
    UserError: the configuration is wrong, or a net does not fit the data.
  """
  configs.check_config(config)
  deep = {name: teachers.make_members(name, group)
          for name, group in config.teachers.items()}
  section = config.students
  problem = shapes.input_shape, shapes.classes
  search = students.make_members(
      section, *problem, seeds=section.search_seeds)
  first = (section.learning_rates[0], 0.0)
  final = students.make_members(
      section, *problem, seeds=section.seeds,
      rates={(m.model, m.width): first for m in search})
  everyone = [m for group in deep.values() for m in group] + final
  work = sum(_work(deep[name], group.steps * group.batch, shapes)
             for name, group in config.teachers.items())
  work += _work(search, section.search_steps * section.batch, shapes)
  work += _work(final, section.steps * section.batch, shapes)
  lines = [
      f'data      {config.data.source} {config.data.name}: inputs of shape'
      f' {shapes.input_shape}, {shapes.classes} classes,'
      f' {shapes.examples:,} training inputs before transfer sets',
      '', *_net_table(everyone, shapes), '',
      *_bucket_table('search', search, section, shapes),
      *_bucket_table('students', final, section, shapes), '',
      f'memory    {_gigabytes(final, shapes):.2f} GB of student state'
      f' (parameters, optimiser, best), {_gigabytes_data(shapes):.2f} GB of'
      ' training inputs a copy',
      f'work      {work:.3g} multiply-adds',
      f'estimate  {_duration(work / (rate * _EFFICIENCY))} at'
      f' {_EFFICIENCY:.0%} of this machine\'s {2 * rate / 1e9:.0f} GFLOP/s',
  ]
  return '\n'.join(lines)


def _work(members: Sequence[family.Member], examples: int,
          shapes: Shapes) -> float:
  """Multiply-adds of training all members on so many examples each."""
  return float(_STEP_FACTOR * examples * sum(
      models.count_multiply_adds(_net(m, shapes)) for m in members))


def _net(member: family.Member, shapes: Shapes) -> models.Net:
  return family.member_net(member, shapes.input_shape, shapes.classes)


def _net_table(members: Iterable[family.Member], shapes: Shapes) -> list[str]:
  """A line for each net: its true sizes."""
  rows = [('model', 'architecture', 'parameters', 'absorbed', 'units',
           'multiply-adds', 'depth')]
  seen = {}
  for member in members:
    seen.setdefault((member.model, member.width), member)
  for member in seen.values():
    net = _net(member, shapes)
    sizes = evaluation.model_sizes(net)
    rows.append((
        member.model, str(net.architecture), _count(sizes['parameters']),
        _count(sizes['parameters_absorbed']), _count(sizes['hidden_units']),
        _count(sizes['multiply_adds']), str(sizes['sequential_depth']),
    ))
  return format_columns(rows)


def _bucket_table(title, members, section, shapes):
  """A line for each bucket: its width, its members and its padding."""
  if not members:
    return []
  buckets = family.make_buckets(
      members, shapes.input_shape, shapes.classes, batch=section.batch,
      waste=section.waste,
  )
  platform = jax.default_backend()
  rows = [(title, 'width', 'members', 'side by side', 'padding')]
  rows += [('', str(b.width), str(len(b.indices)),
            str(family.choose_group(b, section.batch, platform)),
            f'{b.waste:.1%}') for b in buckets]
  return format_columns(rows)


def format_columns(rows: Sequence[Sequence[str]]) -> list[str]:
  """Rows of text as aligned columns; the first two lean left."""
  widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
  return ['  '.join(
      cell.ljust(width) if i < 2 else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
  ).rstrip() for row in rows]


def _gigabytes(members, shapes):
  return 4e-9 * _COPIES * sum(
      models.count_parameters(_net(m, shapes)) for m in members)


def _gigabytes_data(shapes):
  size = 4e-9 * shapes.examples
  for axis in shapes.input_shape:
    size *= axis
  return size


def _count(number: int) -> str:
  """1234567 as 1.23M; one decimal from 20 on, where a second says little."""
  for unit, suffix in ((1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
    if number >= unit:
      value = number / unit
      return f'{value:.{2 if value < 20 else 1}f}{suffix}'
  return str(number)


def _duration(seconds: float) -> str:
  for unit, name in ((86400, 'days'), (3600, 'hours'), (60, 'minutes')):
    if seconds >= 2 * unit:
      return f'{seconds / unit:.1f} {name}'
  return f'{seconds:.0f} seconds'
