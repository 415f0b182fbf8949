"""Figure 2: accuracy on dev while training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from shallow_mimic.curves import drawing, summaries
from shallow_mimic.curves.comparisons import Curve, find_main_curves
from shallow_mimic.curves.drawing import Label
from shallow_mimic.curves.panels import is_speech
from shallow_mimic.curves.section import Context, Section
from shallow_mimic.curves.summaries import Spread, Summary
from shallow_mimic.curves.tables import show
from shallow_mimic.curves.wording import sign
from shallow_mimic.evaluation.records import Record


class History(NamedTuple):
  """Accuracy on dev in per cent at the steps that all seeds share."""

  name: str
  objective: str
  steps: tuple[int, ...]
  dev: tuple[Spread, ...]


def find_histories(
    points: Sequence[Summary], width: int | None = None,
) -> tuple[int | None, list[History]]:
  """The width and a history for each main model.

  Where `width` is None, or no model has it: that where most of them meet.
  """
  found = [(curve, s) for curve in find_main_curves(points)
           for s in curve.points if any(map(_find_history, s.members))]
  counts = Counter(s.width for _, s in found)
  if width not in counts and found:
    width = max(counts, key=lambda w: (counts[w], w))
  averages = [_average(curve, s) for curve, s in found if s.width == width]
  return width, [history for history in averages if history.steps]


def _average(curve: Curve, point: Summary) -> History:
  series = [h for h in map(_find_history, point.members) if h]
  steps = sorted(set.intersection(*map(set, series)))
  return History(
      curve.name, curve.objective, tuple(steps),
      tuple(summaries.spread(h[step] for h in series) for step in steps))


def _find_history(record: Record) -> dict[Any, float]:
  pairs = zip(record.history.get('step', ()),
              record.history.get('dev_accuracy', ()), strict=True)
  return {step: 100 * value for step, value in pairs
          if value is not None and math.isfinite(value)}


def draw_histories(context: Context) -> Any:
  """Accuracy on dev while training: mean, sd shaded, a marker at the peak."""
  figure, panels = drawing.make_panels(1, width=4.8, height=3.3)
  axes = panels[0, 0]
  width, found = find_histories(context.points, context.figure_width)
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
  axes.set_ylabel('Dev frame accuracy (%)' if is_speech(context.points)
                  else 'Dev accuracy (%)')
  if found:
    axes.set_title(f'Width {width}', loc='left', fontsize=10)
  else:
    drawing.say(axes, 'no history of dev accuracy')
  drawing.label_right(axes, labels)
  return figure


def say_histories(context: Context) -> list[str]:
  """Where each main curve peaks, and how far it falls until the end."""
  _, found = find_histories(context.points, context.figure_width)
  if not found:
    return ['No main model of this width has a history of dev accuracy.']
  return [_say_history(history) for history in found]


def _say_history(history: History) -> str:
  peak = max(range(len(history.dev)), key=lambda i: history.dev[i].mean)
  top, end = history.dev[peak], history.dev[-1]
  fall = summaries.difference(top, end)
  text = (f'{history.name} is highest at step {history.steps[peak]}'
          f' ({top.mean:.1f} %)')
  if peak == len(history.dev) - 1:
    return f'{text}, its last: it does not overfit within this training.'
  text += f' and ends at {end.mean:.1f} %, {show(fall)} points lower: '
  if math.isnan(fall.sd):
    return text + 'with one seed there is no spread to judge this fall by.'
  return text + ('it declines by more than the spread of seeds.'
                 if sign(fall) > 0 else
                 'no decline beyond the spread of seeds.')


SECTION = Section(
    name='figure2_overfitting',
    title='Figure 2. Accuracy on dev during training',
    caption='Mean over seeds, ± sd shaded; the marker is at the highest'
            ' mean.',
    draw=draw_histories, say=say_histories)
