"""The report's figures: accuracy over sizes, controls, overfitting, teachers.

Pure functions from summaries to PNG and SVG bytes. A figure without data says
so in its place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from shallow_mimic.curves import comparisons, drawing, summaries
from shallow_mimic.curves.comparisons import Curve
from shallow_mimic.curves.drawing import Image, Label
from shallow_mimic.curves.summaries import Summary
from shallow_mimic.evaluation import records

_DASHES = ((0, (6, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))


def draw_figures(
    points: Sequence[Summary], figure_width: int | None = None,
) -> dict[str, Image]:
  """Every figure by the name of its file, in the order of the report.

  `figure_width` is the students' width in the overfitting figure (None: where
  most main models meet).
  """
  return {
      'figure1_accuracy': drawing.render(draw_accuracy, points),
      'figure1_controls': drawing.render(draw_controls, points),
      'figure2_overfitting': drawing.render(
          draw_histories, points, figure_width),
      'figure3_teachers': drawing.render(draw_sweeps, points),
  }


def draw_accuracy(points: Sequence[Summary]) -> Any:
  """Accuracy against parameters, dev and test: main curves and teachers."""
  curves = comparisons.find_main_curves(points)
  lines = len(curves) + len(comparisons.group_teachers(points))
  figure, panels = drawing.make_panels(
      2, width=3.2, height=drawing.fit_height(lines))
  for axes, split in zip(panels[0], ('dev', 'test'), strict=True):
    labels = list(_draw_curves(axes, curves, split, linewidth=2.2))
    _finish(axes, split.capitalize(), bool(labels))
    labels += _draw_teachers(axes, points, split)
  panels[0, 0].set_ylabel(name_axis(points))
  drawing.label_right(panels[0, 1], labels)
  return figure


def draw_controls(points: Sequence[Summary]) -> Any:
  """Test accuracy against parameters, a panel for each set of inputs."""
  groups = comparisons.find_controls(points) or {'none': []}
  columns = min(3, len(groups))
  entries = max(map(len, groups.values()))
  figure, panels = drawing.make_panels(
      columns, math.ceil(len(groups) / columns), width=3.2, height=3.0,
      gaps=(0.3, 1.1 + 0.19 * entries))
  for axes in panels.flat[len(groups):]:
    axes.set_axis_off()
  for axes, (inputs, curves) in zip(panels.flat, groups.items(), strict=False):
    told = [
        c._replace(name=f'{c.name}: {comparisons.name_objective(c.objective)}')
        for c in curves]
    labels = list(_draw_curves(axes, told, 'test', linewidth=1.5))
    _finish(axes, f'Inputs: {inputs}', bool(labels))
    drawing.label_below(axes, labels)
  for axes in panels[:, 0]:
    axes.set_ylabel(name_axis(points, 'test'))
  return figure


def draw_histories(points: Sequence[Summary], width: int | None) -> Any:
  """Accuracy on dev while training: mean, sd shaded, a marker at the peak."""
  figure, panels = drawing.make_panels(1, width=4.8, height=3.3)
  axes = panels[0, 0]
  width, found = comparisons.find_histories(points, width)
  styles = drawing.choose_styles([history.objective for history in found])
  labels = []
  for history, style in zip(found, styles, strict=True):
    means, sds = np.array([(s.mean, s.sd) for s in history.dev]).T
    axes.fill_between(history.steps, means - sds, means + sds, alpha=0.18,
                      color=style['color'], linewidth=0)
    axes.plot(history.steps, means, linewidth=2, markersize=7,
              markevery=[int(np.argmax(means))], **style)
    labels.append(Label(means[-1], history.name, style | {'linewidth': 2}))
  axes.set_xlabel('Training step')
  axes.set_ylabel('Dev frame accuracy (%)' if _is_speech(points)
                  else 'Dev accuracy (%)')
  if found:
    axes.set_title(f'Width {width}', loc='left', fontsize=10)
  else:
    drawing.say(axes, 'no history of dev accuracy')
  drawing.label_right(axes, labels)
  return figure


def draw_sweeps(points: Sequence[Summary]) -> Any:
  """Accuracy of mimics against that of their teachers, both on dev."""
  figure, panels = drawing.make_panels(1, width=4.3, height=3.6)
  axes = panels[0, 0]
  sweeps = comparisons.find_sweeps(points)
  labels = []
  styles = drawing.shade_styles(len(sweeps))
  names = comparisons.name_sweeps(sweeps)
  for sweep, name, style in zip(sweeps, names, styles, strict=True):
    drawing.draw_bars(axes, [x.mean for x in sweep.x], sweep.y, style)
    labels.append(Label(sweep.y[-1].mean, name, style))
  axes.set_xlabel(name_axis(points, 'dev', 'teacher:'))
  axes.set_ylabel(name_axis(points, 'dev', 'student:'))
  if sweeps:
    known = {name: x.mean for sweep in sweeps
             for name, x in zip(sweep.teachers, sweep.x, strict=True)}
    labels.append(drawing.draw_diagonal(axes, list(known.values())))
    drawing.label_top(axes, known)
  else:
    drawing.say(axes, 'no mimics')
  drawing.label_right(axes, labels)
  return figure


def _draw_curves(
    axes: Any, curves: Sequence[Curve], split: str, **line: Any,
) -> Iterator[Label]:
  """Scores against parameters; yields the labels of the curves drawn."""
  styles = drawing.choose_styles(
      [curve.objective for curve in curves],
      [curve.architecture for curve in curves])
  for curve, style in zip(curves, styles, strict=True):
    drawn = [s for s in curve.points if getattr(s, split).count]
    if drawn:
      scores = [getattr(s, split) for s in drawn]
      drawing.draw_bars(axes, [s.parameters for s in drawn], scores,
                        style | line)
      yield Label(scores[-1].mean, curve.name, style | line)


def _draw_teachers(
    axes: Any, points: Sequence[Summary], split: str,
) -> Iterator[Label]:
  """A horizontal line for each kind of teacher and the main ensemble."""
  for i, (name, members) in enumerate(
      comparisons.group_teachers(points).items()):
    is_ensemble = members[0]['role'] == 'ensemble'
    style = {'color': '#333333', 'linewidth': 1.8 if is_ensemble else 1.2,
             'linestyle': '-' if is_ensemble else _DASHES[i % 3]}
    level = summaries.spread(
        records.score(r, split, points[0].metric) for r in members)
    if level.count:
      axes.axhline(level.mean, **style)
      yield Label(level.mean, name, style)


def _is_speech(points: Sequence[Summary]) -> bool:
  return any(s.metric == 'per' for s in points)


def name_axis(points: Sequence[Summary], split: str = '', whose: str = '',
              ) -> str:
  """What an axis of scores shows, with its unit."""
  form = '100 − {} PER (%)' if _is_speech(points) else '{} accuracy (%)'
  text = ' '.join(f'{whose} {form.format(split)}'.split())
  return text[0].upper() + text[1:]


def _finish(axes: Any, title: str, has_curves: bool) -> None:
  axes.set_title(title, loc='left', fontsize=10)
  axes.set_xlabel('Parameters (true count, log axis)')
  if has_curves:
    drawing.scale_sizes(axes)
  else:
    drawing.say(axes, 'no students', keep_y=True)
