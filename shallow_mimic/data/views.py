"""Fixed, seeded views of labelled inputs, to be labelled by the teacher.

Cached logits belong to exact inputs, so augmentation means K views made once,
each with logits of its own. Views are made of raw inputs, before
preprocessing. View k of example i depends on (seed, k, i) alone: more copies,
or more examples, leave the views that were there as they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from shallow_mimic import errors
from shallow_mimic.data.dataset import Examples
from shallow_mimic.data.preprocessing import as_float

_CHUNK_ROWS = 1024
_PADDING = {'circular': 'wrap', 'reflect': 'reflect', 'zero': 'constant'}
_DEFAULTS: dict[str, Any] = {
    'shift': 0, 'crop': 0, 'padding': '', 'flip': False, 'scale': 0.0,
    'noise': 0.0}
VIEW_OPTIONS = tuple(_DEFAULTS)
# Each kind of draw has a stream of its own, so that view k of example i does
# not depend on how many examples or which other options there are.
_SHIFT, _FLIP, _SCALE, _NOISE = range(4)


def make_views(
    x: np.ndarray,
    y: np.ndarray,
    copies: int,
    seed: int,
    options: Mapping[str, Any],
) -> Examples:
  """Makes `copies` views of every example; labels are inherited.

  Args:
    x: [N, F] vectors or [N, H, W, C] images, raw.
    y: [N] labels.
    copies: K, number of views of each example.
    seed: what the views are drawn from.
    options: `shift`: a vector moves by up to so many samples; `crop`: an
      image moves by up to so many pixels along both axes (padded, then
      cropped at random); `padding`: what moves in, 'circular' (default for
      vectors), 'reflect' (default for images) or 'zero'; `flip`: an image is
      mirrored left to right with probability 1/2; `scale`: multiplied by
      1 ± up to this fraction; `noise`: standard deviation of added Gaussian
      noise. Bytes stay bytes unless `scale` or `noise` is given; then they
      are first scaled to [0, 1].

  Returns:
    Examples of K · N rows: view 0 of all examples, view 1 of all, and so on.

  Raises:
    UserError: an unknown option, a value out of range, or options that the
      shape of the inputs does not allow.
  """
  options = check_view_options(options, x.shape[1:])
  if copies < 1:
    raise errors.UserError(f'views: copies = {copies} must be at least 1')
  floating = bool(options['scale'] or options['noise'])
  dtype = np.float32 if floating else x.dtype
  views = np.empty((copies, *x.shape), dtype)
  for copy in range(copies):
    _fill_view(views[copy], x, (seed, copy), options)
  return Examples(views.reshape(-1, *x.shape[1:]), np.tile(y, copies))


def check_view_options(
    options: Mapping[str, Any], shape: tuple[int, ...]
) -> dict[str, Any]:
  """The options with their defaults filled in.

  Raises:
    UserError: see `make_views`.
  """
  unknown = sorted(set(options) - set(_DEFAULTS))
  if unknown:
    raise errors.UserError(
        f'views: unknown option {unknown[0]!r}; known: {", ".join(_DEFAULTS)}')
  options = {**_DEFAULTS, **options}
  vector, image = len(shape) == 1, len(shape) == 3
  for key, allowed in (('shift', vector), ('crop', image), ('flip', image)):
    if options[key] and not allowed:
      raise errors.UserError(
          f'views: {key} does not apply to inputs of shape {tuple(shape)}')
  options['padding'] = options['padding'] or (
      'circular' if vector else 'reflect')
  if options['padding'] not in _PADDING:
    raise errors.UserError(
        f'views: unknown padding {options["padding"]!r}; known:'
        f' {", ".join(_PADDING)}')
  room = min(shape[:1] if vector else shape[:2], default=1)
  for key, limit in (('shift', room), ('crop', room), ('scale', 1),
                     ('noise', np.inf)):
    if not 0 <= options[key] < limit:
      raise errors.UserError(
          f'views: {key} = {options[key]} must be at least 0 and below {limit}')
  return options


def _fill_view(
    view: np.ndarray, x: np.ndarray, key: tuple[int, int],
    options: Mapping[str, Any],
) -> None:
  """Fills `view`, shaped as x, chunk by chunk from streams named by `key`."""
  shift, flip, scale, noise = (
      np.random.default_rng([*key, kind])
      for kind in (_SHIFT, _FLIP, _SCALE, _NOISE))
  for start in range(0, len(x), _CHUNK_ROWS):
    rows = x[start:start + _CHUNK_ROWS]
    ones = (1,) * (x.ndim - 1)
    reach = options['shift'] or options['crop']
    if reach:
      rows = _moved(rows, reach, _PADDING[options['padding']], shift)
    if options['flip']:
      mirrored = flip.random(len(rows)) < 0.5
      rows = np.where(mirrored.reshape(-1, *ones), rows[:, :, ::-1], rows)
    if view.dtype != x.dtype:
      rows = as_float(rows)
    if options['scale']:
      factor = scale.uniform(-1, 1, len(rows)) * options['scale'] + 1
      rows = rows * factor.reshape(-1, *ones)
    if options['noise']:
      rows = rows + options['noise'] * noise.standard_normal(rows.shape)
    view[start:start + len(rows)] = rows


def _moved(
    rows: np.ndarray, reach: int, mode: str, rng: np.random.Generator
) -> np.ndarray:
  """Every row padded by `reach` and cropped back at an offset of its own."""
  axes = 1 if rows.ndim == 2 else 2
  pads = [(0, 0)] + [(reach, reach)] * axes + [(0, 0)] * (rows.ndim - 1 - axes)
  padded = np.pad(rows, pads, mode=mode)
  offsets = rng.integers(2 * reach + 1, size=(len(rows), axes))
  first = np.arange(len(rows))
  if axes == 1:
    columns = offsets + np.arange(rows.shape[1])
    return padded[first[:, None], columns]
  across = offsets[:, :1] + np.arange(rows.shape[1])
  down = offsets[:, 1:] + np.arange(rows.shape[2])
  return padded[first[:, None, None], across[:, :, None], down[:, None, :]]
