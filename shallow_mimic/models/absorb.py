"""Absorbing a linear bottleneck into the layer after it: W = U V."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from shallow_mimic.models.architectures import Architecture, number_layers
from shallow_mimic.models.kinds import Bottleneck, Hidden
from shallow_mimic.models.layer import Layer
from shallow_mimic.models.nets import Net, Params

_ABSORBING = (Bottleneck, Hidden)  # a user's kind derived from one is neither


def without_bottlenecks(net: Net) -> Net:
  """The same net with every linear bottleneck left out.

  But for one before a layer that a user registered: its kernels are unknown.
  """
  layers = net.architecture.layers
  kept = tuple(layer for layer, following in zip(
      layers, [*layers[1:], None], strict=True)
               if not _is_absorbed(layer, following))
  return dataclasses.replace(net, architecture=Architecture(kept))


def _is_absorbed(layer: Layer, following: Layer | None) -> bool:
  """Whether a layer goes into the kernel after it; None: the output layer's."""
  return isinstance(layer, Bottleneck) and (
      following is None or type(following) in _ABSORBING)


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
  flat = without_bottlenecks(net)
  names, new_names = _name_layers(net), iter(_name_layers(flat))
  layers = net.architecture.layers
  bottlenecks = {name for name, layer in zip(names, layers, strict=True)
                 if isinstance(layer, Bottleneck)}
  absorbed = {name: part for name, part in params.items()
              if name not in bottlenecks}
  pending = None  # product of the bottlenecks since the last kernel
  for name, layer, following in zip(
      names, layers, [*layers[1:], None], strict=True):
    new_name = None if _is_absorbed(layer, following) else next(new_names)
    if type(layer) in _ABSORBING:
      part = _multiply(params[name], pending)
      pending = None if new_name else part['kernel']
      if new_name:
        absorbed[new_name] = part
  absorbed['output'] = _multiply(params['output'], pending)
  return flat, absorbed


def _name_layers(net: Net) -> list[str]:
  return [f'{layer.name}_{number}'
          for layer, number in number_layers(net.architecture)]


def _multiply(part: Params, pending: jax.Array | None) -> Params:
  """Parameters of a layer that reads what the pending kernel was given."""
  if pending is None:
    return dict(part)
  return {**part, 'kernel': jnp.dot(
      part['kernel'], pending, precision='highest')}
