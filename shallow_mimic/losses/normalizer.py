"""Teacher logits of zero mean and unit variance, class by class, and back."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from shallow_mimic.losses import arguments


class LogitNormalizer(NamedTuple):
  """(z − mean) / std of each class and back: a pytree of two float32 [C].

  Reference: Ba & Caruana 2014. Undo it before any softmax or argmax.

  >>> fitted = LogitNormalizer.fit(jnp.array([[1., 5.], [3., 5.]]))
  >>> print(fitted.normalize(jnp.array([4., 5.])))  # mean [2 5], std [1 1]
  [2. 0.]
  """

  mean: jax.Array
  std: jax.Array

  @classmethod
  def fit(cls, logits: ArrayLike) -> LogitNormalizer:
    """Of [..., C] over all other axes; a class that never varies gets std 1.

    The variance divides by N. Raises: ValueError where there is no example.
    """
    z = jnp.asarray(logits, jnp.float32)
    arguments.check(z.ndim and z.size,
                    f'no logits [..., C] to fit: shape {z.shape}')
    return cls(*_moments(z.reshape(-1, z.shape[-1])))

  def normalize(self, logits: ArrayLike) -> jax.Array:
    """(z − mean) / std for logits z, [..., C]; ValueError if C differs."""
    z, mean, std = self._match(logits)
    return (z - mean) / std

  def denormalize(self, logits: ArrayLike) -> jax.Array:
    """The inverse: z · std + mean, [..., C]; ValueError if C differs."""
    z, mean, std = self._match(logits)
    return z * std + mean

  def _match(self, logits: ArrayLike) -> tuple[jax.Array, ...]:
    z, shape = jnp.asarray(logits, jnp.float32), self.mean.shape
    arguments.check(z.shape[-1:] == shape,
                    f'logits {z.shape} for a normaliser {shape}')
    return z, *(jnp.broadcast_to(part, z.shape) for part in self)


@jax.jit
def _moments(z: jax.Array) -> tuple[jax.Array, jax.Array]:
  mean = z.mean(0, keepdims=True)
  # The mean of a class that never varies is its value, without any rounding.
  mean = jnp.where(jnp.all(z == z[:1], 0, keepdims=True), z[:1], mean)
  size = jnp.max(jnp.abs(z - mean), 0, keepdims=True)
  scaled = (z - mean) / jnp.where(size > 0, size, 1)  # no square overflows
  std = size[0] * jnp.sqrt(jnp.mean(jnp.square(scaled), 0))
  return mean[0], jnp.where(std > 0, std, 1)
