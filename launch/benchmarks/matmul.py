"""The machine's own limit: bare matrix products, in JAX and in PyTorch."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from . import timing

_SHAPES = ((2048, 2048, 2048), (1024, 40, 128), (2048, 1845, 128),
           (8000, 250, 512))
_REPEATS = 20


def make_run(m: int, k: int, n: int):
  """Returns run(): some products [m, k] × [k, n], awaited."""
  a, b = jnp.ones((m, k)), jnp.ones((k, n))
  multiply = jax.jit(lambda a, b: a @ b)

  def run():
    for _ in range(_REPEATS):
      product = multiply(a, b)
    product.block_until_ready()

  return run


@functools.cache
def peak() -> float:
  """FLOP/s of the largest product."""
  m, k, n = _SHAPES[0]
  seconds = timing.measure({'run': make_run(m, k, n)}, rounds=5)['run']
  return 2 * m * k * n * _REPEATS / seconds


def _repeat(run: Callable[[], object]) -> None:
  for _ in range(_REPEATS):
    run()


def compare(*, torch: bool) -> list[dict[str, str]]:
  """GFLOP/s of each product, in both."""
  rows = []
  for m, k, n in _SHAPES:
    contenders = {'JAX': make_run(m, k, n)}
    if torch:
      from . import pytorch  # noqa: PLC0415  (an extra)

      one = pytorch.make_matmul_run(m, k, n)
      contenders['PyTorch'] = functools.partial(_repeat, one)
    flops = 2 * m * k * n * _REPEATS
    rows.append({'matmul, GFLOP/s': f'{m} × {k} × {n}', **{
        name: f'{flops / seconds / 1e9:.0f}'
        for name, seconds in timing.measure(contenders).items()}})
  return rows
