"""The Flax modules with parameters that nets are made of."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from shallow_mimic.models.convolution import convolve
from shallow_mimic.models.pooled_convolution import convolve_and_pool

# Below this a filter's variance counts as noise, as in Qiao et al.
_KERNEL_EPSILON = 1e-4


def _init_bias(spread: float):
  """Normal draws, or zeros without drawing: draws take long to compile."""
  return nn.initializers.normal(spread) if spread else nn.initializers.zeros


class UnitsMajorDense(nn.Module):
  """W x + b with kernel [H, F] and output [H, B].

  Attributes:
    units: H.
    scale: variance of the kernel's normal draws, times F.
    bias_spread: standard deviation of the bias at the start; None: no bias.
    precision: of the product.
  """

  units: int
  scale: float = 1.0
  bias_spread: float | None = 0.0
  precision: str | None = None

  @nn.compact
  def __call__(self, x: jax.Array, *, examples_first: bool) -> jax.Array:
    """Takes x [F, B], or [B, F] where `examples_first`."""
    features = x.shape[1 if examples_first else 0]
    kernel = self.param(
        'kernel', nn.initializers.variance_scaling(
            self.scale, 'fan_in', 'normal', in_axis=1, out_axis=0),
        (self.units, features), jnp.float32)
    equation = 'hf,bf->hb' if examples_first else 'hf,fb->hb'
    y = jnp.einsum(equation, kernel, x, precision=self.precision)
    if self.bias_spread is None:
      return y
    bias = self.param(
        'bias', _init_bias(self.bias_spread), (self.units,), jnp.float32)
    return y + bias[:, None]


class MapConvolution(nn.Module):
  """Convolution 'same': kernel [k, …, cin, maps] and a bias for each map.

  Attributes:
    maps: number of filters.
    size: k, along each axis.
    scale: variance of the kernel's normal draws, times its fan-in.
    bias_spread: standard deviation of the bias at the start; None: no bias.
    precision: of the products.
    standardised: whether filters pass through `standardise_kernel`.
  """

  maps: int
  size: int
  scale: float = 1.0
  bias_spread: float | None = 0.0
  precision: str | None = None
  standardised: bool = False

  @nn.compact
  def __call__(self, x: jax.Array,
               pool: tuple[int, int] | None = None) -> jax.Array:
    """Takes x [B, L, cin] or [B, h, w, cin].

    With `pool`, (size, stride), the largest in each window goes before the
    bias.
    """
    shape = (*[self.size] * (x.ndim - 2), x.shape[-1], self.maps)
    kernel = self.param(
        'kernel', nn.initializers.variance_scaling(
            self.scale, 'fan_in', 'normal'), shape, jnp.float32)
    if self.standardised:
      kernel = standardise_kernel(kernel)
    if pool is None:
      y = convolve(x, kernel, precision=self.precision)
    else:
      y = convolve_and_pool(x, kernel, *pool, precision=self.precision)
    if self.bias_spread is None:
      return y
    bias = self.param(
        'bias', _init_bias(self.bias_spread), (self.maps,), jnp.float32)
    return y + bias.reshape((1,) * (y.ndim - 1) + (-1,))


def standardise_kernel(kernel: jax.Array) -> jax.Array:
  """Every filter to mean 0 and variance 1 / fan-in, [k, …, cin, maps].

  Weight standardisation (Qiao et al., arXiv 1903.10520): with group norm in
  small groups it trains as well as batch norm, and needs no statistics.
  """
  axes = tuple(range(kernel.ndim - 1))
  fan_in = kernel[..., 0].size
  centred = kernel - kernel.mean(axes, keepdims=True)
  variance = jnp.square(centred).mean(axes, keepdims=True)
  return centred * jax.lax.rsqrt(fan_in * variance + _KERNEL_EPSILON)


class GroupNorm(nn.Module):
  """Each example's maps to mean 0, variance 1, in groups, then scale + bias.

  Keeps no running statistics. There are as many groups as divide the maps, up
  to `most_groups`.
  """

  most_groups: int = 32
  epsilon: float = 1e-6

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Takes x [B, …, c]."""
    channels = x.shape[-1]
    groups = max(g for g in range(1, min(self.most_groups, channels) + 1)
                 if channels % g == 0)
    scale = self.param('scale', nn.initializers.ones, (channels,), jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, (channels,), jnp.float32)
    return _normalise(x, groups, self.epsilon, scale, bias)


def _normalise(x, groups, epsilon, scale, bias):
  """Sums over positions first: the rest is per map, not per position."""
  positions = tuple(range(1, x.ndim - 1))
  batch, channels = x.shape[0], x.shape[-1]

  def over_group(per_map):  # [B, c] → [B, c], averaged within each group
    grouped = per_map.reshape(batch, groups, -1).mean(-1, keepdims=True)
    return jnp.repeat(grouped[..., 0], channels // groups, axis=1)

  spread = (batch, *(1 for _ in positions), channels)
  mean = over_group(x.mean(positions))
  centred = x - mean.reshape(spread)
  variance = over_group(jnp.square(centred).mean(positions))
  factor = jax.lax.rsqrt(variance + epsilon) * scale[None]
  return centred * factor.reshape(spread) + bias.reshape(
      (1,) * (x.ndim - 1) + (-1,))
