"""What a loss is given: made float32 and of one shape, or refused."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def check(ok: ArrayLike, message: str) -> None:
  """ValueError unless ok; nothing where it is traced."""
  if not isinstance(ok, jax.core.Tracer) and not ok:
    raise ValueError(message)


def read_pair(
    student: ArrayLike, teacher: ArrayLike, axis: int, where: ArrayLike | None,
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
  """g, z and where of one shape, 0 where dropped; no gradient into z."""
  g = jnp.asarray(student, jnp.float32)
  z = jax.lax.stop_gradient(jnp.asarray(teacher, jnp.float32))
  check(g.shape == z.shape and -g.ndim <= axis < g.ndim,
        'student_logits and teacher_logits must have one shape with axis'
        f' {axis}, got {g.shape} and {z.shape}')
  if where is None:
    return g, z, None
  where = jnp.asarray(where, bool)
  fits = [n in (1, m) for n, m in zip(where.shape, g.shape, strict=False)]
  check(where.ndim == g.ndim and all(fits), 'where must broadcast, at the same'
        f' rank, to the logits, got {where.shape} and {g.shape}')
  where = jnp.broadcast_to(where, g.shape)
  return keep(g, where), keep(z, where), where


def read_labels(labels: ArrayLike, logits: jax.Array, axis: int) -> jax.Array:
  """Labels of any integer type, one for each example, int32."""
  labels, axis = jnp.asarray(labels), axis % logits.ndim
  check(jnp.issubdtype(labels.dtype, jnp.integer)
        and labels.shape == logits.shape[:axis] + logits.shape[axis + 1:],
        f'labels must be integers, one per example, got {labels.dtype}'
        f' {labels.shape} for logits {logits.shape} with classes on axis'
        f' {axis}')
  # A small type may not hold the number of classes to compare them with.
  return labels.astype(jnp.int32)


def read_temperature(temperature: ArrayLike) -> jax.Array:
  """T, float32; ValueError unless a positive, finite scalar."""
  value = read_scalar('temperature', temperature)
  check((0 < value) & (value < jnp.inf),
        f'temperature must be positive and finite, got {temperature}')
  return jnp.asarray(temperature, jnp.float32)


def read_weight(name: str, weight: ArrayLike) -> jax.Array:
  """A weight, float32; ValueError unless a finite scalar from 0."""
  value = read_scalar(name, weight)
  check((0 <= value) & (value < jnp.inf),
        f'{name} must be finite and not negative, got {weight}')
  return jnp.asarray(weight, jnp.float32)


def read_scalar(name: str, value: ArrayLike) -> Any:
  """The same; ValueError unless a scalar: others would broadcast."""
  check(not jnp.ndim(value), f'{name} must be a scalar, got shape'
        f' {jnp.shape(value)}; for one an example, use jax.vmap')
  return value


def keep(array: jax.Array, where: jax.Array | None) -> jax.Array:
  """The array with 0 where dropped."""
  # With 0 in their place, the gradients of the rest meet no inf or NaN.
  return array if where is None else jnp.where(where, array, 0)


def weigh(weight: jax.Array, loss: jax.Array) -> jax.Array:
  """Weight · loss; a term of weight 0 is left out altogether.

  Such a term may be inf, or NaN where there is no label, and 0 times it is NaN.
  """
  return jnp.where(weight > 0, weight * loss, 0)
