"""A teacher's training step against PyTorch; the logit cache's overhead."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable

import jax
import numpy as np

from shallow_mimic import ensembles, evaluation, logits, models, training
from shallow_mimic.data import pools
from shallow_mimic.data.dataset import Examples, make_dataset
from shallow_mimic.training import batches, family, objectives
from shallow_mimic.training.program import make_program

from . import timing

_STEPS = 5
_CASES = (
    ('32c-p2-64c-p2-128fc', (40,), 'make_signal_cnn'),
    ('32c3-32c3-p2-64c3-64c3-p2-256fc', (32, 32, 3), 'make_image_cnn'),
)


def make_run(architecture: str, shape: tuple[int, ...], x: np.ndarray,
             labels: np.ndarray) -> Callable[[], None]:
  """Returns run(): a few training steps of one teacher, awaited."""
  member = family.Member('CNN', architecture, 0, 0, 1e-3,
                         objectives.Objective('cross_entropy'), 'train')
  count = len(x)
  data = batches.Data(
      pools.Pool(x), labels, np.zeros((1, count, 10), np.float32),
      np.arange(count, dtype=np.int32)[None], np.array([count], np.int32))
  inputs = training.FamilyData(
      data, ('train',), (), {}, pools.Pool(x[:10]), labels[:10], 10)
  program = make_program([member], inputs, training.Settings(
      training.Recipe(steps=10 ** 6, batch=128), eval_every=1, devices=1))
  states = program.states

  def run():
    nonlocal states
    states, loss = program.chunk(states, program.hypers, program.data,
                                 np.int32(0), np.int32(_STEPS))
    jax.block_until_ready(loss)

  return run


def compare(*, torch: bool) -> list[dict[str, str]]:
  """A row for each CNN: milliseconds a step, and PyTorch's ratio to it."""
  rows = []
  for architecture, shape, builder in _CASES:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((2000, *shape), np.float32)
    labels = draw.integers(0, 10, len(x)).astype(np.int32)
    contenders = {'ours': make_run(architecture, shape, x, labels)}
    if torch:
      from . import pytorch  # noqa: PLC0415  (an extra)

      first = x[:, None] if x.ndim == 2 else np.moveaxis(x, -1, 1).copy()
      contenders['PyTorch'] = pytorch.make_label_run(
          getattr(pytorch, builder)(), first, labels, 128)
    seconds = timing.measure(contenders)
    seconds['ours'] /= _STEPS
    rows.append({
        'teacher, batch 128': architecture,
        'ms a step': f'{1e3 * seconds["ours"]:.1f}',
        **{name: value for name, value
           in timing.ratios(seconds, 'ours').items() if name != 'ours'},
    })
  return rows


def compare_cache() -> dict[str, str]:
  """Writing a cache of 20,000 signals against the bare forward pass."""
  net = models.make_net('32c-p2-64c-p2-128fc', (40,), 10)
  params = net.init(jax.random.key(0))
  x = np.random.default_rng(0).standard_normal((20_000, 40), np.float32)
  part = Examples(x, np.zeros(len(x), np.int32))
  small = Examples(x[:10], np.arange(10, dtype=np.int32))
  dataset = make_dataset(name='noise', classes=10, train=part, dev=small,
                         test=small)
  origin = logits.make_origin({'net': 'noise'}, 'noise', set_name='train',
                              classes=10)
  teacher = ensembles.Teacher(net, params)

  def apply(rows, folds):
    return ensembles.apply_ensemble([teacher], rows, folds=folds)

  def write():
    with tempfile.TemporaryDirectory() as folder:
      logits.write_logits(pathlib.Path(folder), origin, len(x), dataset, apply,
                          part_rows=16384)

  def forward():
    for start in range(0, len(x), 512):
      evaluation.predict(net, params, x[start:start + 512])

  seconds = timing.measure({'write': write, 'forward': forward}, rounds=5)
  return {'cache, 20,000 signals': 'rows a second',
          'forward': f'{len(x) / seconds["forward"]:.0f}',
          'forward and write': f'{len(x) / seconds["write"]:.0f}',
          'ratio': f'{seconds["write"] / seconds["forward"]:.2f}'}

