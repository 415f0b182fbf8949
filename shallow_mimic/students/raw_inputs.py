"""The fitted preprocessing as a JAX function, for nets that leave the house.

`preprocessing.apply_preprocessing` does the same to whole data sets, with
NumPy and in chunks; here it becomes part of a program.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from shallow_mimic.data.preprocessing import Preprocessing, Step

Arrays = Mapping[str, Mapping[str, jax.Array]]


def fitted_arrays(fitted: Preprocessing) -> dict[str, dict[str, np.ndarray]]:
  """The arrays of each step by its place, '0' first; steps without are out."""
  return {str(place): dict(step.arrays)
          for place, step in enumerate(fitted.steps) if step.arrays}


def prepare_inputs(fitted: Preprocessing, arrays: Arrays, x: jax.Array, *,
                   frames: int = 0) -> jax.Array:
  """Raw inputs to what the nets train on; equal to NumPy's up to rounding.

  Args:
    fitted: the steps and their options.
    arrays: what `fitted_arrays` gives, perhaps as JAX arrays.
    x: [B, …], uint8 (taken as [0, 255]) or float32; with `frames` > 0 speech
      [B, F, W · M]: W frames of M maps of F bands, as `pools.take` lays them.
    frames: W. Each frame is then preprocessed by itself, as it was before its
      neighbours were gathered.

  Returns:
    float32 of the same shape.
  """
  scale = np.float32(255 if x.dtype == jnp.uint8 else 1)
  x = x.astype(jnp.float32) / scale
  shape = x.shape
  if frames:
    x = x.reshape(shape[0], shape[1], frames, -1).transpose(0, 2, 3, 1)
    window = x.shape
    x = x.reshape(shape[0] * frames, -1)
  for place, step in enumerate(fitted.steps):
    x = _APPLY[step.name](step, arrays.get(str(place), {}), x)
  if frames:
    x = x.reshape(window).transpose(0, 3, 1, 2)
  return x.reshape(shape)


def _standardise(step: Step, arrays: Mapping[str, jax.Array],
                 x: jax.Array) -> jax.Array:
  del step
  return (x - _align(arrays['mean'], x)) / _align(arrays['std'], x)


def _gcn(step: Step, arrays: Mapping[str, jax.Array],
         x: jax.Array) -> jax.Array:
  del arrays

  def mean(x):
    return x.mean(tuple(range(1, x.ndim)), keepdims=True)

  centred = x - mean(x)
  # Rounding leaves a mean; the version for NumPy uses float64 instead.
  centred -= mean(centred)
  deviation = jnp.sqrt(mean(jnp.square(centred)) + step.options['bias'])
  deviation = jnp.where(deviation == 0, 1, deviation)
  return step.options['scale'] * centred / deviation


def _zca(step: Step, arrays: Mapping[str, jax.Array],
         x: jax.Array) -> jax.Array:
  del step
  flat = x.reshape(x.shape[0], -1)
  centred = flat - _align(arrays['mean'], flat)
  return jnp.dot(centred, arrays['whiten'], precision='highest').reshape(
      x.shape)


def _align(array: jax.Array, x: jax.Array) -> jax.Array:
  """Leading axes of length 1, so that no axis is made up silently."""
  return array.reshape((1,) * (x.ndim - array.ndim) + array.shape)


_APPLY = {'standardise': _standardise, 'gcn': _gcn, 'zca': _zca}
