"""Metrics as sums over one batch, to be added: uneven batches average right.

Every function takes one batch, logits [..., C] with labels or a teacher's
logits beside them, and an optional `where`, booleans [...]: the examples that
count (False for the padding of a last batch). It returns a pytree of float32
sums, whose counts are exact up to 2²⁴ examples. Add such trees with `+`, or
over devices with `psum`, then read `.value`:

>>> first = accuracy(jnp.eye(3), jnp.array([0, 1, 0]))
>>> last = accuracy(jnp.eye(3)[:1], jnp.array([0]))
>>> print((first + last).value)  # 3 of 4
0.75

Under `vmap` over students every sum gains an axis and so does the value. All
functions raise ValueError, which shows the shapes, where they do not fit.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from shallow_mimic import losses


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mean:
  """A mean to be: `total` of the values and `count` of the examples."""

  total: jax.Array
  count: jax.Array

  def __add__(self, other: Mean) -> Mean:
    """Joins two batches."""
    return jax.tree.map(jnp.add, self, other)

  @property
  def value(self) -> jax.Array:
    """Mean over all examples added so far; NaN if there are none."""
    return jnp.divide(self.total, self.count)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CalibrationBins:
  """Per bin of confidence: examples, sum of confidence, correct ones; [bins].

  Bin m of M holds the examples with confidence in ((m - 1) / M, m / M].
  """

  counts: jax.Array
  confidences: jax.Array
  corrects: jax.Array

  def __add__(self, other: CalibrationBins) -> CalibrationBins:
    """Joins two batches."""
    return jax.tree.map(jnp.add, self, other)

  @property
  def value(self) -> jax.Array:
    """ECE = Σ_m |correct_m − confidence_m| / N, from 0 to 1; NaN if N = 0.

    Reference: Guo et al. 2017 (arXiv 1706.04599), eq. 3.
    """
    gaps = jnp.abs(jnp.subtract(self.corrects, self.confidences))
    return jnp.divide(gaps.sum(-1), jnp.sum(self.counts, -1))


def accuracy(
    logits: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None
) -> Mean:
  """Share of examples whose largest logit, the first of equals, is the label.

  An example without a label (-1) counts as wrong unless `where` drops it.
  """
  return _mean(_hits(logits, labels), where)


def agreement(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    *,
    where: ArrayLike | None = None,
) -> Mean:
  """Share of examples where student and teacher decide for the same class.

  Reference: Stanton et al. 2021 (arXiv 2106.05945), top-1 agreement.
  """
  student, teacher = jnp.asarray(student_logits), jnp.asarray(teacher_logits)
  if student.shape != teacher.shape:
    raise ValueError(
        'student_logits and teacher_logits must have one shape, got'
        f' {student.shape} and {teacher.shape}'
    )
  decisions = jnp.where(_broken(teacher), -1, jnp.argmax(teacher, -1))
  return _mean(_hits(student, decisions), where)


def kl(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    *,
    where: ArrayLike | None = None,
) -> Mean:
  """KL(teacher ‖ student) in nats, at temperature 1."""
  return _mean(losses.distillation_kl(student_logits, teacher_logits), where)


def nll(
    logits: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None
) -> Mean:
  """−log probability of the label, in nats; NaN if one that counts is -1."""
  return _mean(losses.hard_label_cross_entropy(logits, labels), where)


def calibration(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    bins: int = 15,
    where: ArrayLike | None = None,
) -> CalibrationBins:
  """Confidence against accuracy in equal bins; `.value` is the ECE.

  Confidence is the largest probability. The ECE of a sum of batches is that
  of all their examples together, not the mean of the batches' ECEs.

  Reference: Guo et al. 2017 (arXiv 1706.04599), eqs. 1 to 3, with M = 15.
  """
  hits = _hits(logits, labels)
  keep = _kept(hits, where)
  logits = jnp.asarray(logits, jnp.float32)
  confidence = jnp.where(keep, jax.nn.softmax(logits).max(-1), 0)
  index = jnp.clip(jnp.ceil(confidence * bins) - 1, 0, bins - 1)
  # A sum over one-hot rows has one order of addition; a scatter on a GPU has
  # not, and equal runs would differ.
  rows = jax.nn.one_hot(index.astype(jnp.int32), bins, dtype=jnp.float32)
  rows *= keep[..., None]
  batch = tuple(range(keep.ndim))
  return CalibrationBins(
      counts=rows.sum(batch),
      confidences=(rows * confidence[..., None]).sum(batch),
      corrects=(rows * hits[..., None]).sum(batch),
  )


def _hits(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
  logits, labels = jnp.asarray(logits), jnp.asarray(labels)
  integers = jnp.issubdtype(labels.dtype, jnp.integer)
  if not integers or labels.shape != logits.shape[:-1]:
    raise ValueError(
        'labels must be integers, one per example, got'
        f' {labels.dtype} {labels.shape} for logits {logits.shape}'
    )
  return (jnp.argmax(logits, -1) == labels) & ~_broken(logits)


def _broken(logits: jax.Array) -> jax.Array:
  # A net that gives NaN decides nothing, where argmax would say "the first".
  return jnp.isnan(logits).any(-1)


def _kept(values: jax.Array, where: ArrayLike | None) -> jax.Array:
  where = jnp.asarray(True if where is None else where, bool)
  if where.shape not in ((), values.shape):
    raise ValueError(
        'where must have one entry per example, got'
        f' {where.shape} for {values.shape}'
    )
  return jnp.broadcast_to(where, values.shape)


def _mean(values: jax.Array, where: ArrayLike | None) -> Mean:
  keep = _kept(values, where)
  # Chosen, not multiplied: what padding holds may be NaN.
  total = jnp.where(keep, values, 0).sum(dtype=jnp.float32)
  return Mean(total, keep.sum(dtype=jnp.float32))
