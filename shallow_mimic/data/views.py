"""Fixed, seeded views of labelled inputs, to be labelled by the teacher.

Cached logits belong to exact inputs, so augmentation means K views made once,
each with logits of its own. Views are made of raw inputs, before
preprocessing. View k of example i depends on (seed, k, i) alone: more copies,
or more examples, leave the views that were there as they were. Only whom a
mix is mixed with depends on the other examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from shallow_mimic import errors
from shallow_mimic.data import view_changes
from shallow_mimic.data.dataset import Examples
from shallow_mimic.data.preprocessing import fit_preprocessing
from shallow_mimic.data.view_changes import PADDING

_CHUNK_ROWS = 1024
# With their defaults.
VIEW_OPTIONS: Mapping[str, Any] = {
    'shift': 0, 'crop': 0, 'padding': '', 'flip': False, 'colour': 0.0,
    'mixup': 0.0, 'scale': 0.0, 'noise': 0.0, 'jitter': 0.0}
_FLOATING = ('scale', 'noise', 'jitter')


class Views(NamedTuple):
  """Views that are made when they are asked for; see `make_views`.

  `options` are checked ones; `folds` [N] are of the examples, or None;
  `deviations` are those of features or channels, where there is `jitter`.
  """

  x: np.ndarray
  y: np.ndarray
  copies: int
  seed: int
  options: Mapping[str, Any]
  folds: np.ndarray | None = None
  deviations: np.ndarray | None = None

  @property
  def shape(self) -> tuple[int, ...]:
    """[K · N, …]: view 0 of all examples, view 1 of all, and so on."""
    return (self.copies * len(self.x), *self.x.shape[1:])

  @property
  def dtype(self) -> np.dtype:
    """Of the views: bytes stay bytes unless scaled or given noise."""
    moved = _FLOATING if self.x.dtype == np.uint8 else (
        *_FLOATING, 'colour', 'mixup')
    floating = any(self.options[key] for key in moved)
    return np.dtype(np.float32) if floating else self.x.dtype

  @property
  def labels(self) -> np.ndarray:
    """[K · N]: those of the examples; -1 for mixes, which have none."""
    y = np.full_like(self.y, -1) if self.options['mixup'] else self.y
    return np.tile(y, self.copies)

  def chunks(self, copy: int) -> Iterator[np.ndarray]:
    """View `copy` of all examples, some rows at a time."""
    key = self.seed, copy
    own = view_changes.make_change(key, self.options)
    # What a mix is mixed with is changed by draws of its own.
    other = view_changes.make_change((*key, 1), self.options)
    finish = view_changes.make_finish(key, self.options, self.deviations)
    alpha, partners = self.options['mixup'], None
    if alpha:
      partners = view_changes.draw_partners(key, len(self.x), self.folds)
      mix = view_changes.make_mix(key, alpha)
    for start in range(0, len(self.x), _CHUNK_ROWS):
      rows = own(self.x[start:start + _CHUNK_ROWS])
      if partners is not None:
        rows = mix(rows, other(self.x[partners[start:start + _CHUNK_ROWS]]))
      rows = finish(rows)
      if self.dtype == np.uint8 != rows.dtype:
        rows = np.rint(rows * np.float32(255))
      yield rows.astype(self.dtype, copy=False)


def make_views(
    x: np.ndarray,
    y: np.ndarray,
    copies: int,
    seed: int,
    options: Mapping[str, Any],
    folds: np.ndarray | None = None,
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
      mirrored left to right with probability 1/2; `colour`: brightness,
      contrast and saturation of an image are each multiplied by 1 ± up to
      this fraction; `mixup`: λ of this view and 1 − λ of such a view of
      another example, λ from Beta(mixup, mixup), of the inputs alone, without
      a label (Zhang et al., ICLR 2018); `scale`: multiplied by 1 ± up to this
      fraction; `noise`: standard deviation of added Gaussian noise; `jitter`:
      the same in standard deviations of the feature or channel over `x`.
      Bytes stay bytes, rounded after colour and mixup, unless one of the last
      three is given; then they are first scaled to [0, 1].
    folds: [N]; examples are mixed within their fold, so that a mix too has
      one and teachers who held it out saw neither of its examples.

  Returns:
    Examples of K · N rows: view 0 of all examples, view 1 of all, and so on.

  Raises:
    UserError: an unknown option, a value out of range, or options that the
      shape of the inputs does not allow.
  """
  views = describe_views(x, y, copies, seed, options, folds)
  made = np.empty(views.shape, views.dtype)
  start = 0
  for copy in range(copies):
    for rows in views.chunks(copy):
      made[start:start + len(rows)] = rows
      start += len(rows)
  return Examples(made, views.labels)


def describe_views(
    x: np.ndarray, y: np.ndarray, copies: int, seed: int,
    options: Mapping[str, Any], folds: np.ndarray | None = None,
) -> Views:
  """The same views, not yet made.

  Raises:
    UserError: see `make_views`.
  """
  options = check_view_options(options, x.shape[1:])
  if copies < 1:
    raise errors.UserError(f'views: copies = {copies} must be at least 1')
  deviations = _measure_deviations(x) if options['jitter'] else None
  return Views(x, y, copies, seed, options, folds, deviations)


def _measure_deviations(x):
  """Standard deviation of each feature or channel; 0 of a constant one."""
  step, = fit_preprocessing(('standardise',), x).steps
  axes = tuple(range(x.ndim - 1))
  return np.where(x.max(axes) > x.min(axes), step.arrays['std'], 0)


def check_view_options(
    options: Mapping[str, Any], shape: tuple[int, ...]
) -> dict[str, Any]:
  """The options with their defaults filled in.

  Raises:
    UserError: see `make_views`.
  """
  unknown = sorted(set(options) - set(VIEW_OPTIONS))
  if unknown:
    raise errors.UserError(
        f'views: unknown option {unknown[0]!r}; known:'
        f' {", ".join(VIEW_OPTIONS)}')
  options = {**VIEW_OPTIONS, **options}
  vector, image = len(shape) == 1, len(shape) == 3
  for key, wanted in (('shift', int), ('crop', int), ('flip', bool)):
    if type(options[key]) is not wanted:
      raise errors.UserError(
          f'views: {key} = {options[key]!r} must be'
          f' {"True or False" if wanted is bool else "a whole number"}')
  for key, allowed in (('shift', vector), ('crop', image), ('flip', image),
                       ('colour', image)):
    if options[key] and not allowed:
      raise errors.UserError(
          f'views: {key} does not apply to inputs of shape {tuple(shape)}')
  options['padding'] = options['padding'] or (
      'circular' if vector else 'reflect')
  if options['padding'] not in PADDING:
    raise errors.UserError(
        f'views: unknown padding {options["padding"]!r}; known:'
        f' {", ".join(PADDING)}')
  room = min(shape[:1] if vector else shape[:2], default=1)
  for key, limit in (('shift', room), ('crop', room), ('colour', 1),
                     ('mixup', np.inf), ('scale', 1), ('noise', np.inf),
                     ('jitter', np.inf)):
    value = options[key]
    if not isinstance(value, int | float) or not 0 <= value < limit:
      raise errors.UserError(
          f'views: {key} = {value!r} must be at least 0 and below {limit}')
  return options
