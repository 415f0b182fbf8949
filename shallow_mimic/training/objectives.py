"""Objectives by name: the losses as functions of one batch of one member."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax

from shallow_mimic import errors, losses


@dataclasses.dataclass(frozen=True)
class Objective:
  """What a member minimises: a name of `objectives.LOSSES` and its constants.

  `temperature` is used by the losses of softmaxes after a teacher, `alpha`
  (weight of the teacher against the labels) by `blended`, `weights` by those
  of `objectives.WEIGHTED`: of their two terms, () for the papers' own.
  """

  name: str
  temperature: float = 1.0
  alpha: float = 0.5
  weights: tuple[float, ...] = ()

  @property
  def normalized(self) -> bool:
    """Whether its outputs are logits as the normaliser scales them."""
    return self.name == 'logit_regression'


class Batch(NamedTuple):
  """What an objective sees besides the student's outputs.

  `targets` [B, C] are the teacher's logits, not normalised; `labels` [B].
  """

  targets: jax.Array
  labels: jax.Array


def _cross_entropy(outputs, batch, normalizer, objective):
  del normalizer, objective
  return losses.hard_label_cross_entropy(outputs, batch.labels)


def _logit_regression(outputs, batch, normalizer, objective):
  del objective
  return losses.logit_regression(outputs, normalizer.normalize(batch.targets))


def _on_logits(loss, *constants):
  """A loss of outputs and the teacher's logits, as they are.

  `constants` are fields of the objective that it takes as keywords.
  """
  def apply(outputs, batch, normalizer, objective):
    del normalizer
    keywords = {name: getattr(objective, name) for name in constants}
    return loss(outputs, batch.targets, **keywords)

  return apply


def _decoupled_kl(outputs, batch, normalizer, objective):
  del normalizer
  return losses.decoupled_kl(
      outputs, batch.targets, batch.labels, temperature=objective.temperature,
      **_read_weights(objective),
  )


def _pearson_distance(outputs, batch, normalizer, objective):
  del normalizer
  return losses.pearson_distance(
      outputs, batch.targets, temperature=objective.temperature,
      **_read_weights(objective),
  )


def _read_weights(objective):
  """The two weights by the loss's names; its paper's own where none is set."""
  known = WEIGHTED[objective.name]
  return dict(zip(known, objective.weights or known.values(), strict=True))


def _blended(outputs, batch, normalizer, objective):
  del normalizer
  return losses.blended(
      outputs, batch.targets, batch.labels,
      alpha=objective.alpha, temperature=objective.temperature,
  )


LOSSES: dict[str, Callable] = {
    'cross_entropy': _cross_entropy,
    'pseudo_label': _on_logits(losses.pseudo_label_cross_entropy),
    'logit_regression': _logit_regression,
    'raw_logit_regression': _on_logits(losses.logit_regression),
    'centred_logit_regression': _on_logits(losses.centred_logit_regression),
    'probability_regression': _on_logits(losses.probability_regression),
    'distillation_kl': _on_logits(losses.distillation_kl, 'temperature'),
    'standardised_kl': _on_logits(losses.standardised_kl, 'temperature'),
    'decoupled_kl': _decoupled_kl,
    'pearson_distance': _pearson_distance,
    'blended': _blended,
}
NEEDS_TEACHER = frozenset(LOSSES) - {'cross_entropy'}
# Not `decoupled_kl`: where there is no label, it takes the teacher's decision.
NEEDS_LABELS = frozenset({'cross_entropy', 'blended'})
# Two weights each, and what they are where none is set: of the label's class
# and of the others; of the relations over classes and over the batch.
WEIGHTED = {'decoupled_kl': {'alpha': 1.0, 'beta': 8.0},
            'pearson_distance': {'beta': 1.0, 'gamma': 1.0}}
TEMPERED = frozenset({'distillation_kl', 'standardised_kl', 'blended',
                      *WEIGHTED})


def read_constants(objective: Objective) -> dict[str, float]:
  """The constants that its loss depends on, by their names in the formula.

  >>> read_constants(Objective('blended', temperature=4.0))
  {'temperature': 4.0, 'alpha': 0.5}
  >>> read_constants(Objective('logit_regression'))
  {}
  """
  found = {}
  if objective.name in TEMPERED:
    found['temperature'] = float(objective.temperature)
  if objective.name == 'blended':
    found['alpha'] = float(objective.alpha)
  if objective.name in WEIGHTED:
    found |= {key: float(value)
              for key, value in _read_weights(objective).items()}
  return found


def make_objective_fn(objective: Objective) -> Callable:
  """Returns loss(outputs [B, C], batch, normalizer) -> [B], float32.

  Raises:
    UserError: there is no objective of that name.
  """
  if objective.name not in LOSSES:
    raise errors.UserError(
        f'unknown objective {objective.name!r}; known: {", ".join(LOSSES)}'
    )
  loss = LOSSES[objective.name]
  return lambda outputs, batch, normalizer: loss(
      outputs, batch, normalizer, objective
  )
