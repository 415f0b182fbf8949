"""Optimisers: the schedule of the learning rate, Adam, SGD, and Muon.

Muon is momentum whose matrices are made orthogonal before they are applied:
K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks",
2024; the scale is that of J. Liu et al., "Muon is scalable for LLM training",
2025 (arXiv 2502.16982), so that rates are about those of Adam.

Optax has Muon too, as `optax.contrib.muon`. Ours differs in two things. It
iterates on the Gram matrix of the shorter side, which touches the matrix itself
twice where the usual form does ten times: students are many and oblong, [H, F].
And it knows what is padding: a padded member moves as it would alone.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from shallow_mimic.training.settings import Recipe

# Quintic Newton–Schulz: after five steps singular values are within 0.7…1.2.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5
# Root mean square of an entry of the direction; Adam's is about as large.
_RMS = 0.2
_TINY = 1e-8


def orthogonalise(matrix: jax.Array) -> jax.Array:
  """U Vᵀ of matrix = U S Vᵀ, approximately; rows and columns of zeros stay.

  Args:
    matrix: [m, n], float32.

  Returns:
    [m, n], singular values about 1 (0.7 to 1.2), but those below 1e-3 of the
    Frobenius norm smaller.
  """
  if matrix.shape[0] < matrix.shape[1]:
    return orthogonalise(matrix.T).T
  a, b, c = _COEFFICIENTS
  matrix = matrix / (jnp.linalg.norm(matrix) + _TINY)
  gram = matrix.T @ matrix
  identity = jnp.eye(len(gram), dtype=gram.dtype)
  # X p(XᵀX) has the Gram matrix p² XᵀX: all that is iterated on is [n, n].
  product: jax.Array | None = None
  for _ in range(_STEPS):
    factor = a * identity + b * gram + c * (gram @ gram)
    product = factor if product is None else product @ factor
    gram = factor @ gram @ factor
  return matrix if product is None else matrix @ product


def scale_by_muon(momentum: float) -> optax.GradientTransformation:
  """Gradient to direction: Muon for matrices, Adam for all else.

  Kernels of convolutions, [..., cin, cout], are matrices [... · cin, cout].
  Biases, gains and the output layer's kernel have Adam (default constants).

  Args:
    momentum: of Nesterov's kind, from 0 to below 1.
  """
  muon = optax.chain(
      optax.trace(momentum, nesterov=True), _scale_by_orthogonalising())
  return optax.partition(
      {'muon': muon, 'adam': optax.scale_by_adam()}, _label)


def _label(params):
  return jax.tree_util.tree_map_with_path(
      lambda path, leaf: 'muon' if leaf.ndim > 1 and not any(
          getattr(key, 'key', None) == 'output' for key in path) else 'adam',
      params)


def _scale_by_orthogonalising() -> optax.GradientTransformation:

  def init(params):
    return jax.tree.map(_direction_scale, params)

  def update(momenta, scales, params=None):
    del params
    directions = jax.tree.map(
        lambda scale, x: scale * orthogonalise(_flat(x)).reshape(x.shape),
        scales, momenta)
    return directions, scales

  return optax.GradientTransformation(init, update)


def _flat(kernel: jax.Array) -> jax.Array:
  return kernel.reshape(-1, kernel.shape[-1])


def _direction_scale(kernel: jax.Array) -> jax.Array:
  """The scale that gives entries an RMS of 0.2: by the longer side.

  Padding is what the first parameters have zeros for, so that its rows and
  columns do not count.
  """
  present = _flat(kernel) != 0
  longest = jnp.maximum(present.any(1).sum(), present.any(0).sum())
  return _RMS * jnp.sqrt(longest.astype(jnp.float32))


def make_schedule(recipe: Recipe) -> Callable[[jax.Array], jax.Array]:
  """Returns factor(step): linear warm-up to 1, then a cosine to 0."""
  warmup = max(1, round(recipe.warmup * recipe.steps))
  return optax.warmup_cosine_decay_schedule(
      1 / warmup, 1.0, warmup, max(recipe.steps, warmup + 1)
  )


def make_optimizer(recipe: Recipe) -> optax.GradientTransformation:
  """Gradient to direction; the learning rate is the member's own."""
  clip = optax.clip_by_global_norm(recipe.clip) if recipe.clip else None
  moments = {'adam': optax.scale_by_adam,
             'muon': lambda: scale_by_muon(recipe.momentum),
             'sgd': lambda: optax.trace(recipe.momentum)}[recipe.optimizer]()
  return optax.chain(clip, moments) if clip else moments
