"""Stage 2: teachers averaged into one; what it says of dev and test."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from shallow_mimic import errors, evaluation, files, metrics, models, workdir
from shallow_mimic.data.dataset import Dataset

SPACES = ('logits', 'probabilities')
# The smallest probability whose logarithm is taken: float32's smallest normal.
_TINY = float(np.finfo(np.float32).tiny)


def ensemble_logits(logits: ArrayLike, space: str = 'logits',
                    weights: ArrayLike | None = None) -> jax.Array:
  """Mean of T teachers' logits, or the log of the mean of their probabilities.

  The order of the teachers does not matter, to the last bit: they are added
  in order of value.

  Args:
    logits: [T, …, C].
    space: 'logits' (arithmetic mean, Ba & Caruana) or 'probabilities'.
    weights: [T], not negative, not all 0; equal weights if None.

  Returns:
    [..., C], float32.

  Raises:
    ValueError: shapes or weights do not fit, or the space is unknown.

  >>> ensemble_logits(jnp.array([[1., 0.], [3., 2.]]))
  Array([2., 1.], dtype=float32)
  """
  logits = jnp.asarray(logits, jnp.float32)
  if logits.ndim < 2 or not logits.shape[0]:
    raise ValueError(f'logits must be [T, …, C] with T > 0, got {logits.shape}')
  if space not in SPACES:
    raise ValueError(f'unknown space {space!r}; known: {", ".join(SPACES)}')
  weights = _shares(weights, logits.shape[0])
  values = (jax.nn.softmax(logits) if space == 'probabilities' else logits)
  terms = values * weights.reshape(-1, *(1,) * (logits.ndim - 1))
  mean = jnp.sum(jnp.sort(terms, axis=0), axis=0)
  return jnp.log(jnp.maximum(mean, _TINY)) if space == 'probabilities' else mean


def _shares(weights, count):
  if weights is None:
    return jnp.full(count, 1 / count, jnp.float32)
  weights = np.asarray(weights, np.float64)
  if weights.shape != (count,):
    raise ValueError(
        f'weights must be [{count}], one a teacher, got {weights.shape}'
    )
  if not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum():
    raise ValueError(
        f'weights must be finite, not negative and not all 0, got {weights}'
    )
  return jnp.asarray(weights / weights.sum(), jnp.float32)


def apply_ensemble(nets: Sequence[tuple[models.Net, Any]], x: np.ndarray,
                   space: str = 'logits', *, batch: int = 512) -> np.ndarray:
  """Logits [N, C] of an ensemble of (net, params), float32."""
  return np.asarray(ensemble_logits(
      np.stack([evaluation.predict(net, params, x, batch=batch)
                for net, params in nets]), space,
  ))


def write_ensemble(directory: os.PathLike | str, name: str, space: str,
                   nets: Mapping[str, tuple[models.Net, Any]],
                   digests: Mapping[str, str], dataset: Dataset) -> None:
  """Writes an ensemble's dev and test logits, record and identity.

  Args:
    directory: the ensemble's own folder.
    name: its name in the report.
    space: what is averaged.
    nets: (net, params) by the teacher's name, GROUP:SEED.
    digests: SHA-256 of each teacher.
    dataset: inputs and labels.
  """
  directory = pathlib.Path(directory)
  if not nets:
    raise errors.UserError(f'the ensemble {name!r} has no members')
  values = {}
  for split, part in (('dev', dataset.dev), ('test', dataset.test)):
    logits = apply_ensemble(list(nets.values()), part.x, space)
    files.write_array(directory / f'{split}.npy', logits)
    values[split] = {
        'accuracy': float(metrics.accuracy(logits, part.y).value),
        'nll': float(metrics.nll(logits, part.y).value),
        'ece': float(metrics.calibration(logits, part.y).value),
    }
  files.write_json(directory / 'records.json',
                   [_record(name, [net for net, _ in nets.values()], values)])
  workdir.write_identity(
      directory, {'space': space, 'teachers': {k: digests[k] for k in nets}}
  )


def read_ensemble_logits(directory: os.PathLike | str,
                         split: str) -> np.ndarray:
  """An ensemble's logits [N, C] on 'dev' or 'test'."""
  return files.read_array(pathlib.Path(directory) / f'{split}.npy')


def _record(name, nets, values):
  sizes = [evaluation.model_sizes(net) for net in nets]
  total = {key: sum(size[key] for size in sizes) for key in sizes[0]}
  # The members run side by side: the longest counts.
  total['sequential_depth'] = max(size['sequential_depth'] for size in sizes)
  architectures = dict.fromkeys(str(net.architecture) for net in nets)
  return {
      'model': name, 'role': 'ensemble', 'objective': 'cross_entropy',
      'inputs': '', 'teacher': '', 'width': 0, 'seed': 0,
      'architecture': f'{len(nets)} × {", ".join(architectures)}',
      'learning_rate': None, **total, 'phase': 'final', 'selected': True,
      'best_step': 0, 'diverged': False, 'metrics': values, 'history': {},
  }
