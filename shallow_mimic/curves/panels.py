"""The report's figures: accuracy over sizes, controls, overfitting, teachers.

Pure functions from summaries to PNG and SVG bytes. A figure without data says
so in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shallow_mimic.curves import comparisons, drawing, summaries
from shallow_mimic.curves.comparisons import Curve
from shallow_mimic.curves.drawing import Label
from shallow_mimic.curves.summaries import Summary
from shallow_mimic.evaluation import records
from shallow_mimic.evaluation.records import Record

_DASHES = ((0, (6, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))


Style = dict[str, Any]


def style_curves(curves: Sequence[Curve]) -> list[Style]:
  """A colour, a marker and perhaps a line for each curve."""
  return drawing.choose_styles(
      [curve.objective for curve in curves],
      [curve.architecture for curve in curves])


def draw_curves(
    axes: Any, curves: Sequence[Curve], split: str,
    styles: Sequence[Style] | None = None, **line: Any,
) -> Iterator[Label]:
  """Scores against parameters; yields the labels of the curves drawn."""
  styles = style_curves(curves) if styles is None else styles
  for curve, style in zip(curves, styles, strict=True):
    drawn = [s for s in curve.points if getattr(s, split).count]
    if drawn:
      scores = [getattr(s, split) for s in drawn]
      drawing.draw_bars(axes, [s.parameters for s in drawn], scores,
                        style | line)
      yield Label(scores[-1].mean, curve.name, style | line)


def style_teachers(groups: Mapping[str, Sequence[Record]],
                   ) -> dict[str, Style]:
  """A grey line for each group of teachers, a solid one for an ensemble."""
  return {
      name: {'color': '#333333', 'linewidth': 1.8, 'linestyle': '-'}
      if members[0].role == 'ensemble' else
      {'color': '#333333', 'linewidth': 1.2, 'linestyle': _DASHES[i % 3]}
      for i, (name, members) in enumerate(groups.items())}


def draw_teachers(
    axes: Any, points: Sequence[Summary], split: str,
    styles: Mapping[str, Style] | None = None,
) -> Iterator[Label]:
  """A horizontal line for each kind of teacher and the main ensemble."""
  groups = comparisons.group_teachers(points)
  styles = style_teachers(groups) if styles is None else styles
  for name, members in groups.items():
    level = summaries.spread(
        records.score(r, split, points[0].metric) for r in members)
    if level.count:
      axes.axhline(level.mean, **styles[name])
      yield Label(level.mean, name, styles[name])


def is_speech(points: Sequence[Summary]) -> bool:
  """Whether scores are made of phone error rates."""
  return any(s.metric == 'per' for s in points)


def name_axis(points: Sequence[Summary], split: str = '', whose: str = '',
              ) -> str:
  """What an axis of scores shows, with its unit."""
  form = '100 − {} PER (%)' if is_speech(points) else '{} accuracy (%)'
  text = ' '.join(f'{whose} {form.format(split)}'.split())
  return text[0].upper() + text[1:]


def finish(axes: Any, title: str, has_curves: bool) -> None:
  """A panel's title and its axis of sizes."""
  axes.set_title(title, loc='left', fontsize=10)
  axes.set_xlabel('Parameters (true count, log axis)')
  if has_curves:
    drawing.scale_sizes(axes)
  else:
    drawing.say(axes, 'no students', keep_y=True)
