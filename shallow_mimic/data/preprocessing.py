"""Preprocessing fitted on the training inputs alone, applied to every split.

Steps, by name (each works on vectors [N, F] and on images [N, H, W, C]):
  standardise  mean 0 and standard deviation 1 over the training set, per
               feature of a vector, per channel (last axis) of an image
  gcn          global contrast normalisation of every example by itself:
               scale · (x − mean) / √(variance + bias)
  zca          ZCA whitening: (x − mean) U (S + eps)^−½ Uᵀ, with U S Uᵀ the
               covariance of the flattened training inputs

The defaults of `gcn` and `zca` are those of Coates, Lee & Ng (AISTATS 2011)
for images in [0, 1].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from shallow_mimic import errors
from shallow_mimic.runs import files

_CHUNK_VALUES = 1 << 22  # 32 MB of float64: bounds the memory of a pass.


class Step(NamedTuple):
  """One fitted step: its name, its options and its fitted arrays."""

  name: str
  options: dict[str, float]
  arrays: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """Fitted steps, in the order in which they are applied."""

  steps: tuple[Step, ...] = ()

  @property
  def record(self) -> dict[str, Any]:
    """What identifies it, as JSON: names, options, digests of the arrays."""
    return {'steps': [
        {'name': step.name, 'options': dict(step.options),
         'arrays': {key: files.digest_array(array)
                    for key, array in step.arrays.items()}}
        for step in self.steps]}


NONE = Preprocessing()


def fit_preprocessing(
    steps: Sequence[str | tuple[str, Mapping[str, float]]],
    x_train: np.ndarray,
) -> Preprocessing:
  """Fits every step on the training inputs as the steps before leave them.

  Args:
    steps: names, or pairs of a name and its options, in order.
    x_train: [N, *shape]; uint8 is taken as [0, 255] and scaled to [0, 1].

  Raises:
    UserError: an unknown step or option, or a value out of its range.

  >>> x = np.array([[0.0, 5.0], [2.0, 5.0]])
  >>> fitted = fit_preprocessing(('standardise',), x)
  >>> apply_preprocessing(fitted, x)
  array([[-1.,  0.],
         [ 1.,  0.]], dtype=float32)
  """
  fitted = NONE
  for step in steps:
    name, options = parse_step(step)
    arrays = _FIT[name](fitted, x_train, options)
    for array in arrays.values():
      array.setflags(write=False)
    fitted = Preprocessing((*fitted.steps, Step(name, options, arrays)))
  return fitted


def apply_preprocessing(
    preprocessing: Preprocessing, x: np.ndarray
) -> np.ndarray:
  """Applies the fitted steps: [N, *shape] to float32 of the same shape."""
  result = np.empty(x.shape, np.float32)
  start = 0
  for chunk in iterate_preprocessed(preprocessing, x):
    result[start:start + len(chunk)] = chunk
    start += len(chunk)
  return result


def as_float(x: np.ndarray) -> np.ndarray:
  """Images of bytes to float32 in [0, 1]; any other number to float32."""
  if x.dtype == np.uint8:
    return x.astype(np.float32) / np.float32(255)
  return x.astype(np.float32, copy=False)


def parse_step(
    step: str | tuple[str, Mapping[str, float]]
) -> tuple[str, dict[str, float]]:
  """A step's name, and its options with the defaults filled in.

  Raises:
    UserError: an unknown step or option, or a value out of its range.
  """
  match (step, {}) if isinstance(step, str) else step:
    case [str(name), given] if hasattr(given, 'items'):
      pass
    case _:
      raise errors.UserError(
          f'preprocessing step {step!r} must be a name, or a pair of a name and'
          " its options: preprocessing = ('gcn', ('zca', {'eps': 0.1}))")
  if name not in _OPTIONS:
    raise errors.UserError(
        f'unknown preprocessing step {name!r}; known: {", ".join(_OPTIONS)}')
  options = dict(_OPTIONS[name])
  for key, value in given.items():
    if key not in options:
      known = ', '.join(options) or 'none'
      raise errors.UserError(
          f'preprocessing step {name!r} has no option {key!r}; its options:'
          f' {known}')
    if not isinstance(value, int | float) or not 0 <= value < np.inf:
      raise errors.UserError(
          f'preprocessing step {name!r}: {key} = {value} must be a finite'
          ' number that is not negative')
    options[key] = float(value)
  return name, options


def check_record(record: Any) -> None:
  """UserError unless it can be what `Preprocessing.record` gave."""
  steps = record.get('steps') if isinstance(record, dict) else None
  for step in steps if isinstance(steps, list) else [None]:
    match step:
      case {'name': name, 'options': dict(options), 'arrays': dict(arrays)}:
        parse_step((name, options))
        if arrays.keys() == set(_ARRAYS[name]):
          continue
    raise errors.UserError("'preprocessing' is not what was written")


def iterate_preprocessed(
    preprocessing: Preprocessing, x: np.ndarray
) -> Iterator[np.ndarray]:
  """Rows of x as float32, with the fitted steps applied, a chunk at a time."""
  rows = max(1, _CHUNK_VALUES // max(1, int(np.prod(x.shape[1:]))))
  for start in range(0, len(x), rows):
    chunk = as_float(x[start:start + rows])
    for step in preprocessing.steps:
      chunk = _APPLY[step.name](step, chunk)
    yield chunk


def _mean(
    before: Preprocessing, x: np.ndarray, axes: tuple[int, ...]
) -> np.ndarray:
  total = sum(np.sum(chunk, axis=axes, dtype=np.float64)
              for chunk in iterate_preprocessed(before, x))
  return total / np.prod([x.shape[axis] for axis in axes])


def _fit_standardise(
    before: Preprocessing, x: np.ndarray, options: dict[str, float]
) -> dict[str, np.ndarray]:
  del options
  axes = tuple(range(x.ndim - 1))
  mean = _mean(before, x, axes)
  total = sum(np.sum(np.square(chunk - mean), axis=axes)
              for chunk in iterate_preprocessed(before, x))
  std = np.sqrt(total / np.prod([x.shape[axis] for axis in axes]))
  # A constant feature becomes 0; rounding of its mean must not be magnified.
  std[std <= 1e-6 * np.abs(mean)] = 1
  return {'mean': mean.astype(np.float32), 'std': std.astype(np.float32)}


def _apply_standardise(step: Step, x: np.ndarray) -> np.ndarray:
  return (x - step.arrays['mean']) / step.arrays['std']


def _fit_gcn(
    before: Preprocessing, x: np.ndarray, options: dict[str, float]
) -> dict[str, np.ndarray]:
  del before, x, options  # Every example is its own measure.
  return {}


def _apply_gcn(step: Step, x: np.ndarray) -> np.ndarray:
  axes = tuple(range(1, x.ndim))
  centred = x - x.mean(axis=axes, keepdims=True, dtype=np.float64)
  variance = np.square(centred).mean(axis=axes, keepdims=True)
  deviation = np.sqrt(variance + step.options['bias'])
  deviation[deviation == 0] = 1
  return (step.options['scale'] * centred / deviation).astype(np.float32)


def _fit_zca(
    before: Preprocessing, x: np.ndarray, options: dict[str, float]
) -> dict[str, np.ndarray]:
  mean = _mean(before, x, (0,)).reshape(-1)
  covariance = np.zeros((mean.size, mean.size))
  for chunk in iterate_preprocessed(before, x):
    centred = chunk.reshape(len(chunk), -1) - mean
    covariance += centred.T @ centred
  values, vectors = np.linalg.eigh(covariance / len(x))
  # Rounding can leave an eigenvalue of 0 slightly negative.
  values = np.maximum(values, 0) + options['eps']
  if values.min() <= 1e-12 * values.max():
    raise errors.UserError(
        "preprocessing step 'zca': the training inputs vary in fewer"
        ' directions than they have features; give it an eps above 0')
  whiten = (vectors / np.sqrt(values)) @ vectors.T
  return {'mean': mean.astype(np.float32), 'whiten': whiten.astype(np.float32)}


def _apply_zca(step: Step, x: np.ndarray) -> np.ndarray:
  centred = x.reshape(len(x), -1) - step.arrays['mean']
  return (centred @ step.arrays['whiten']).reshape(x.shape)


_OPTIONS: dict[str, dict[str, float]] = {
    'standardise': {},
    'gcn': {'scale': 1.0, 'bias': 10 / 255**2},
    'zca': {'eps': 0.1},
}
_ARRAYS = {
    'standardise': ('mean', 'std'), 'gcn': (), 'zca': ('mean', 'whiten')}
_FIT: dict[str, Callable[..., dict[str, np.ndarray]]] = {
    'standardise': _fit_standardise, 'gcn': _fit_gcn, 'zca': _fit_zca}
_APPLY: dict[str, Callable[[Step, np.ndarray], np.ndarray]] = {
    'standardise': _apply_standardise, 'gcn': _apply_gcn, 'zca': _apply_zca}
