"""The family against one student after another, and against naive padding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shallow_mimic import losses, models, training
from shallow_mimic.data import pools
from shallow_mimic.training import batches, family, objectives
from shallow_mimic.training.program import make_program

from . import timing

_OBJECTIVE = objectives.Objective('logit_regression')


@dataclasses.dataclass(frozen=True)
class Case:
  """A family's shape; `steps` are timed at a time."""

  name: str
  features: int
  classes: int
  widths: tuple[int, ...]
  seeds: int
  batch: int
  bottleneck: int = 0
  steps: int = 20
  examples: int = 10_000


CASES = (
    Case('40 → 16…1024 → 10, 3 seeds, batch 128', 40, 10,
         (16, 32, 64, 128, 256, 512, 1024), 3, 128, steps=100),
    Case('1845 → 64…2048 → 183, batch 128', 1845, 183,
         (64, 128, 256, 512, 1024, 2048), 1, 128),
    Case('1845 → 250L → 250…8000 → 183, batch 512', 1845, 183,
         (250, 500, 1000, 2000, 4000, 8000), 1, 512, bottleneck=250, steps=3),
)


def make_members(case: Case) -> list[family.Member]:
  """Mimics of one teacher."""
  architecture = f'{case.bottleneck}L-H' if case.bottleneck else 'H'
  return [
      family.Member('SNN-MIMIC', architecture, width, seed, 1e-3, _OBJECTIVE,
                    'train', 'teacher')
      for width in case.widths for seed in range(case.seeds)
  ]


def make_inputs(case: Case) -> training.FamilyData:
  """Noise in the shape of a data set and of a teacher's logits."""
  draw = np.random.default_rng(0)
  x = draw.standard_normal((case.examples, case.features), np.float32)
  targets = draw.standard_normal((1, case.examples, case.classes), np.float32)
  return training.FamilyData(
      data=batches.Data(
          pools.Pool(x), np.zeros(case.examples, np.int32), targets,
          np.arange(case.examples, dtype=np.int32)[None],
          np.array([case.examples], np.int32)),
      sets=('train',), teachers=('teacher',),
      normalizers={('teacher', 'train'): losses.LogitNormalizer(
          jnp.zeros(case.classes), jnp.ones(case.classes))},
      dev=pools.Pool(x[:10]), dev_labels=np.zeros(10, np.int32),
      classes=case.classes,
  )


def make_run(members: Sequence[family.Member], case: Case,
             inputs: training.FamilyData,
             **settings: Any) -> Callable[[], None]:
  """Returns run(): `case.steps` steps of a family, awaited."""
  recipe = training.Recipe(steps=10 ** 6, batch=case.batch)
  program = make_program(members, inputs, training.Settings(
      recipe, eval_every=1, **{'devices': 1, **settings}))
  states = program.states

  def run():
    nonlocal states
    states, loss = program.chunk(
        states, program.hypers, program.data, np.int32(0),
        np.int32(case.steps))
    jax.block_until_ready(loss)

  return run


def make_solo_run(members: Sequence[family.Member], case: Case,
                  inputs: training.FamilyData) -> Callable[[], None]:
  """Returns run(): the same students, each by a program of its own."""
  runs = [make_run([member], case, inputs) for member in members]

  def run():
    for one in runs:
      one()

  return run


def count_flops(case: Case) -> float:
  """Of one step of all students: forward, and what going back needs."""
  total = 0
  for member in make_members(case):
    net = models.make_net(
        models.with_width(member.architecture, member.width),
        (case.features,), case.classes)
    forward = models.count_multiply_adds(net)
    # The first layer needs no gradient of its inputs.
    first = case.features * (case.bottleneck or member.width)
    total += 2 * case.batch * (3 * forward - first)
  return float(total)


def compare(case: Case, peak: float, *, torch: bool) -> dict[str, str]:
  """One row: milliseconds a step of ours, and ratios of the others to it."""
  members, inputs = make_members(case), make_inputs(case)
  contenders = {
      'family': make_run(members, case, inputs),
      'JAX one by one': make_solo_run(members, case, inputs),
  }
  if case.bottleneck == 0:
    contenders['padded to the widest'] = make_run(
        members, case, inputs, waste=0.999, bucket_overhead=10 ** 18)
  calls = dict.fromkeys(contenders, case.steps)
  if torch:
    from . import pytorch  # noqa: PLC0415  (an extra)

    for name, fused in (('PyTorch', False), ('PyTorch, fused Adam', True)):
      students = [pytorch.make_student(
          case.features, case.bottleneck, m.width, case.classes)
          for m in members]
      contenders[name] = pytorch.make_regression_run(
          students, inputs.data.pool.x, np.asarray(inputs.data.targets[0]),
          case.batch, fused=fused)
      calls[name] = 1
  seconds = {name: value / calls[name]
             for name, value in timing.measure(contenders).items()}
  ours = seconds['family']
  return {
      'family': case.name, 'ms a step': f'{1e3 * ours:.2f}',
      'of matmul peak': f'{count_flops(case) / ours / peak:.0%}',
      **{name: value for name, value in timing.ratios(seconds, 'family').items()
         if name != 'family'},
  }
