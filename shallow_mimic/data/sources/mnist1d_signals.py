"""MNIST-1D's published signals, and as many more of the same kind as wanted.

The labelled splits come from the `mnist1d` package itself (Greydanus & Kobak,
"Scaling down deep learning with MNIST-1D", arXiv 2011.14439), which draws one
signal at a time: 5,000 take a second. `make_signals` does what its `transform`
does to whole arrays of random draws, so that 100,000 unlabelled signals take
about as long; given the same draws it gives the same bits.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from shallow_mimic.runs.headless import import_headless

BLOCK = 1000


class Draws(NamedTuple):
  """The random numbers behind N signals of L = 72 samples before sampling.

  label [N] in 0..9; padding [N] zeros appended to the template; shift [N]
  samples of circular translation; stretch, shear [N] in [0, 1);
  correlated, independent [N, L] standard normal.
  """

  label: np.ndarray
  padding: np.ndarray
  stretch: np.ndarray
  shift: np.ndarray
  correlated: np.ndarray
  independent: np.ndarray
  shear: np.ndarray


def read_published() -> dict[str, np.ndarray]:
  """Makes the published data set with the published program, off line.

  Returns:
    `x` [4000, 40], `y` [4000], `x_test` [1000, 40], `y_test` [1000]; x in
    float64, with mean 0 and standard deviation 1 over all 5,000 signals.
  """
  published = _import_published()
  # The published program seeds and uses the global generators.
  states = random.getstate(), np.random.get_state()
  try:
    made = published.make_dataset()
  finally:
    random.setstate(states[0])
    np.random.set_state(states[1])
  return {key: made[key] for key in ('x', 'y', 'x_test', 'y_test')}


def make_signals(draws: Draws) -> np.ndarray:
  """The published `transform`, for all rows of `draws` at once.

  Template → pad with zeros → stretch to L = 72 samples → scale → circular
  shift → correlated noise where the signal is zero → independent noise
  everywhere → shear → 40 samples.

  Returns:
    [N, 40] float64, not yet centred and scaled as the data set is.
  """
  args = _arguments()
  dilated = _dilated_templates()
  length = dilated.shape[-1]
  signal = dilated[draws.label, draws.padding - args['padding'][0]]
  signal = signal * (1 + args['scale_coeff'] * (draws.stretch - 0.5))[:, None]
  source = (np.arange(length) - draws.shift[:, None]) % length
  signal = np.take_along_axis(signal, source, axis=1)
  noise = ndimage.gaussian_filter1d(
      args['corr_noise_scale'] * draws.correlated, 2, axis=1)
  signal = np.where(signal != 0, signal, noise)
  signal = signal + args['iid_noise_scale'] * draws.independent
  slope = args['shear_scale'] * (draws.shear - 0.5)
  signal = signal - slope[:, None] * np.linspace(-0.5, 0.5, length)
  return _resample(signal, args['final_seq_length'])


def make_transfer_blocks(size: int, seed: int) -> Iterator[np.ndarray]:
  """Yields `size` new signals in blocks of at most 1,000 rows of 40 samples.

  Centred and scaled by the published set's own mean and standard deviation.
  Block b depends on (seed, b) alone: a larger set begins with a smaller one.
  """
  mean, std = published_moments()
  for block in range(-(-size // BLOCK)):
    rng = np.random.default_rng([seed, block])
    signals = (make_signals(draw(rng, BLOCK)) - mean) / std
    yield signals[:size - block * BLOCK]


def draw(rng: np.random.Generator, size: int) -> Draws:
  """Draws what `size` signals need, classes in equal probability."""
  args = _arguments()
  low, high = args['padding']
  length = args['template_len'] + high
  return Draws(
      label=rng.integers(10, size=size),
      padding=rng.integers(low, high + 1, size=size),
      stretch=rng.random(size),
      shift=rng.integers(args['max_translation'], size=size),
      correlated=rng.standard_normal((size, length)),
      independent=rng.standard_normal((size, length)),
      shear=rng.random(size),
  )


def published_draws() -> Draws:
  """The draws behind the published 5,000 signals, before their shuffle."""
  args = _arguments()
  low, high = args['padding']
  length = args['template_len'] + high
  rng = np.random.RandomState(args['seed'])
  rows = []
  for label in np.repeat(np.arange(10), args['num_samples'] // 10):
    # The order of the calls is that of the published program.
    rows.append((
        label, low + int(rng.rand() * (high - low + 1)), rng.rand(),
        rng.choice(args['max_translation']), rng.randn(length),
        rng.randn(length), rng.rand()))
  return Draws(*map(np.asarray, zip(*rows, strict=True)))


def published_moments() -> tuple[float, float]:
  """Mean and standard deviation that the published signals were scaled by."""
  signals = make_signals(published_draws())
  return float(signals.mean()), float(signals.std())


def _arguments() -> dict:
  return _import_published().get_dataset_args(as_dict=True)


def _import_published() -> Any:
  """The published program, which brings matplotlib and requests along."""
  return import_headless('mnist1d.data')


def _dilated_templates() -> np.ndarray:
  """Every template under every padding, stretched: [10, paddings, 72]."""
  args = _arguments()
  low, high = args['padding']
  templates = _import_published().get_templates()['x'] + 1e-8
  grid = np.linspace(0, 1, args['template_len'] + high)
  return np.array([
      [_stretched(template, padding, grid) for padding in range(low, high + 1)]
      for template in templates])


def _stretched(
    template: np.ndarray, padding: int, grid: np.ndarray
) -> np.ndarray:
  padded = np.concatenate([template, np.zeros(padding)])
  return np.interp(grid, np.linspace(0, 1, len(padded)), padded)


def _resample(signals: np.ndarray, samples: int) -> np.ndarray:
  """Linear interpolation of every row; the operations of `np.interp`."""
  old = np.linspace(0, 1, signals.shape[1])
  new = np.linspace(0, 1, samples)
  left = np.clip(np.searchsorted(old, new, side='right') - 1, 0, len(old) - 2)
  slope = (signals[:, left + 1] - signals[:, left]) / (
      old[left + 1] - old[left])
  result = slope * (new - old[left]) + signals[:, left]
  result[:, -1] = signals[:, -1]  # np.interp returns the end point as it is.
  return result
