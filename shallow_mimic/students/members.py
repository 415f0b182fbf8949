"""The family that a configuration describes, and who teaches it."""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shallow_mimic import configs, errors, models
from shallow_mimic.training import family, objectives


def make_members(config: configs.Students, input_shape: tuple[int, ...],
                 classes: int, *, seeds: int,
                 rates: Mapping[tuple[str, int], tuple[float, float]] | None
                 = None) -> list[family.Member]:
  """The family that a configuration describes.

  Args:
    config: `config.students`.
    input_shape: shape of one input.
    classes: number of classes, C.
    seeds: how many seeds of each.
    rates: the (learning rate, weight decay) chosen for each (curve, width),
      without which there is no member; None for all that are to be searched.
  """
  members = []
  for name, curve in sorted(config.curves.items()):
    for width in find_widths(config, name, input_shape, classes,
                             **_net_options(config, curve)):
      grid: Iterable[tuple[float, float]]
      if rates is None:
        grid = itertools.product(
            scale_rates(
                curve.learning_rates or config.learning_rates,
                config.rate_width, width),
            curve.weight_decays)
      else:
        grid = [rates[name, width]] if (name, width) in rates else []
      for (rate, decay), seed in itertools.product(grid, range(seeds)):
        members.append(_make_member(config, name, curve, width, seed, rate,
                                    decay))
  return members


def find_taught(config: configs.Config) -> dict[str, list[str]]:
  """The inputs that each ensemble has to label, by its name."""
  used: dict[str, list[str]] = {}
  for curve in config.students.curves.values():
    if curve.teacher:
      used.setdefault(curve.teacher, []).append(curve.inputs)
  return {name: used[name] for name in config.ensembles if name in used}


def rank_teachers(config: configs.Config) -> list[str]:
  """All ensembles, the main teacher first: the one of most plain mimics.

  A plain mimic's name holds no '/'; where there is none, all mimics count.
  Of equals the one with more members is first. Students of labels, and all
  else that needs one teacher to be compared to, are compared to the first.
  """
  section = config.students
  sizes = section.parameters or section.widths
  taught = {name: curve for name, curve in section.curves.items()
            if curve.teacher}
  plain = {name: curve for name, curve in taught.items() if '/' not in name}
  uses: collections.Counter[str] = collections.Counter()
  for curve in (plain or taught).values():
    uses[curve.teacher] += len(curve.parameters or curve.widths or sizes)
  return sorted(
      config.ensembles, reverse=True,
      key=lambda name: (uses[name], len(config.ensembles[name].members), name))


def _net_options(config, curve):
  return {'activation': config.activation, 'bias_spread': config.bias_spread,
          'dropout_input': curve.dropout_input,
          'dropout_hidden': curve.dropout_hidden}


def _make_member(config, name, curve, width, seed, rate, decay):
  return family.Member(
      model=name, architecture=curve.architecture or config.architecture,
      width=width, seed=seed, learning_rate=rate, weight_decay=decay,
      objective=objectives.make_objective(
          curve.objective, temperature=curve.temperature, alpha=curve.alpha,
          weights=curve.weights, constants=dict(curve.constants)),
      mixture=curve.inputs, teacher=curve.teacher,
      net_options=tuple(sorted(_net_options(config, curve).items())),
  )


def find_widths(config: configs.Students, name: str,
                input_shape: tuple[int, ...], classes: int,
                **options: Any) -> tuple[int, ...]:
  """Widths of a curve: as stated, or those that give the stated sizes.

  Args:
    config: `config.students`.
    name: the curve's.
    input_shape: shape of one input.
    classes: number of classes, C.
    **options: of the curve's nets.

  Raises:
    UserError: a size is too small for the architecture, or two are so near
      to each other that they give one width.
  """
  curve = config.curves[name]
  if curve.widths or not (curve.parameters or config.parameters):
    return tuple(curve.widths or config.widths)
  found: dict[int, int] = {}
  for wanted in curve.parameters or config.parameters:
    text = curve.architecture or config.architecture
    width = models.find_width(text, input_shape, classes, wanted, **options)
    if width in found:
      raise errors.UserError(
          f'{found[width]:,} and {wanted:,} parameters are both nearest to'
          f' width {width} of {text}; leave one out for the curve {name!r}')
    found[width] = wanted
  return tuple(found)


def scale_rates(rates: Sequence[float], rate_width: int,
                width: int) -> list[float]:
  """Learning rates for a width from those meant for `rate_width` units.

  A step of Adam moves the outputs by the rate times the number of units, so
  that wide nets want smaller ones: × √(rate_width / width), to 3 digits. The
  same for all widths where `rate_width` is 0.

  >>> scale_rates([0.01, 0.02], 1000, 4000)
  [0.005, 0.01]
  """
  factor = math.sqrt(rate_width / width) if rate_width else 1.0
  return [float(f'{rate * factor:.3g}') if rate_width else rate
          for rate in rates]
