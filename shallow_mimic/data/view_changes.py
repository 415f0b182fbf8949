"""What a view does to some rows: moves, mirrors, colours, mixes, scales.

Each kind of draw has a stream of its own, so that view k of example i does
not depend on how many examples or which other options there are. Functions
that are returned draw as they go: call them on the rows in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from shallow_mimic.data.preprocessing import as_float

# What moves in from outside, by NumPy's names.
PADDING = {'circular': 'wrap', 'reflect': 'reflect', 'zero': 'constant'}
_SHIFT, _FLIP, _SCALE, _NOISE, _COLOUR, _WEIGHT, _PARTNER, _JITTER = range(8)


def make_change(key: tuple[int, ...],
                options: Mapping[str, Any]) -> Callable:
  """Returns change(rows [M, …]): moved, mirrored, coloured.

  `key` is (seed, copy), or (seed, copy, 1) for what a mix is mixed with.
  """
  shift, flip, colour = _streams(key, _SHIFT, _FLIP, _COLOUR)

  def change(rows):
    reach = options['shift'] or options['crop']
    if reach:
      rows = _moved(rows, reach, PADDING[options['padding']], shift)
    if options['flip']:
      mirrored = flip.random(len(rows)) < 0.5
      rows = np.where(_per_row(mirrored, rows), rows[:, :, ::-1], rows)
    if options['colour']:
      rows = _coloured(rows, options['colour'], colour)
    return rows

  return change


def make_finish(key: tuple[int, ...], options: Mapping[str, Any],
                deviations: np.ndarray | None = None) -> Callable:
  """Returns finish(rows [M, …]): scaled, with noise.

  `deviations`, of each feature or channel, are what `jitter` is a share of.
  """
  scale, noise, jitter = _streams(key, _SCALE, _NOISE, _JITTER)

  def finish(rows):
    if options['scale'] or options['noise'] or options['jitter']:
      rows = as_float(rows)
    if options['scale']:
      factor = scale.uniform(-1, 1, len(rows)) * options['scale'] + 1
      rows = rows * _per_row(factor, rows)
    if options['noise']:
      rows = rows + options['noise'] * noise.standard_normal(rows.shape)
    if options['jitter']:
      rows = rows + (options['jitter'] * deviations
                     * jitter.standard_normal(rows.shape))
    return rows

  return finish


def draw_partners(key: tuple[int, ...], count: int,
                  folds: np.ndarray | None) -> np.ndarray:
  """Whom each example is mixed with, [N]: a permutation of each fold."""
  draw, = _streams(key, _PARTNER)
  folds = np.zeros(count, np.int32) if folds is None else folds
  partners = np.empty(count, np.int64)
  for fold in np.unique(folds):
    rows = np.flatnonzero(folds == fold)
    partners[rows] = draw.permutation(rows)
  return partners


def make_mix(key: tuple[int, ...], alpha: float) -> Callable:
  """Returns mix(rows, others): convex, weights from Beta(alpha, alpha)."""
  draw, = _streams(key, _WEIGHT)

  def mix(rows, others):
    share = draw.beta(alpha, alpha, len(rows)).astype(np.float32)
    share, rows = _per_row(share, rows), as_float(rows)
    return share * rows + (1 - share) * as_float(others)

  return mix


def _streams(key, *kinds):
  """A generator for each kind of draw, of [seed, copy, kind, mixed or not]."""
  seed, copy, *mixed = key
  return [np.random.default_rng([seed, copy, kind, *mixed]) for kind in kinds]


def _per_row(values, rows):
  return values.reshape(-1, *(1,) * (rows.ndim - 1))


def _coloured(rows, strength, rng):
  """Images [N, H, W, C] in three steps; bytes become floats kept in [0, 1].

  Contrast is the distance from the image's mean, saturation that from the
  mean of a pixel's channels.
  """
  draws = rng.uniform(-1, 1, (len(rows), 3)) * strength + 1
  light, contrast, saturation = (
      _per_row(column, rows) for column in draws.T.astype(np.float32))
  images = as_float(rows) * light
  mean = images.mean(axis=(1, 2, 3), keepdims=True)
  images = mean + contrast * (images - mean)
  grey = images.mean(axis=3, keepdims=True)
  images = grey + saturation * (images - grey)
  return images.clip(0, 1) if rows.dtype == np.uint8 else images


def _moved(
    rows: np.ndarray, reach: int, mode: str, rng: np.random.Generator
) -> np.ndarray:
  """Every row padded by `reach` and cropped back at an offset of its own."""
  axes = 1 if rows.ndim == 2 else 2
  pads = [(0, 0)] + [(reach, reach)] * axes + [(0, 0)] * (rows.ndim - 1 - axes)
  padded = np.pad(rows, pads, mode=cast(Any, mode))
  offsets = rng.integers(2 * reach + 1, size=(len(rows), axes))
  first = np.arange(len(rows))
  if axes == 1:
    columns = offsets + np.arange(rows.shape[1])
    return padded[first[:, None], columns]
  across = offsets[:, :1] + np.arange(rows.shape[1])
  down = offsets[:, 1:] + np.arange(rows.shape[2])
  return padded[first[:, None, None], across[:, :, None], down[:, None, :]]
