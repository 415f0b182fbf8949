"""Kinds of layers as a user would write them, for tests to register."""

import dataclasses

import flax.linen as nn

from shallow_mimic import models


@dataclasses.dataclass(frozen=True)
class Gate(models.Layer):
  """gate64: 64 units, each a linear one times a sigmoid of another."""

  name, version, pattern = 'gate', '1', r'gate(\d+)'
  takes_map, has_units = False, True
  units: int

  def __str__(self):
    return f'gate{self.units}'

  def output_shape(self, shape):
    return (self.units,)

  def fan_in(self, shape):
    return 2 * shape[0]

  def count_parameters(self, shape, options):
    return 2 * self.units * (shape[0] + 1)

  def apply(self, x, site):
    both = nn.Dense(2 * self.units, name=site.name)(x)
    return site.drop(both[:, :self.units] * nn.sigmoid(both[:, self.units:]),
                     site.options.dropout_hidden)


@dataclasses.dataclass(frozen=True)
class Crop(models.Layer):
  """crop2: a map without the 2 positions at each of its edges."""

  name, version, pattern = 'crop', '1', r'crop(\d+)'
  takes_map, has_units = True, False
  margin: int

  def __str__(self):
    return f'crop{self.margin}'

  def output_shape(self, shape):
    if min(shape[:-1]) <= 2 * self.margin:
      raise ValueError(f'leaves nothing of a map {shape}; crop less')
    return (*(n - 2 * self.margin for n in shape[:-1]), shape[-1])

  def fan_in(self, shape):
    return 0

  def count_parameters(self, shape, options):
    return 0

  def apply(self, x, site):
    inside = slice(self.margin, -self.margin)
    return x[(slice(None), *[inside] * (x.ndim - 2))]


@dataclasses.dataclass(frozen=True)
class Standard(models.Layer):
  """std: a layer norm of the inputs, which padding would change."""

  name, version, pattern = 'std', '1', 'std'
  takes_map, has_units = False, False

  def __str__(self):
    return 'std'

  def output_shape(self, shape):
    return shape

  def fan_in(self, shape):
    return 0

  def count_parameters(self, shape, options):
    return 2 * shape[0]

  def apply(self, x, site):
    return nn.LayerNorm(name=site.name)(x)
