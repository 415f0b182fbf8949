"""Losses that train a student on a teacher's logits, one value per example.

Shared by every function:
  logits   [..., C]: g a student's, z a teacher's, classes on `axis`.
  labels   integers [...] from 0 to C - 1; any other, as the -1 of an example
           without a label, has the loss NaN.
  where    booleans of the logits' rank that broadcast to their shape: the
           classes to keep in sums and softmaxes. A label that is not kept has
           the loss inf; an example that keeps no class has loss 0.
  returns  float32 [...], whatever the input type, without a batch reduction.

No gradient flows into the teacher, and none is NaN at any finite logits.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike


def logit_regression(
    student_logits: ArrayLike, teacher_logits: ArrayLike, *, axis: int = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
  """½ Σ_C (g − z)²: summed over classes, halved, no softmax.

  Args: student_logits g, teacher_logits z, where: [..., C] each.
  Raises: ValueError where the shapes differ.
  Reference: Ba & Caruana 2014 (arXiv 1312.6184), eq. 1, before its mean.

  >>> g, z = jnp.array([10., 20., 30.]), jnp.array([-10., 0., 10.])
  >>> print(logit_regression(g, z))  # half of 3 · 20², for equal softmaxes
  600.0
  """
  g, z, where = _pair(student_logits, teacher_logits, axis, where)
  return jnp.sum(optax.losses.l2_loss(g, z), axis, where=where)


def probability_regression(
    student_logits: ArrayLike, teacher_logits: ArrayLike, *, axis: int = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
  """½ Σ_C (softmax g − softmax z)²: from 0 to 1.

  Args, raises: as `logit_regression`.
  Reference: Ba & Caruana 2014, who tried it and kept eq. 1.

  >>> g, z = jnp.array([10., 20., 30.]), jnp.array([-10., 0., 10.])
  >>> print(probability_regression(g, z))  # equal probabilities
  0.0
  """
  g, z, where = _pair(student_logits, teacher_logits, axis, where)
  q = jnp.exp(_log_softmax(g, axis, where))
  p = jnp.exp(_log_softmax(z, axis, where))
  return jnp.sum(optax.losses.l2_loss(q, p), axis, where=where)


def distillation_kl(
    student_logits: ArrayLike, teacher_logits: ArrayLike, *,
    temperature: ArrayLike = 1.0, axis: int = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
  """T² KL(teacher ‖ student) = T² Σ_C p (log p − log q), softmaxes at T.

  p = softmax(z / T), q = softmax(g / T); the gradient is T (q − p). For large
  T it tends to logit_regression / C of logits centred over the classes, with
  rounding errors of some 1e-7 T² in the value and 1e-7 T in the gradient.

  Args: student_logits g, teacher_logits z, where: [..., C] each;
    temperature T: a positive scalar (not checked where traced).
  Raises: ValueError where the shapes differ or T is not positive.
  Reference: Hinton et al. 2015 (arXiv 1503.02531), eqs. 1, 2 and 4.

  >>> g, z = jnp.log(jnp.array([.5, .5])), jnp.log(jnp.array([.8, .2]))
  >>> print(distillation_kl(g, z).round(4))  # .8 ln 1.6 + .2 ln .4
  0.1927
  """
  _check((0 < temperature) & (temperature < jnp.inf),
         f'temperature must be positive and finite, got {temperature}')
  t = jnp.asarray(temperature, jnp.float32)
  g, z, where = _pair(student_logits, teacher_logits, axis, where)
  log_q = _log_softmax(g, axis, where, t)
  log_p = _log_softmax(z, axis, where, t)
  # 0 log 0 is 0, but in the sum it may be 0 · inf.
  kept = (jnp.exp(log_p) > 0) & (True if where is None else where)
  return t * t * optax.losses.kl_divergence_with_log_targets(
      _keep(log_q, kept), _keep(log_p, kept), axis, kept)


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
  g, _, where = _pair(logits, logits, axis, where)
  labels, axis = jnp.asarray(labels), axis % g.ndim
  _check(jnp.issubdtype(labels.dtype, jnp.integer)
         and labels.shape == g.shape[:axis] + g.shape[axis + 1:],
         f'labels must be integers, one per example, got {labels.dtype}'
         f' {labels.shape} for logits {g.shape} with classes on axis {axis}')
  loss = optax.losses.softmax_cross_entropy_with_integer_labels(
      _shift(g, axis, where), labels, axis, where)
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
  g, z, where = _pair(student_logits, teacher_logits, axis, where)
  labels = jnp.argmax(_shift(z, axis, where), axis)
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
  _check((0 <= alpha) & (alpha <= 1), f'alpha must be in [0, 1], got {alpha}')
  a = jnp.asarray(alpha, jnp.float32)
  kl = distillation_kl(student_logits, teacher_logits, axis=axis, where=where,
                       temperature=temperature)
  ce = hard_label_cross_entropy(student_logits, labels, axis=axis, where=where)
  # A term of weight 0 is left out whole: it may be inf, or NaN unlabelled.
  return jnp.where(a > 0, a * kl, 0) + jnp.where(a < 1, (1 - a) * ce, 0)


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
    _check(z.ndim and z.size, f'no logits [..., C] to fit: shape {z.shape}')
    return cls(*_moments(z.reshape(-1, z.shape[-1])))

  def normalize(self, logits: ArrayLike) -> jax.Array:
    """(z − mean) / std for logits z, [..., C]; ValueError if C differs."""
    z, mean, std = self._match(logits)
    return (z - mean) / std

  def denormalize(self, logits: ArrayLike) -> jax.Array:
    """The inverse: z · std + mean, [..., C]; ValueError if C differs."""
    z, mean, std = self._match(logits)
    return z * std + mean

  def _match(self, logits):
    z, shape = jnp.asarray(logits, jnp.float32), self.mean.shape
    _check(z.shape[-1:] == shape, f'logits {z.shape} for a normaliser {shape}')
    return z, *(jnp.broadcast_to(part, z.shape) for part in self)


@jax.jit
def _moments(z):
  mean = z.mean(0, keepdims=True)
  # The mean of a class that never varies is its value, without any rounding.
  mean = jnp.where(jnp.all(z == z[:1], 0, keepdims=True), z[:1], mean)
  size = jnp.max(jnp.abs(z - mean), 0, keepdims=True)
  scaled = (z - mean) / jnp.where(size > 0, size, 1)  # no square overflows
  std = size[0] * jnp.sqrt(jnp.mean(jnp.square(scaled), 0))
  return mean[0], jnp.where(std > 0, std, 1)


def _check(ok, message):
  if not isinstance(ok, jax.core.Tracer) and not ok:
    raise ValueError(message)


def _pair(student, teacher, axis, where):
  g = jnp.asarray(student, jnp.float32)
  z = jax.lax.stop_gradient(jnp.asarray(teacher, jnp.float32))
  _check(g.shape == z.shape and -g.ndim <= axis < g.ndim,
         'student_logits and teacher_logits must have one shape with axis'
         f' {axis}, got {g.shape} and {z.shape}')
  if where is None:
    return g, z, None
  where = jnp.asarray(where, bool)
  fits = [n in (1, m) for n, m in zip(where.shape, g.shape, strict=False)]
  _check(where.ndim == g.ndim and all(fits), 'where must broadcast, at the same'
         f' rank, to the logits, got {where.shape} and {g.shape}')
  where = jnp.broadcast_to(where, g.shape)
  return _keep(g, where), _keep(z, where), where


def _keep(array, where):
  # Zeroed rather than skipped: gradients of the rest then meet no inf or NaN.
  return array if where is None else jnp.where(where, array, 0)


def _shift(logits, axis, where):
  # The largest logit becomes 0, so that no exp overflows and offsets cancel;
  # a dropped class becomes -inf, of probability 0.
  top = jnp.max(logits, axis, keepdims=True, where=where, initial=-jnp.inf)
  shifted = logits - jax.lax.stop_gradient(top)
  return shifted if where is None else jnp.where(where, shifted, -jnp.inf)


def _log_softmax(logits, axis, where, temperature=1.0):
  return jax.nn.log_softmax(_shift(logits, axis, where) / temperature, axis)
