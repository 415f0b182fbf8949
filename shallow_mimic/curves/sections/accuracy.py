"""Figure 1: accuracy against the number of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shallow_mimic.curves import comparisons, drawing, summaries
from shallow_mimic.curves.panels import (
  draw_curves,
  draw_teachers,
  finish,
  name_axis,
)
from shallow_mimic.curves.section import Context, Section
from shallow_mimic.curves.summaries import Summary
from shallow_mimic.curves.tables import show
from shallow_mimic.curves.wording import count_leads, say_lost
from shallow_mimic.evaluation import records


def draw_accuracy(context: Context) -> Any:
  """Accuracy against parameters, dev and test: main curves and teachers."""
  points = context.points
  curves = comparisons.find_main_curves(points)
  lines = len(curves) + len(comparisons.group_teachers(points))
  figure, panels = drawing.make_panels(
      2, width=3.2, height=drawing.fit_height(lines))
  for axes, split in zip(panels[0], ('dev', 'test'), strict=True):
    labels = list(draw_curves(axes, curves, split, linewidth=2.2))
    finish(axes, split.capitalize(), bool(labels))
    labels += draw_teachers(axes, points, split)
  panels[0, 0].set_ylabel(name_axis(points))
  drawing.label_right(panels[0, 1], labels)
  return figure


def say_accuracy(context: Context) -> list[str]:
  """Main mimics against main nets on labels, and against their teachers.

  And which members diverged.
  """
  points = context.points
  curves = comparisons.find_main_curves(points)
  on_labels = [s for c in curves if not c.teacher for s in c.points]
  lines = []
  for curve in (c for c in curves if c.teacher):
    met = [(s, [r for r in on_labels if r.net == s.net])
           for s in curve.points]
    pairs = [(s, summaries.find_best(rivals)) for s, rivals in met if rivals]
    names = ' and '.join(sorted({r.model for _, rs in met for r in rs}))
    best_of = 'the better (on dev) of ' if ' and ' in names else ''
    if pairs:
      lines.append(f'On test, {curve.name} against {best_of}{names} of the'
                   f' same width: {count_leads(pairs)}')
    lines.append(_say_teachers(points, curve))
  lines = lines or ['No mimic is among the main curves yet.']
  return lines + say_lost(points)


def _say_teachers(points: Sequence[Summary], curve: comparisons.Curve) -> str:
  best = summaries.find_best(curve.points)
  gaps = []
  for name, members in comparisons.group_teachers(points).items():
    level = summaries.spread(
        records.score(r, 'test', best.metric) for r in members)
    if level.count and best.test.count:
      gap = best.test.mean - level.mean
      side = 'above' if gap >= 0 else 'below'
      gaps.append(f'{abs(gap):.1f} points {side} {name} ({level.mean:.1f} %)')
  return (f'The {curve.name} that is best on dev (width {best.width},'
          f' {best.parameters:,} parameters) has {show(best.test)} % on test'
          + (': ' + ', '.join(gaps) if gaps else '') + '.')


SECTION = Section(
    name='figure1_accuracy',
    title='Figure 1. Accuracy against number of parameters',
    caption='Main curves; horizontal lines are teachers. Bars: ± sd over'
            ' seeds.',
    draw=draw_accuracy, say=say_accuracy)
