"""How well a net knows what it knows, as Guo et al. 2017 (arXiv 1706.04599)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from shallow_mimic.curves import drawing, summaries
from shallow_mimic.curves.drawing import Label
from shallow_mimic.curves.section import Context, Section
from shallow_mimic.curves.summaries import Summary

# A bin of fewer test inputs has a share of no meaning.
_FEW = 10


class Reliability(NamedTuple):
  """Mean confidence and share right of bins, all seeds together; ECE in %."""

  name: str
  objective: str
  confidence: np.ndarray
  right: np.ndarray
  error: float


def find_reliability(context: Context) -> list[Reliability]:
  """The best (on dev) main net on labels, the best mimic, the main teacher."""
  points = context.points
  main = [s for s in points if s.role == 'student' and s.is_main
          and s.dev.count]
  teacher = summaries.main_teacher(points)
  groups = (
      [s for s in main if not s.teacher], [s for s in main if s.teacher],
      [s for s in points if s.role == 'ensemble' and s.model == teacher])
  chosen = [summaries.find_best(group) for group in groups if group]
  found = [_join_bins(s) for s in chosen]
  return [one for one in found if one]


def _join_bins(point: Summary) -> Reliability | None:
  bins = [r.calibration for r in point.members if r.calibration]
  if not bins:
    return None
  counts, confidences, corrects = (
      np.sum([one[key] for one in bins], axis=0)
      for key in ('counts', 'confidences', 'corrects'))
  enough = counts >= _FEW
  width = f', width {point.width}' if point.width else ''
  ece = point.spread('test', 'ece').mean
  return Reliability(
      f'{point.model}{width}',
      point.objective if point.role == 'student' else '',
      confidences[enough] / counts[enough], corrects[enough] / counts[enough],
      100 * ece if math.isfinite(ece) else math.nan)


def draw_reliability(context: Context) -> Any:
  """Share right against confidence on test; on the diagonal it is honest."""
  figure, panels = drawing.make_panels(1, width=3.8, height=3.6)
  axes, labels = panels[0, 0], []
  found = find_reliability(context)
  styles = drawing.choose_styles([one.objective for one in found])
  for one, style in zip(found, styles, strict=True):
    line = style | {'linewidth': 1.8, 'markersize': 5}
    if not one.objective:
      line |= {'color': '#333333'}
    axes.plot(100 * one.confidence, 100 * one.right, **line)
    labels.append(Label(
        100 * one.right[-1] if len(one.right) else 0.0,
        f'{one.name}: ECE {one.error:.1f} %', line))
  axes.set_xlim(0, 100)
  axes.set_ylim(0, 100)
  style = {'color': '#777777', 'linewidth': 1, 'linestyle': (0, (5, 3))}
  axes.plot([0, 100], [0, 100], **style)
  axes.set_xlabel('Confidence: largest probability (%)')
  axes.set_ylabel('Right on test (%)')
  drawing.label_right(axes, [*labels, Label(100, 'as sure as right', style)])
  return figure


SECTION = Section(
    name='figure_reliability',
    title='Reliability. Confidence and the share right',
    caption='Test set, all seeds together, bins of 1/15; those with fewer than'
            ' ten inputs are left out. Below the diagonal a net is surer than'
            ' it has reason to be.',
    find=find_reliability, draw=draw_reliability)
