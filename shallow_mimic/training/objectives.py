"""Objectives: losses with their constants, as functions of one batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from shallow_mimic import errors, losses
from shallow_mimic.training.loss_specs import LossSpec


@dataclasses.dataclass(frozen=True)
class Objective:
  """What a member minimises; see `make_objective`.

  Attributes:
    name: of a loss in `LossSpec.registry`.
    constants: its constants with their values; those that are left out have
      the loss's own.
    version: that of a registered loss, so that another one is another
      objective.
  """

  name: str
  constants: tuple[tuple[str, float], ...] = ()
  version: str = ''

  @property
  def normalized(self) -> bool:
    """Whether its outputs are logits as the normaliser scales them."""
    return LossSpec.registry.find(self.name).normalized


class Batch(NamedTuple):
  """What an objective sees besides the student's outputs.

  `targets` [B, C] are the teacher's logits, not normalised; `labels` [B].
  """

  targets: jax.Array
  labels: jax.Array


def make_objective(
    name: str, *, temperature: float | None = None,
    alpha: float | None = None, weights: Sequence[float] = (),
    constants: Mapping[str, float] | None = None,
) -> Objective:
  """The objective of a curve that states its constants in these fields.

  Args:
    name: the loss's.
    temperature: of our losses that have one; the same for `alpha`.
    alpha: see `temperature`.
    weights: those of `decoupled_kl` or `pearson_distance`; () for their own.
    constants: those of a registered loss.

  Raises:
    UserError: there is no such loss, or one of its constants is missing.
  """
  spec = LossSpec.registry.find(name)
  weighted = [key for key, one in spec.constants.items()
              if one.field == 'weights']
  stated = {'temperature': temperature, 'alpha': alpha}
  given = {**dict(zip(weighted, weights, strict=False)), **(constants or {})}
  values = []
  for key, one in spec.constants.items():
    value = stated.get(one.field, given.get(key))
    value = one.default if value is None else value
    if value is None:
      raise errors.UserError(f'the loss {name!r} needs its constant {key!r}')
    values.append((key, float(value)))
  return Objective(name, tuple(values), spec.version)


def find_constants(objective: Objective) -> dict[str, float]:
  """The constants that its loss depends on, by their names in the formula.

  >>> find_constants(make_objective('blended', temperature=4.0))
  {'temperature': 4.0, 'alpha': 0.5}
  >>> find_constants(Objective('logit_regression'))
  {}
  """
  known = LossSpec.registry.find(objective.name).constants
  values = {key: one.default for key, one in known.items()} | dict(
      objective.constants)
  return {key: value for key, value in values.items() if value is not None}


def find_registered(names: Iterable[str]) -> dict[str, str]:
  """The versions of those losses that are registered, not ours, by name."""
  return LossSpec.registry.versions(sorted(set(names)))


def make_objective_fn(
    objective: Objective,
) -> Callable[[jax.Array, Batch, losses.LogitNormalizer], jax.Array]:
  """Returns loss(outputs [B, C], batch, normalizer) -> [B], float32.

  Raises:
    UserError: there is no loss of that name.
  """
  spec = LossSpec.registry.find(objective.name)
  constants = find_constants(objective)

  def apply(outputs: jax.Array, batch: Batch,
            normalizer: losses.LogitNormalizer) -> jax.Array:
    targets = batch.targets
    if spec.normalized:
      targets = normalizer.normalize(targets)
    loss = spec.function(outputs, targets, batch.labels, **constants)
    # All branches of a family's switch must be of one type.
    return jnp.asarray(loss, jnp.float32)

  return apply
