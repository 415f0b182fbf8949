"""Correlations of probabilities with the teacher's, over classes and batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from shallow_mimic.losses import arguments, scaling


def pearson_distance(
    student_logits: ArrayLike, teacher_logits: ArrayLike, *,
    beta: ArrayLike = 1.0, gamma: ArrayLike = 1.0,
    temperature: ArrayLike = 1.0, axis: int = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
  """DIST: T² (β (1 − ρ over classes) + γ (1 − ρ over examples)).

  ρ is Pearson's correlation of softmax(g / T) with softmax(z / T): of an
  example's classes (inter), and of a class's examples (intra, the mean over
  classes), where all axes but `axis` are one batch. As 1 − ρ is half the mean
  squared difference of z-scores, an example's share of intra is its own mean
  over classes of that: shares average to intra, so the mean of this loss is
  the paper's. An example thus depends on its batch: mapped over alone, or
  split among devices, intra is that of the part (of one example: 0).

  Probabilities that do not vary (relative to their size, to some 1e-7) have
  z-scores 0: distance 0 from another such, ½ from any that vary.

  Args: as `distillation_kl`; beta β, gamma γ: scalars from 0 (not checked
    where traced).
  Raises: ValueError where the shapes differ, T is not positive or a weight
    is negative.
  Reference: Huang et al. 2022 (arXiv 2205.10536), the loss DIST of section 3;
    T² as in the authors' code.

  >>> z = jnp.log(jnp.array([[.6, .4], [.2, .8]]))
  >>> print(pearson_distance(-z, z).round(4))  # ρ = -1 four times
  [4. 4.]
  """
  b, c = (arguments.read_weight(name, weight)
          for name, weight in (('beta', beta), ('gamma', gamma)))
  t = arguments.read_temperature(temperature)
  g, z, where = arguments.read_pair(student_logits, teacher_logits, axis, where)
  q, p = (arguments.keep(jnp.exp(scaling.log_softmax(side, axis, where, t)),
                         where) for side in (g, z))
  batch = tuple(i for i in range(g.ndim) if i != axis % g.ndim)
  inter = _gaps(q, p, axis, where) / scaling.count(g, axis, where)
  intra = _gaps(q, p, batch, where) * _shares(g, axis, batch, where)
  return t * t * (b * jnp.sum(inter, axis) + c * jnp.sum(intra, axis))


def _gaps(q: jax.Array, p: jax.Array, axes: scaling.Axes,
          where: jax.Array | None) -> jax.Array:
  """½ (z-score of q − z-score of p)², each element's own; 0 where dropped."""
  scores = []
  for side in (q, p):
    # Relative to the size: a rare class counts as much as a common one.
    size = jnp.maximum(scaling.peak(side, axes, where), 1e-20)
    scores.append(
        scaling.standardise(side, axes, where, scaling.FLOOR * size))
  return jnp.square(scores[0] - scores[1]) / 2


def _shares(array: jax.Array, axis: int, batch: tuple[int, ...],
            where: jax.Array | None) -> jax.Array:
  """Weights that make the batch's mean of sums a mean over classes of means."""
  if where is None:
    return 1 / scaling.count(array, axis, None)
  classes = jnp.any(where, batch, keepdims=True)
  examples = jnp.any(where, axis, keepdims=True)
  return scaling.count(examples, batch, examples) / (
      scaling.count(array, batch, where)
      * scaling.count(classes, axis, classes))
