"""Cross-entropies to one class each, and their blend with a divergence."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from shallow_mimic.losses import arguments, divergences, scaling


def hard_label_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, *, axis: int = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
  """−log softmax(g)[label]: cross-entropy to integer labels, in nats.

  Args: logits g, where: [..., C] each; labels: integers [...].
  Raises: ValueError where shapes do not fit or labels are not integers.
  Reference: Hinton et al. 2015, section 2, the second of its two objectives.

  >>> print(hard_label_cross_entropy(jnp.zeros((2, 4)), jnp.array([0, 3])))
  [1.3862944 1.3862944]
  """
  g, _, where = arguments.read_pair(logits, logits, axis, where)
  labels = arguments.read_labels(labels, g, axis)
  loss = optax.losses.softmax_cross_entropy_with_integer_labels(
      scaling.shift(g, axis, where), labels, axis, where)
  return jnp.where((0 <= labels) & (labels < g.shape[axis]), loss, jnp.nan)


def pseudo_label_cross_entropy(
    student_logits: ArrayLike, teacher_logits: ArrayLike, *, axis: int = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
  """−log softmax(g)[argmax z]: the teacher's decision, the first of equals.

  Args, raises: as `logit_regression`.
  Reference: Lee 2013, "Pseudo-Label"; here the teacher is another net.

  >>> print(pseudo_label_cross_entropy(jnp.zeros(4), jnp.arange(4)))
  1.3862944
  """
  g, z, where = arguments.read_pair(student_logits, teacher_logits, axis, where)
  labels = jnp.argmax(scaling.shift(z, axis, where), axis)
  return hard_label_cross_entropy(g, labels, axis=axis, where=where)


def blended(
    student_logits: ArrayLike, teacher_logits: ArrayLike, labels: ArrayLike, *,
    alpha: ArrayLike, temperature: ArrayLike = 1.0, axis: int = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
  """α T² KL(teacher ‖ student) + (1 − α) CE(label): α weighs the teacher.

  T softens the first term alone. At α = 1 labels may be outside [0, C).

  Args: as `distillation_kl` and `hard_label_cross_entropy`;
    alpha α: a scalar from 0 to 1 (not checked where traced).
  Raises: ValueError as they do, or where α is outside [0, 1].
  Reference: Hinton et al. 2015, section 2, the weighted average.

  >>> g, z = jnp.log(jnp.array([.5, .5])), jnp.log(jnp.array([.8, .2]))
  >>> print(blended(g, z, 1, alpha=.5).round(4))  # (0.1927 + ln 2) / 2
  0.4429
  """
  share = arguments.read_scalar('alpha', alpha)
  arguments.check((0 <= share) & (share <= 1),
                  f'alpha must be in [0, 1], got {alpha}')
  a = jnp.asarray(alpha, jnp.float32)
  kl = divergences.distillation_kl(
      student_logits, teacher_logits, axis=axis, where=where,
      temperature=temperature)
  ce = hard_label_cross_entropy(student_logits, labels, axis=axis, where=where)
  return arguments.weigh(a, kl) + arguments.weigh(1 - a, ce)
