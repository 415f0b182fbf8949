"""The table of losses: what each is, what it needs, how a report shows it.

A config file adds a loss of its own to it, and curves may then minimise it:

    shallow_mimic.register(training.LossSpec(
        name='huber', version='1', function=huber, words='Huber',
        constants={'delta': training.Constant(1.0, symbol='δ', above=0.0)}))
    ...
    configs.make_curve(objective='huber', constants={'delta': 0.5},
                       teacher='ECNN')
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax

from shallow_mimic import errors, losses
from shallow_mimic.configs import checks
from shallow_mimic.registry import Registry


@dataclasses.dataclass(frozen=True)
class Constant:
  """A number that a loss depends on, and what it may be.

  Attributes:
    default: its value where a curve states none; None: a curve must.
    symbol: its name in a report; '' for the one that it has in the code.
    low, high: the least and the most that it may be.
    above: what it must be larger than.
    field: the field of a curve that states it. One's own are all in
      `constants`; `weights` holds several, in the order of the loss.
  """

  default: float | None = None
  _: dataclasses.KW_ONLY
  symbol: str = ''
  low: float = -math.inf
  high: float = math.inf
  above: float = -math.inf
  field: str = 'constants'

  def allows(self, value: Any) -> bool:
    """Whether it is a finite number in its range."""
    return (checks.is_finite(value) and not isinstance(value, bool)
            and self.above < value and self.low <= value <= self.high)

  @property
  def range(self) -> str:
    """What it may be, in words."""
    if math.isfinite(self.low) and math.isfinite(self.high):
      return f'from {self.low:g} to {self.high:g}'
    parts = [f'{word} {bound:g}' for word, bound in (
        ('above', self.above), ('at least', self.low), ('at most', self.high))
             if math.isfinite(bound)]
    return ' and '.join(['finite', *parts])


@dataclasses.dataclass(frozen=True, eq=False)
class LossSpec:
  """One loss: a row of the table.

  Attributes:
    name: the `objective` of a curve that minimises it.
    function: called as function(student, teacher, labels, **constants) with
      the logits [B, C] of both and integers [B]; gives a float for each
      example, [B]. What it does not need is there, and means nothing.
    constants: its constants by their keyword, in the order of a report.
    needs_teacher: whether it looks at the teacher's logits.
    needs_labels: whether every input must have a label.
    takes_labels: whether it looks at labels where there are some; an input
      without one has the label -1.
    normalized: whether the student's outputs are logits as the normaliser
      scales them; the teacher's are then given in that scale.
    words: its name in a report; '' for `name` with spaces.
    place: of its colour and marker in `curves.drawing`; None for a free one.
    line: its line in matplotlib's words where colours tell something else;
      None for a free one.
    version: '' for ours. Whoever changes a loss of their own changes it.
  """

  name: str
  function: Callable[..., jax.Array]
  _: dataclasses.KW_ONLY
  constants: Mapping[str, Constant] = dataclasses.field(default_factory=dict)
  needs_teacher: bool = True
  needs_labels: bool = False
  takes_labels: bool = False
  normalized: bool = False
  words: str = ''
  place: int | None = None
  line: Any = None
  version: str = ''

  registry: ClassVar[Registry[LossSpec]]

  def __post_init__(self) -> None:
    for key, one in self.constants.items():
      if not (isinstance(one, Constant) and str(key).isidentifier()):
        raise errors.UserError(
            f'the loss {self.name!r} has the constant {key!r}: {one!r}; it must'
            ' be a keyword and a training.Constant')
    if self.normalized and not self.needs_teacher:
      raise errors.UserError(
          f'the loss {self.name!r} says normalized=True and'
          ' needs_teacher=False; it is the logits of a teacher that the'
          ' normaliser scales')
    if not (self.place is None or isinstance(self.place, int)):
      raise errors.UserError(f'the loss {self.name!r} has place {self.place!r};'
                             ' it must be a whole number or None')


def say_loss(name: str, constants: Mapping[str, float] | None = None) -> str:
  """A loss in a report's words, with its constants.

  >>> say_loss('distillation_kl', {'temperature': 4.0}), say_loss('not_known')
  ('KL, T = 4', 'not known')
  """
  spec, constants = LossSpec.registry.get(name), constants or {}
  known = spec.constants if spec else {}
  symbols = {key: known[key].symbol if key in known else ''
             for key in [*known, *constants]}  # In the order of the table.
  return ', '.join([
      (spec and spec.words) or name.replace('_', ' '),
      *[f'{symbol or key} = {constants[key]:g}'
        for key, symbol in symbols.items() if key in constants]])


def _on_labels(
    student: jax.Array, teacher: jax.Array, labels: jax.Array) -> jax.Array:
  del teacher
  return losses.hard_label_cross_entropy(student, labels)


def _on_logits(loss: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
  """A loss of both logits as one that is given labels too."""
  def apply(student: jax.Array, teacher: jax.Array, labels: jax.Array,
            **constants: float) -> jax.Array:
    del labels
    return loss(student, teacher, **constants)

  return apply


TEMPERATURE = Constant(1.0, symbol='T', above=0.0, field='temperature')
ALPHA = Constant(0.5, symbol='α', low=0.0, high=1.0, field='alpha')


def _weight(default: float, symbol: str) -> Constant:
  return Constant(default, symbol=symbol, low=0.0, field='weights')


LossSpec.registry = Registry('loss', (
    LossSpec('cross_entropy', _on_labels, needs_teacher=False,
             needs_labels=True, words='labels', place=0, line=(0, (5, 2))),
    LossSpec('pseudo_label', _on_logits(losses.pseudo_label_cross_entropy),
             words='pseudo-labels', place=2),
    LossSpec('logit_regression', _on_logits(losses.logit_regression),
             normalized=True, words='logits', place=1, line='-'),
    LossSpec('raw_logit_regression', _on_logits(losses.logit_regression),
             words='raw logits', place=8),
    LossSpec('centred_logit_regression',
             _on_logits(losses.centred_logit_regression),
             words='centred logits', place=9),
    LossSpec('probability_regression',
             _on_logits(losses.probability_regression),
             words='L2 on probabilities', place=4),
    LossSpec('distillation_kl', _on_logits(losses.distillation_kl),
             constants={'temperature': TEMPERATURE}, words='KL', place=3),
    LossSpec('standardised_kl', _on_logits(losses.standardised_kl),
             constants={'temperature': TEMPERATURE}, words='standardised KL',
             place=7),
    LossSpec('decoupled_kl', losses.decoupled_kl, takes_labels=True,
             constants={'temperature': TEMPERATURE, 'alpha': _weight(1.0, 'α'),
                        'beta': _weight(8.0, 'β')}, words='DKD', place=5),
    LossSpec('pearson_distance', _on_logits(losses.pearson_distance),
             constants={'temperature': TEMPERATURE, 'beta': _weight(1.0, 'β'),
                        'gamma': _weight(1.0, 'γ')}, words='DIST', place=6),
    LossSpec('blended', losses.blended, needs_labels=True,
             constants={'temperature': TEMPERATURE, 'alpha': ALPHA},
             words='KL + labels', place=10),
))
