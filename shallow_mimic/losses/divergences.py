"""Kullback-Leibler divergences from the teacher, in nats."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from shallow_mimic.losses import arguments, scaling


def distillation_kl(
    student_logits: ArrayLike, teacher_logits: ArrayLike, *,
    temperature: ArrayLike = 1.0, axis: int = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
  """T² KL(teacher ‖ student) = T² Σ_C p (log p − log q), softmaxes at T.

  p = softmax(z / T), q = softmax(g / T); the gradient is T (q − p). For large
  T it tends to centred_logit_regression / C, with rounding errors of some
  1e-7 T in the value and in the gradient. It is never negative.

  Args: student_logits g, teacher_logits z, where: [..., C] each;
    temperature T: a positive scalar (not checked where traced).
  Raises: ValueError where the shapes differ or T is not positive.
  Reference: Hinton et al. 2015 (arXiv 1503.02531), eqs. 1, 2 and 4.

  >>> g, z = jnp.log(jnp.array([.5, .5])), jnp.log(jnp.array([.8, .2]))
  >>> print(distillation_kl(g, z).round(4))  # .8 ln 1.6 + .2 ln .4
  0.1927
  """
  t = arguments.read_temperature(temperature)
  g, z, where = arguments.read_pair(student_logits, teacher_logits, axis, where)
  log_q, log_p = (scaling.log_softmax(side, axis, where, t) for side in (g, z))
  return t * t * _kl(log_q, log_p, axis, where)


def standardised_kl(
    student_logits: ArrayLike, teacher_logits: ArrayLike, *,
    temperature: ArrayLike = 1.0, axis: int = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
  """`distillation_kl` of z-scores: (g − mean g) / std g, over C; z alike.

  Neither an offset nor a positive scale of either side matters. The variance
  divides by C (the authors' code: C − 1), 1e-7 is added to the deviation:
  logits that are all equal have z-scores 0, and gradients of up to 1e7 T.
  Logits beyond some 1e37 / C count as that.

  Args, raises: as `distillation_kl`; the authors' base T is 2.
  Reference: Sun et al. 2024 (arXiv 2403.01427), algorithms 1 and 2.

  >>> g, z = jnp.array([1., 2., 3.]), jnp.array([10., 20., 0.])
  >>> print(standardised_kl(g, z).round(4))  # z-scores 0, ±1.2247
  0.9949
  """
  g, z, where = arguments.read_pair(student_logits, teacher_logits, axis, where)
  g, z = (scaling.standardise(side, axis, where) for side in (g, z))
  return distillation_kl(g, z, temperature=temperature, axis=axis, where=where)


def decoupled_kl(
    student_logits: ArrayLike, teacher_logits: ArrayLike, labels: ArrayLike, *,
    alpha: ArrayLike = 1.0, beta: ArrayLike = 8.0,
    temperature: ArrayLike = 1.0, axis: int = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
  """T² (α TCKD + β NCKD): the label's class against the rest, and the rest.

  TCKD is the KL of (p_t, 1 − p_t), with p_t the label's probability; NCKD the
  KL of the softmaxes of the other classes alone. `distillation_kl` is α = 1
  with β = 1 − p_t, the teacher's: it says little of the other classes where
  the teacher is sure. At label -1, no label, t is the teacher's first largest
  class. A label that `where` drops has p_t = 0: all is NCKD.

  Args: as `distillation_kl`; labels: integers [...]; alpha α, beta β: scalars
    from 0 (not checked where traced). The authors' α is 1, their β 0.5 to 10.
  Raises: ValueError as `distillation_kl` does, or where labels are not
    integers or do not fit or a weight is negative.
  Reference: Zhao et al. 2022 (arXiv 2203.08679), eqs. 6 and 7.

  >>> g, z = jnp.zeros(4), jnp.log(jnp.array([.7, .1, .1, .1]))
  >>> print(f'{decoupled_kl(g, z, 0):.4f}')  # .7 ln 2.8 + .3 ln .4, NCKD 0
  0.4458
  """
  a, b = (arguments.read_weight(name, weight)
          for name, weight in (('alpha', alpha), ('beta', beta)))
  t = arguments.read_temperature(temperature)
  g, z, where = arguments.read_pair(student_logits, teacher_logits, axis, where)
  labels = arguments.read_labels(labels, g, axis)
  guess = jnp.argmax(scaling.shift(z, axis, where), axis).astype(jnp.int32)
  place = jnp.expand_dims(jnp.where(labels == -1, guess, labels), axis)
  target = jax.lax.broadcasted_iota(jnp.int32, g.shape, axis % g.ndim) == place
  kept = jnp.ones(g.shape, bool) if where is None else where
  own, rest = kept & target, kept & ~target
  there = jnp.concatenate(
      [jnp.any(part, axis, keepdims=True) for part in (own, rest)], axis)
  tckd = _kl(_split(g, axis, own, rest, t), _split(z, axis, own, rest, t),
             axis, there)
  nckd = _kl(scaling.log_softmax(g, axis, rest, t),
             scaling.log_softmax(z, axis, rest, t), axis, rest)
  loss = t * t * (arguments.weigh(a, tckd) + arguments.weigh(b, nckd))
  return jnp.where((-1 <= labels) & (labels < g.shape[axis]), loss, jnp.nan)


def _split(logits: jax.Array, axis: int, own: jax.Array, rest: jax.Array,
           temperature: jax.Array) -> jax.Array:
  """Log (p_t, 1 − p_t) on `axis`; log 0 for a part that keeps no class."""
  top = scaling.peak(logits, axis, own | rest)
  mine = jnp.sum(jnp.where(own, logits - top, 0), axis, keepdims=True)
  # log Σ exp of the rest, from its own peak: the gradient stays finite where
  # the rest lies infinitely far below.
  total = jnp.sum(jnp.exp(scaling.shift(logits, axis, rest) / temperature),
                  axis, keepdims=True)
  others = (scaling.peak(logits, axis, rest) - top) / temperature + jnp.log(
      jnp.where(total > 0, total, 1))
  parts = [jnp.where(jnp.any(own, axis, keepdims=True),
                     mine / temperature, -jnp.inf),
           jnp.where(total > 0, others, -jnp.inf)]
  return jax.nn.log_softmax(jnp.concatenate(parts, axis), axis)


def _kl(log_q: jax.Array, log_p: jax.Array, axis: int,
        where: jax.Array | None) -> jax.Array:
  if where is not None:
    log_q, log_p = (jnp.where(where, side, -jnp.inf) for side in (log_q, log_p))
  return _sum_terms(log_q, log_p, axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _sum_terms(log_q: jax.Array, log_p: jax.Array, axis: int) -> jax.Array:
  """Σ q − p − p u with u = log q − log p: as q and p sum to 1, Σ −p u.

  No term of it is negative, and so near ones do not cancel.
  """
  q, p = jnp.exp(log_q), jnp.exp(log_p)
  # 0 log 0 is 0, but 0 · inf is not.
  u = jnp.where(p > 0, log_q - log_p, 0)
  near = (jnp.abs(u) < 0.1) & (p > 0)
  v = jnp.where(near, u, 0)
  # e^v − 1 − v by its series, to the last bit.
  series = v * v / 2 * (1 + v / 3 * (1 + v / 4 * (1 + v / 5 * (1 + v / 6))))
  return jnp.sum(jnp.where(near, p * series, q - p - p * u), axis)


@_sum_terms.defjvp
def _change_of_sum(
    axis: int, primals: tuple[jax.Array, jax.Array],
    tangents: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array]:
  """That of Σ −p u, with less work; the teacher's p does not change."""
  p, change = jnp.exp(primals[1]), tangents[0]
  return (_sum_terms(*primals, axis),
          -jnp.sum(jnp.where(p > 0, p * change, 0), axis))
