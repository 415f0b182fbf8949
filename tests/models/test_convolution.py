"""Convolution: values against scipy, gradients against XLA's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import signal

from shallow_mimic.models import convolution
from shallow_mimic.models.convolution import convolve

# [B, …, cin], filter sizes, cout: even and odd, larger than the map, one map.
CASES = [
    ((3, 9, 4), (5,), 6), ((2, 8, 1), (4,), 3), ((2, 3, 2), (7,), 5),
    ((1, 6, 3), (1,), 2), ((3, 7, 6, 2), (3, 3), 5), ((2, 5, 8, 3), (5, 5), 4),
    ((2, 4, 4, 1), (2, 4), 3), ((5, 3, 2, 2), (5, 3), 1),
]


def _draw(shape, sizes, cout, seed=0):
  rng = np.random.default_rng(seed)
  x = rng.normal(size=shape)
  kernel = rng.normal(size=(*sizes, shape[-1], cout))
  return x, kernel, rng.normal(size=(*shape[:-1], cout))


def _correlate(x, kernel):
  """Full correlation by scipy in float64, cut to 'same'."""
  y = np.zeros((*x.shape[:-1], kernel.shape[-1]))
  for b, i, o in np.ndindex(len(x), *kernel.shape[-2:]):
    full = signal.correlate(x[b, ..., i], kernel[..., i, o], 'full', 'direct')
    y[b, ..., o] += full[tuple(slice(k // 2, k // 2 + n) for k, n in zip(
        kernel.shape[:-2], x.shape[1:-1], strict=True))]
  return y


@pytest.mark.parametrize('form', ['cpu', 'xla'])
@pytest.mark.parametrize(('shape', 'sizes', 'cout'), CASES)
def test_values(shape, sizes, cout, form):
  x, kernel, _ = _draw(shape, sizes, cout)
  y = jax.jit(_fresh(form=form))(
      jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32))
  np.testing.assert_allclose(y, _correlate(x, kernel), rtol=1e-4, atol=1e-4)


def _fresh(**options):
  """A new function, so that jit traces it again after a patch."""
  return functools.partial(convolve, **options)


def _run(x, kernel):
  return jax.jit(_fresh())(x, kernel)


def _gradients(convolve_one, x, kernel, weights):
  return jax.jit(jax.grad(lambda x, kernel: jnp.vdot(
      convolve_one(x, kernel), weights), (0, 1)))(x, kernel)


@pytest.mark.parametrize('blocked', [False, True])
@pytest.mark.parametrize(('shape', 'sizes', 'cout'), CASES)
def test_gradients(shape, sizes, cout, blocked, monkeypatch):
  if blocked:  # blocks of one example or two; three do not divide by two
    each = 4 * (shape[1] + 4) * shape[-2] * 10 * 5
    monkeypatch.setattr(convolution, '_WHOLE_BYTES', 1)
    monkeypatch.setattr(convolution, '_BLOCK_BYTES', each)
  arrays = [jnp.asarray(a, jnp.float32) for a in _draw(shape, sizes, cout)]
  letters = 'L' if len(sizes) == 1 else 'hw'
  numbers = (f'N{letters}C', f'{letters}IO', f'N{letters}C')
  expected = _gradients(lambda x, kernel: lax.conv_general_dilated(
      x, kernel, (1,) * len(sizes), 'SAME', dimension_numbers=numbers), *arrays)
  for got, want in zip(
      _gradients(_fresh(), *arrays), expected, strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('batch', [1, 4, 5, 7])
def test_blocks_change_nothing(batch, monkeypatch):
  x, kernel, weights = (jnp.asarray(a, jnp.float32) for a in _draw(
      (batch, 6, 5, 3), (3, 3), 4))
  whole = (_run(x, kernel), *_gradients(_fresh(), x, kernel, weights))
  monkeypatch.setattr(convolution, '_WHOLE_BYTES', 1)
  monkeypatch.setattr(
      convolution, '_BLOCK_BYTES', 2 * 4 * 8 * 5 * (3 * 3 + 3 * 4))
  assert convolution._split(x, kernel) == (-(-batch // 2), min(batch, 2))
  blocked = (_run(x, kernel), *_gradients(_fresh(), x, kernel, weights))
  for got, want in zip(blocked, whole, strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_large_batches_are_split_to_fit_the_cache():
  x, kernel = jnp.zeros((128, 32, 32, 32)), jnp.zeros((3, 3, 32, 32))
  assert convolution._split(x, kernel) == (64, 2)
  assert convolution._split(x[:8], kernel) == (1, 8)
  signals = jnp.zeros((128, 1, 40, 64)), jnp.zeros((1, 5, 64, 64))
  assert convolution._split(*signals) == (1, 128)


def test_vmap_over_kernels_equals_one_by_one():
  x, kernel, _ = _draw((4, 6, 6, 3), (3, 3), 5)
  x = jnp.asarray(x, jnp.float32)
  kernels = jnp.asarray(np.stack([kernel, -2 * kernel]), jnp.float32)
  step = jax.grad(lambda kernel, x: (convolve(x, kernel) ** 2).sum(), (0, 1))
  together = jax.jit(jax.vmap(step, (0, None)))(kernels, x)
  step = jax.jit(step)
  for i in range(2):
    for got, want in zip(together, step(kernels[i], x), strict=True):
      np.testing.assert_allclose(got[i], want, rtol=1e-4, atol=1e-3)


def test_form_by_backend(monkeypatch):
  x, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1))
  on_cpu = str(jax.make_jaxpr(_fresh())(x, kernel))
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  elsewhere = str(jax.make_jaxpr(_fresh())(x, kernel))
  assert 'custom_vjp' in on_cpu
  assert 'custom_vjp' not in elsewhere


@pytest.mark.parametrize(('x', 'kernel', 'form', 'message'), [
    ((2, 8, 3), (5, 4, 6), None,
     'cannot convolve x (2, 8, 3) with kernel (5, 4, 6)'),
    ((2, 8, 3), (5, 5, 3, 6), None,
     'cannot convolve x (2, 8, 3) with kernel (5, 5, 3, 6)'),
    ((2, 3), (3, 6), None, 'cannot convolve x (2, 3) with kernel (3, 6)'),
    ((2, 8, 3), (5, 3, 6), 'fft', "unknown form of convolution 'fft'"),
])
def test_refuses(x, kernel, form, message):
  with pytest.raises(ValueError, match='convol') as error:
    convolve(jnp.zeros(x), jnp.zeros(kernel), form=form)
  assert str(error.value) == message
