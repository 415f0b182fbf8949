"""Figure 3: students against their teachers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from shallow_mimic.curves import drawing, summaries
from shallow_mimic.curves.comparisons import LOGITS
from shallow_mimic.curves.drawing import Label
from shallow_mimic.curves.panels import name_axis
from shallow_mimic.curves.section import Context, Section
from shallow_mimic.curves.summaries import Spread, Summary
from shallow_mimic.curves.tables import show, signed
from shallow_mimic.curves.wording import count


class Sweep(NamedTuple):
  """Students that differ in their teachers alone: scores on dev."""

  width: int
  architecture: str
  mixture: str
  teachers: tuple[str, ...]
  x: tuple[Spread, ...]
  y: tuple[Spread, ...]


def find_sweeps(points: Sequence[Summary]) -> list[Sweep]:
  """Lines of mimics against teachers; those of 2 teachers or more, if any.

  Of two models with the same teacher on a line, the plain name is taken.
  """
  # Ensembles come last: one that shares its name with its members is meant.
  known = {s.model: s.dev for s in points
           if s.role != 'student' and s.dev.count}
  groups: dict[tuple, dict[str, Summary]] = defaultdict(dict)
  for s in points:
    if s.objective == LOGITS and s.dev.count and s.teacher in known:
      groups[s.mixture, s.net].setdefault(s.teacher, s)
  sweeps = []
  for (mixture, (width, architecture)), mimics in sorted(groups.items()):
    names = tuple(sorted(mimics, key=lambda name: known[name].mean))
    sweeps.append(Sweep(
        width, architecture, mixture, names, tuple(known[n] for n in names),
        tuple(mimics[n].dev for n in names)))
  return [sweep for sweep in sweeps if len(sweep.teachers) > 1] or sweeps


def name_sweeps(sweeps: Sequence[Sweep]) -> list[str]:
  """Each by its width, and what else tells it from the others."""
  def several(what):
    return len(set(map(what, sweeps))) > 1
  nets = Counter(width for width, _ in {sweep[:2] for sweep in sweeps})
  return [
      f'width {sweep.width}'
      + f' of {sweep.architecture}' * (max(nets.values()) > 1)
      + f' on {sweep.mixture}' * several(lambda one: one.mixture)
      for sweep in sweeps]


def draw_sweeps(context: Context) -> Any:
  """Accuracy of mimics against that of their teachers, both on dev."""
  figure, panels = drawing.make_panels(1, width=4.3, height=3.6)
  axes = panels[0, 0]
  sweeps = find_sweeps(context.points)
  labels = []
  styles = drawing.shade_styles(len(sweeps))
  names = name_sweeps(sweeps)
  for sweep, name, style in zip(sweeps, names, styles, strict=True):
    drawing.draw_bars(axes, [x.mean for x in sweep.x], sweep.y, style)
    labels.append(Label(sweep.y[-1].mean, name, style))
  axes.set_xlabel(name_axis(context.points, 'dev', 'teacher:'))
  axes.set_ylabel(name_axis(context.points, 'dev', 'student:'))
  if sweeps:
    known = {name: x.mean for sweep in sweeps
             for name, x in zip(sweep.teachers, sweep.x, strict=True)}
    labels.append(drawing.draw_diagonal(axes, list(known.values())))
    drawing.label_top(axes, known)
  else:
    drawing.say(axes, 'no mimics')
  drawing.label_right(axes, labels)
  return figure


def say_sweeps(context: Context) -> list[str]:
  """Whether students gain from better teachers."""
  sweeps = find_sweeps(context.points)
  if not sweeps:
    return ['No mimic on logits is here yet.']
  if all(len(sweep.teachers) < 2 for sweep in sweeps):
    names = ', '.join(sorted({n for sweep in sweeps for n in sweep.teachers}))
    return [f'Mimics have one teacher only ({names}): there is no slope to'
            ' read.']
  return [_say_sweep(sweep, name) for sweep, name
          in zip(sweeps, name_sweeps(sweeps), strict=True)]


def _say_sweep(sweep: Sweep, name: str) -> str:
  first, last = sweep.y[0], sweep.y[-1]
  steps = [b.mean > a.mean for a, b in zip(sweep.y, sweep.y[1:], strict=False)]
  change = summaries.difference(last, first)
  return (f'{name[0].upper()}{name[1:]}:'
          f' {signed(change)} points from the weakest teacher'
          f' ({sweep.teachers[0]}, {sweep.x[0].mean:.1f} % on dev;'
          f' student {show(first)} %) to the strongest ({sweep.teachers[-1]},'
          f' {sweep.x[-1].mean:.1f} %; student {show(last)} %);'
          f' a better teacher made a better student in {sum(steps)} of'
          f' {count(len(steps), "step")}.')


SECTION = Section(
    name='figure3_teachers',
    title='Figure 3. Student against teacher',
    caption='Dev set. Along a line width, inputs and objective are the same'
            ' and the teacher changes. Bars: ± sd over seeds.',
    draw=draw_sweeps, say=say_sweeps)
