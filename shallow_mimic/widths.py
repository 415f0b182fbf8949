"""The widths of a student curve, and learning rates that follow the width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from shallow_mimic import errors, models


def find_widths(config: Any, name: str, input_shape: tuple[int, ...],
                classes: int, **options: Any) -> tuple[int, ...]:
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
  found = {}
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
