"""Figure 1, controls: what targets add at equal inputs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from shallow_mimic.curves import comparisons, drawing, summaries
from shallow_mimic.curves.comparisons import (
  LABELS,
  LOGITS,
  PSEUDO_LABELS,
  Curve,
  find_curves,
)
from shallow_mimic.curves.panels import draw_curves, finish, name_axis
from shallow_mimic.curves.section import Context, Section
from shallow_mimic.curves.summaries import Summary
from shallow_mimic.curves.tables import (
  NONE,
  Table,
  name_score,
  show,
  show_change,
)
from shallow_mimic.curves.wording import count_leads


class Gain(NamedTuple):
  """Students of one net on the same inputs: the best on dev of each kind."""

  mixture: str
  width: int
  architecture: str
  labels: Summary | None
  pseudo_labels: Summary | None
  logits: Summary | None


def group_by_inputs(points: Sequence[Summary]) -> dict[str, list[Curve]]:
  """All curves by the inputs that they train on, fewest sets first."""
  groups = defaultdict(list)
  for curve in find_curves(points):
    groups[curve.mixture].append(curve)
  return dict(sorted(groups.items(),
                     key=lambda item: (item[0].count('+'), item[0])))


def find_controls(points: Sequence[Summary]) -> dict[str, list[Curve]]:
  """Curves that meet on equal inputs, by them: labels, pseudo-labels, logits.

  All curves by their inputs where no two of these meet. Other losses have a
  figure of their own.
  """
  groups = group_by_inputs(points)
  kinds = (LABELS, PSEUDO_LABELS, LOGITS)
  met = {mixture: [c for c in curves if c.objective in kinds]
         for mixture, curves in groups.items()}
  return {mixture: curves for mixture, curves in met.items()
          if len(curves) > 1} or groups


def find_gains(points: Sequence[Summary]) -> list[Gain]:
  """A row per inputs and net at which two kinds of targets meet."""
  rows = []
  for mixture, curves in group_by_inputs(points).items():
    students = [s for curve in curves for s in curve.points]
    for net in sorted({s.net for s in students}):
      best = [_best(students, net, kind)
              for kind in (LABELS, PSEUDO_LABELS, LOGITS)]
      if sum(s is not None for s in best) > 1:
        rows.append(Gain(mixture, *net, *best))
  return rows


def _best(students: list[Summary], net: tuple[int, str], kind: str,
          ) -> Summary | None:
  found = [s for s in students if (s.net, s.objective) == (net, kind)]
  return summaries.find_best(found) if found else None


def draw_controls(context: Context) -> Any:
  """Test accuracy against parameters, a panel for each set of inputs."""
  groups = find_controls(context.points) or {'none': []}
  columns = min(3, len(groups))
  entries = max(map(len, groups.values()))
  figure, panels = drawing.make_panels(
      columns, math.ceil(len(groups) / columns), width=3.2, height=3.0,
      gaps=(0.3, 1.1 + 0.19 * entries))
  for axes in panels.flat[len(groups):]:
    axes.set_axis_off()
  for axes, (mixture, curves) in zip(panels.flat, groups.items(), strict=False):
    told = [
        c._replace(name=f'{c.name}: {comparisons.name_objective(c.objective)}')
        for c in curves]
    labels = list(draw_curves(axes, told, 'test', linewidth=1.5))
    finish(axes, f'Inputs: {mixture}', bool(labels))
    drawing.label_below(axes, labels)
  for axes in panels[:, 0]:
    axes.set_ylabel(name_axis(context.points, 'test'))
  return figure


def make_gain_table(context: Context) -> Table:
  """What logits add at equal inputs and nets, on test."""
  rows = []
  for gain in find_gains(context.points):
    kinds = (gain.labels, gain.pseudo_labels, gain.logits)
    rows.append((
        gain.mixture, f'{gain.width}', gain.architecture,
        *[f'{show(s.test)} ({s.model})' if s else NONE for s in kinds],
        *[show_change(gain.logits, other)
          for other in (gain.pseudo_labels, gain.labels)]))
  return Table(
      f'What logits add at equal inputs: {name_score(context.points)} on test',
      ('inputs', 'width', 'architecture', 'labels', 'pseudo-labels', 'logits',
       'logits − pseudo-labels', 'logits − labels'), rows)


def say_controls(context: Context) -> list[str]:
  """Logits against pseudo-labels, and against labels, at equal inputs."""
  lines = []
  gains = find_gains(context.points)
  for mixture in dict.fromkeys(gain.mixture for gain in gains):
    for word, rival in (('the same teacher\'s pseudo-labels', 'pseudo_labels'),
                        ('labels', 'labels')):
      pairs = [(g.logits, getattr(g, rival)) for g in gains
               if g.mixture == mixture and g.logits and getattr(g, rival)]
      if pairs:
        lines.append(
            f'On {mixture}, logits against {word}: {count_leads(pairs)}')
  return lines or ['No two kinds of targets share inputs and width yet.']


SECTION = Section(
    name='figure1_controls',
    title='Figure 1, controls. What the targets add at equal inputs',
    caption='Test set; a panel for each set of inputs, one y axis. Bars:'
            ' ± sd over seeds.',
    draw=draw_controls, say=say_controls, tabulate=make_gain_table)
