"""Absorbing a linear bottleneck into the layer after it: W = U V."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from shallow_mimic.models.architectures import (
    Architecture, Bottleneck, Hidden)
from shallow_mimic.models.nets import Net, Params


def without_bottlenecks(net: Net) -> Net:
  """The same net with every linear bottleneck left out."""
  kept = tuple(layer for layer in net.architecture.layers
               if not isinstance(layer, Bottleneck))
  return dataclasses.replace(net, architecture=Architecture(kept))


def absorb_bottleneck(net: Net, params: Params) -> tuple[Net, Params]:
  """A net without bottlenecks and its parameters: the same function.

  Equation 2 of the paper: a bottleneck V [K, F] and the kernel U [H, K] of
  the layer after it (hidden, or the output layer) become one kernel
  W = U V [H, F]. Outputs are equal to rounding, also with dropout under the
  same key. Without a bottleneck, both come back as they are.
  """
  absorbed = {}
  pending = None  # product of the bottlenecks since the last kernel
  for name in _dense_names(net):
    layer = dict(params[name])
    if pending is not None:
      layer['kernel'] = jnp.dot(layer['kernel'], pending, precision='highest')
    pending = layer['kernel'] if name.startswith('bottleneck') else None
    absorbed[name] = layer
  kept = {name: absorbed.get(name, layer) for name, layer in params.items()
          if not name.startswith('bottleneck')}
  return without_bottlenecks(net), kept


def _dense_names(net: Net) -> list[str]:
  """Names of the parameters of the fully connected layers, in order."""
  names, bottlenecks, hidden = [], 0, 0
  for layer in net.architecture.layers:
    if isinstance(layer, Bottleneck):
      names.append(f'bottleneck_{bottlenecks}')
      bottlenecks += 1
    elif isinstance(layer, Hidden):
      names.append(f'hidden_{hidden}')
      hidden += 1
  return [*names, 'output']
