"""Mimics against the number of inputs: what a larger transfer set gives.

Ba & Caruana (arXiv 1312.6184): compression works best where the transfer set
is much larger than the training set and does not lie on its points.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from shallow_mimic.curves import comparisons, drawing, summaries
from shallow_mimic.curves.drawing import Label
from shallow_mimic.curves.panels import name_axis
from shallow_mimic.curves.section import Context, Section
from shallow_mimic.curves.summaries import Spread, Summary
from shallow_mimic.curves.tables import show, signed
from shallow_mimic.data import mixtures

Net = tuple[int, str]  # width and architecture, see `Summary.net`
_TRAIN = 'train'
_PANELS = 6


class Line(NamedTuple):
  """Mimics that differ in the number of their inputs alone, fewest first.

  `sets` are the transfer sets; `with_train` says whether the training inputs
  stand beside them.
  """

  net: Net
  loss: str
  teacher: str
  sets: tuple[str, ...]
  with_train: bool
  counts: tuple[int, ...]
  points: tuple[Summary, ...]


def find_lines(context: Context) -> list[Line]:
  """Lines of two sizes or more, by net.

  A line with the training inputs begins where there are no others. Of two
  models that agree in all of this, the plain name is taken.
  """
  groups: dict[tuple, dict[int, Summary]] = defaultdict(dict)
  for s in context.points:
    count = s.values('inputs_count')
    if s.role == 'student' and s.teacher and s.test.count and count:
      key = s.net, comparisons.name_loss(s), s.teacher
      names = mixtures.set_names(s.mixture)
      groups[key, names].setdefault(count[0], s)
  lines = []
  for (key, names), sizes in groups.items():
    with_train = _TRAIN in names
    sets = tuple(name for name in names if name != _TRAIN)
    if with_train and sets:
      sizes = groups.get((key, (_TRAIN,)), {}) | sizes  # noqa: PLW2901
    if len(sizes) > 1:
      counts = tuple(sorted(sizes))
      net, loss, teacher = key
      lines.append(Line(net, loss, teacher, sets, with_train, counts,
                        tuple(sizes[count] for count in counts)))
  return sorted(lines, key=lambda line: line[:5])


def draw_sizes(context: Context) -> Any:
  """Test accuracy against the number of inputs, a panel for each net."""
  lines = _of_some_nets(find_lines(context))
  nets = sorted({line.net for line in lines})
  columns = min(3, len(nets))
  figure, panels = drawing.make_panels(
      columns, math.ceil(len(nets) / columns), width=3.4, height=3.4)
  styles, names = _choose_styles(lines), _name_lines(lines)
  labels: dict[object, Label] = {}
  for axes in panels.flat[len(nets):]:
    axes.set_axis_off()
  for axes, net in zip(panels.flat, nets, strict=False):
    for line in (one for one in lines if one.net == net):
      style = styles[line[1:5]]
      drawing.draw_bars(axes, line.counts, [s.test for s in line.points], style)
      labels[line[1:5]] = Label(
          line.points[-1].test.mean, names[line[1:5]], style)
    labels.update(_draw_teachers(axes, context.points, lines))
    axes.set_title(comparisons.name_net(net, nets), loc='left', fontsize=10)
    axes.set_xlabel('Inputs trained on (number, log axis)')
    drawing.scale_sizes(axes)
  for axes in panels[:, 0]:
    axes.set_ylabel(name_axis(context.points, 'test'))
  drawing.label_right(panels[0, -1], list(labels.values()))
  return figure


def say_sizes(context: Context) -> list[str]:
  """How far more inputs help, and whether those of training are needed."""
  lines = find_lines(context)
  names, nets = _name_lines(lines), sorted({line.net for line in lines})
  told = []
  for line in lines:
    first, last = line.points[0].test, line.points[-1].test
    change = summaries.difference(last, first)
    told.append(
        f'{comparisons.name_net(line.net, nets)}, {names[line[1:5]]}: from'
        f' {line.counts[0]:,} inputs ({show(first)} %) to'
        f' {line.counts[-1]:,} ({show(last)} %) {signed(change)} points on'
        ' test.')
  found = {line[:5]: line for line in lines}
  for line in lines:
    other = found.get((*line[:4], False))
    if line.with_train and other:
      with_it, without = line.points[-1].test, other.points[-1].test
      told.append(
          f'{comparisons.name_net(line.net, nets)}, {line.loss}: the training'
          f' inputs beside {" + ".join(line.sets)} ({line.counts[-1]:,} inputs'
          f' in all against {other.counts[-1]:,}) give'
          f' {signed(summaries.difference(with_it, without))} points on test.')
  return told


def _of_some_nets(lines: list[Line]) -> list[Line]:
  """The lines of those nets that have most."""
  counts: dict[Net, int] = defaultdict(int)
  for line in lines:
    counts[line.net] += 1
  kept = sorted(counts, key=lambda net: (-counts[net], net))[:_PANELS]
  return [line for line in lines if line.net in kept]


def _choose_styles(lines: Sequence[Line]) -> dict[tuple, dict[str, Any]]:
  """A colour for each loss, teacher and sets; hollow, dashed without train."""
  kinds = sorted({line[1:4] for line in lines})
  found = {}
  for line in lines:
    place = kinds.index(line[1:4]) % len(drawing.COLOURS)
    style = {'color': drawing.COLOURS[place], 'linewidth': 1.8,
             'marker': drawing.MARKERS[place]}
    if not line.with_train:
      style |= {'markerfacecolor': 'white', 'linestyle': (0, (4, 2))}
    found[line[1:5]] = style
  return found


def _name_lines(lines: Sequence[Line]) -> dict[tuple, str]:
  """'logits: train + views', with the teacher where there are several."""
  several = len({line.teacher for line in lines}) > 1
  return {
      line[1:5]: line.loss + f' of {line.teacher}' * several + ': '
      + ' + '.join([_TRAIN] * line.with_train + list(line.sets))
      + ' alone' * (not line.with_train) for line in lines}


def _draw_teachers(
    axes: Any, points: Sequence[Summary], lines: Sequence[Line],
) -> dict[str, Label]:
  """A horizontal line for each teacher of the lines."""
  labels = {}
  for name in sorted({line.teacher for line in lines}):
    level = find_level(points, name)
    if level.count:
      style = {'color': '#333333', 'linewidth': 1.2}
      axes.axhline(level.mean, **style)
      labels[name] = Label(level.mean, name, style)
  return labels


def find_level(points: Sequence[Summary], teacher: str) -> Spread:
  """A teacher's score on test; an ensemble before a net of its name."""
  found = [s for s in points if s.role != 'student' and s.model == teacher]
  return found[-1].test if found else Spread(math.nan, math.nan, 0)


SECTION = Section(
    name='figure_transfer_size',
    title='Transfer size. Mimics against the number of their inputs',
    caption='Test set. Along a line net, loss and teacher are the same and the'
            ' number of inputs changes; hollow and dashed: without the training'
            ' inputs; horizontal: the teacher. Bars: ± sd over seeds.',
    find=find_lines, draw=draw_sizes, say=say_sizes)
