"""What an architecture's text does not say: activation, dropout, norms."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from shallow_mimic import errors
from shallow_mimic.models.dropout import keep_count

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    'relu': nn.relu, 'tanh': jnp.tanh, 'sigmoid': nn.sigmoid, 'gelu': nn.gelu,
}
NORMS = ('none', 'group')
PRECISIONS = ('default', 'high', 'highest')

_RECTIFIERS = ('relu', 'gelu')  # halve the variance: start from twice as much
_MONOTONE = ('relu', 'tanh', 'sigmoid')  # commute with a max pool


@dataclasses.dataclass(frozen=True)
class Options:
  """What an architecture's text does not say; see `nets.make_net`."""

  activation: str = 'relu'
  dropout_input: float = 0.0
  dropout_hidden: float = 0.0
  dropout_conv: float = 0.0
  bias_spread: float = 0.0
  norm: str = 'none'
  groups: int = 32
  standardised: bool = False
  precision: str | None = None

  def activate(self, x: jax.Array) -> jax.Array:
    """The non-linearity of convolutions and hidden layers."""
    return ACTIVATIONS[self.activation](x)

  @property
  def scale(self) -> float:
    """Variance of a kernel's first draws before that, times the fan-in."""
    return 2.0 if self.activation in _RECTIFIERS else 1.0

  @property
  def pools_first(self) -> bool:
    """Whether a max pool may go before the bias and the activation."""
    return self.activation in _MONOTONE and self.norm == 'none'


def check_options(options: Options) -> None:
  """UserError that names the option which has no such value."""
  _check_choice('activation', options.activation, tuple(ACTIVATIONS))
  _check_choice('norm', options.norm, NORMS)
  if options.precision is not None:
    _check_choice('precision', options.precision, PRECISIONS)
  for name in ('dropout_input', 'dropout_conv', 'dropout_hidden'):
    try:
      keep_count(getattr(options, name))
    except ValueError as error:
      raise errors.UserError(f'{name}: {error}') from error
  if options.groups < 1:
    raise errors.UserError(f'groups must be at least 1, got {options.groups}')
  if not options.bias_spread >= 0:
    raise errors.UserError(
        f'bias_spread must be at least 0, got {options.bias_spread}')


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
  if value not in known:
    raise errors.UserError(
        f'unknown {name} "{value}"; choose one of {", ".join(known)}')
