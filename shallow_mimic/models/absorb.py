"""Absorbing a linear bottleneck into the layer after it: W = U V."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from shallow_mimic.models.architectures import Architecture, Bottleneck
from shallow_mimic.models.nets import Net, Params
from shallow_mimic.models.stack import DENSE, dense_name, numbered_layers


def without_bottlenecks(net: Net) -> Net:
  """The same net with every linear bottleneck left out."""
  kept = tuple(layer for layer in net.architecture.layers
               if not isinstance(layer, Bottleneck))
  return dataclasses.replace(net, architecture=Architecture(kept))


def with_precision(net: Net, precision: str) -> Net:
  """The same net with products of that precision; see `make_net`."""
  options = dataclasses.replace(net.options, precision=precision)
  return dataclasses.replace(net, options=options)


def absorb_bottleneck(net: Net, params: Params) -> tuple[Net, Params]:
  """A net without bottlenecks and its parameters: the same function.

  Equation 2 of the paper: a bottleneck V [K, F] and the kernel U [H, K] of
  the layer after it (hidden, or the output layer) become one kernel
  W = U V [H, F]. Outputs are equal to rounding, also with dropout under the
  same key. Without a bottleneck, both come back as they are.
  """
  absorbed = {}
  pending = None  # product of the bottlenecks since the last kernel
  dense = numbered_layers(net.architecture, DENSE)
  for name in [*(dense_name(*item) for item in dense), 'output']:
    layer = dict(params[name])
    if pending is not None:
      layer['kernel'] = jnp.dot(layer['kernel'], pending, precision='highest')
    pending = layer['kernel'] if name.startswith('bottleneck') else None
    absorbed[name] = layer
  kept = {name: absorbed.get(name, layer) for name, layer in params.items()
          if not name.startswith('bottleneck')}
  return without_bottlenecks(net), kept
