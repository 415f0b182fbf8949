"""Accuracy against latency: what few sequential steps buy (the fifth claim).

Drawn where latencies were measured (`report.latency`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from shallow_mimic.curves import comparisons, drawing, summaries
from shallow_mimic.curves.drawing import Label
from shallow_mimic.curves.section import Context, Section
from shallow_mimic.curves.summaries import Summary
from shallow_mimic.curves.tables import name_score, show
from shallow_mimic.evaluation.records import Record

_MARKERS = 'Xhd8*p'


def draw_latencies(context: Context) -> Any:
  """Test score against milliseconds, a panel for each size of batch."""
  points = context.points
  batches = find_batches(points)
  lines = (len(comparisons.find_main_curves(points))
           + sum(s.role != 'student' for s in points))
  figure, panels = drawing.make_panels(
      len(batches), width=3.2, height=drawing.fit_height(lines))
  for axes, batch in zip(panels[0], batches, strict=True):
    labels = _draw_panel(axes, points, batch)
    axes.set_title(f'Batch {batch}', loc='left', fontsize=10)
    axes.set_xlabel('Latency (ms, log axis)')
    drawing.scale_sizes(axes)
  panels[0, 0].set_ylabel(f'{name_score(points)}, test')
  drawing.label_right(panels[0, -1], labels)
  return figure


def describe_timing(context: Context) -> str:
  """How, and on what, the nets were timed."""
  device = next(r.latency_device for s in context.points for r in s.members
                if r.latency_device)
  return ('Median of warm, jitted calls in turns, inputs on the device'
          f' ({device}); students with their bottleneck absorbed, an ensemble'
          ' as one program. Bars: ± sd over seeds.')


def say_latencies(context: Context) -> list[str]:
  """The plain mimic that is best on dev beside every deep net."""
  points = context.points
  mimics = [s for s in points
            if s.teacher and s.is_main and s.dev.count and _is_timed(s)]
  if not mimics:
    return ['No plain mimic was timed.']
  best = summaries.find_best(mimics)
  lines = []
  for batch in find_batches(points):
    rivals = ', '.join(
        f'{s.model} {_show_time(s, batch)} ({show(s.test)} %,'
        f' {_depth(s)} layers in a row,'
        f' {_time(s, batch) / _time(best, batch):.2g} times as long)'
        for s in points if s.role != 'student' and _is_timed(s))
    lines.append(
        f'Batch {batch}: {best.model} of width {best.width}'
        f' {_show_time(best, batch)} ({show(best.test)} %, {_depth(best)}'
        f' layers in a row as trained); {rivals}.')
    factored = best.members[0].fact(f'latency_ms_{batch}_factored')
    if factored:
      lines.append(f'Batch {batch}: with its bottleneck in two factors that'
                   f' student takes {factored:.3g} ms.')
  return lines


def find_batches(points: Sequence[Summary]) -> list[int]:
  """The sizes of batch that were timed, in order."""
  known = [re.fullmatch(r'latency_ms_(\d+)', field.name)
           for field in dataclasses.fields(Record)]
  return sorted(int(match[1]) for match in known if match and any(
      s.values(match[0]) for s in points))


def _draw_panel(axes: Any, points: Sequence[Summary],
                batch: int) -> list[Label]:
  labels = []
  curves = comparisons.find_main_curves(points)
  styles = drawing.choose_styles(
      [curve.objective for curve in curves],
      [curve.architecture for curve in curves])
  for curve, style in zip(curves, styles, strict=True):
    timed = [s for s in curve.points if _is_timed(s) and s.test.count]
    if timed:
      labels.append(_draw(axes, timed, batch, curve.name,
                          style | {'linewidth': 2}))
  deep = [s for s in points
          if s.role != 'student' and _is_timed(s) and s.test.count]
  for place, s in enumerate(deep):
    is_ensemble = s.role == 'ensemble'
    style = {'color': '#000000' if is_ensemble else '#777777',
             'marker': _MARKERS[place % len(_MARKERS)], 'linestyle': 'none',
             'markersize': 9 if is_ensemble else 7}
    # Members of one name and their ensemble may share it.
    clash = [other.model for other in deep].count(s.model) > 1
    labels.append(_draw(axes, [s], batch,
                        s.model + f' ({s.role})' * clash, style))
  return labels


def _draw(axes: Any, points: Sequence[Summary], batch: int, name: str,
          style: dict[str, Any]) -> Label:
  drawing.draw_bars(axes, [_time(s, batch) for s in points],
                    [s.test for s in points], style)
  return Label(points[-1].test.mean, name, style)


def _is_timed(point: Summary) -> bool:
  return any(r.latency_ms_1 is not None for r in point.members)


def _time(point: Summary, batch: int) -> float:
  return point.members[0].fact(f'latency_ms_{batch}')


def _show_time(point: Summary, batch: int) -> str:
  return f'{_time(point, batch):.3g} ms'


def _depth(point: Summary) -> int:
  return max(point.values('sequential_depth'))


SECTION = Section(
    name='figure_latency', title='Accuracy against latency',
    caption=describe_timing,
    find=lambda context: any(map(_is_timed, context.points)),
    draw=draw_latencies, say=say_latencies)
