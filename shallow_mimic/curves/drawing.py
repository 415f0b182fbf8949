"""Parts of figures: lines with bars, labels that do not overlap, the files.

matplotlib is imported where it draws, through its object interface: no pyplot,
and every global setting is put back. Texts are drawn as they are written: in
the name of a model, `$` and `_` are letters like any other.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from shallow_mimic.curves.summaries import Spread, shorten
from shallow_mimic.runs.headless import import_headless
from shallow_mimic.training.loss_specs import LossSpec

# Okabe and Ito's colours, which the colour-blind tell apart; pale yellow left
# out, and three of Tol's. Orange, close to vermilion, stands after the places
# of those that are drawn together most.
COLOURS = ('#d55e00', '#0072b2', '#cc79a7', '#009e73', '#56b4e9',
           '#e69f00', '#000000', '#7f4f24', '#332288', '#882255', '#999933')
MARKERS = 'os^DvPX*ph<'
_SPARE_LINES = ((0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
_SETTINGS = {
    'axes.axisbelow': True, 'axes.grid': True, 'axes.spines.right': False,
    'axes.spines.top': False, 'font.size': 10, 'grid.color': '#e4e4e4',
    'grid.linewidth': 0.6, 'legend.frameon': False, 'savefig.bbox': 'tight',
    'savefig.dpi': 150, 'svg.hashsalt': 'shallow_mimic',
    'text.parse_math': False}
_LINE = 14  # points from one label to the next


class Image(NamedTuple):
  """One figure, as the bytes of two files; letters that its font lacks."""

  png: bytes
  svg: bytes
  missing: str = ''


class Label(NamedTuple):
  """Text that stands beside a panel at height y, with a sample of its line."""

  y: float
  text: str
  style: dict[str, Any]


def render(draw: Callable[..., Any], *args: Any) -> Image:
  """Draws under our settings: equal arguments give equal bytes."""
  mpl = import_headless('matplotlib')  # Slow to load.
  png, svg = io.BytesIO(), io.BytesIO()
  with mpl.rc_context(), warnings.catch_warnings(record=True) as told:
    warnings.filterwarnings('always', r'Glyph \d+ ')
    mpl.rcdefaults()  # a user's own settings would change the bytes
    mpl.rcParams.update(_SETTINGS)
    figure = draw(*args)
    _allow_powers(figure)
    figure.savefig(png, format='png', metadata={'Software': None})
    figure.savefig(svg, format='svg', metadata={'Date': None, 'Creator': None})
  missing = set()
  for one in told:
    if glyph := re.match(r'Glyph (\d+) ', str(one.message)):
      missing.add(chr(int(glyph[1])))
    else:
      warnings.warn_explicit(
          one.message, one.category, one.filename, one.lineno)
  return Image(png.getvalue(), svg.getvalue(), ''.join(sorted(missing)))


def _allow_powers(figure: Any) -> None:
  """Lets matplotlib's own numbers on a log axis be powers of ten."""
  ticker = import_headless('matplotlib.ticker')
  for axis in (one for axes in figure.axes
               for one in (axes.xaxis, axes.yaxis)):
    for formatter, ticks in (
        (axis.get_major_formatter(), axis.get_major_ticks),
        (axis.get_minor_formatter(), axis.get_minor_ticks)):
      if isinstance(formatter, ticker.LogFormatter):
        for tick in ticks():
          tick.label1.set_parse_math(True)


def warn_missing(images: Iterable[Image | None]) -> None:
  """One warning for all letters that are drawn as boxes."""
  letters = ''.join(sorted(
      set().union(*(image.missing for image in images if image))))
  if letters:
    logging.warning(
        'the font of the figures lacks %s: there they are boxes; the page and'
        ' results.csv have them', letters)


def fit_height(labels: int) -> float:
  """Inches of a panel that has so many labels at its right; at least 3.6."""
  return max(3.6, labels * _LINE / 72)


def make_panels(
    columns: int, rows: int = 1, *, width: float, height: float,
    gaps: tuple[float, float] = (0.3, 1.0),
) -> tuple[Any, np.ndarray]:
  """A figure and its panels [rows, columns] with one y axis; inches.

  `gaps` lie between columns and between rows. Panels fill the figure: what
  stands outside widens the file, whatever its length.
  """
  size = (columns * width + (columns - 1) * gaps[0],
          rows * height + (rows - 1) * gaps[1])
  figure = import_headless('matplotlib.figure').Figure(figsize=size)
  return figure, figure.subplots(
      rows, columns, sharey=True, squeeze=False, gridspec_kw={
          'left': 0, 'right': 1, 'bottom': 0, 'top': 1,
          'wspace': gaps[0] / width, 'hspace': gaps[1] / height})


def choose_styles(objectives: Sequence[str], architectures: Sequence[str] = (),
                  ) -> list[dict[str, Any]]:
  """A colour and marker for each curve: its objective's own, else a free one.

  Where there are more curves than colours, and of several architectures, the
  colour tells the architecture and the line the objective; else colours begin
  again.
  """
  if len(objectives) > len(COLOURS) and len(set(architectures)) > 1:
    return _style_architectures(objectives, architectures)
  own = {_find_place(objective) for objective in objectives}
  spare = [place for place in (*range(5, len(COLOURS)), 4, 3, 2, 1, 0)
           if place not in own]
  taken: list[int] = []
  for objective in objectives:
    place = _find_place(objective)
    if place is None or place in taken:
      place = next((p for p in spare if p not in taken),
                   len(taken) % len(COLOURS))
    taken.append(place)
  return [{'color': COLOURS[p], 'marker': MARKERS[p]} for p in taken]


def _find_place(objective: str) -> int | None:
  """The place of a loss's colour and marker, None for a free one."""
  spec = LossSpec.registry.get(objective)
  return None if spec is None or spec.place is None else (
      spec.place % len(COLOURS))


def _style_architectures(objectives, architectures):
  kinds = list(dict.fromkeys(architectures))
  specs = {one: LossSpec.registry.get(one) for one in objectives}
  lines = {one: spec.line for one, spec in specs.items() if spec and spec.line}
  others = [one for one in specs if one not in lines]
  lines |= zip(others, itertools.cycle(_SPARE_LINES))
  styles = []
  for kind, objective in zip(architectures, objectives, strict=True):
    place = kinds.index(kind) % len(COLOURS)
    style = {'color': COLOURS[place], 'marker': MARKERS[place],
             'linestyle': lines[objective]}
    if style in styles:  # Another way of one architecture and objective.
      style['markerfacecolor'] = 'white'
    styles.append(style)
  return styles


def shade_styles(count: int) -> list[dict[str, Any]]:
  """Lines of a quantity that grows: from light to dark, markers that differ."""
  mpl = import_headless('matplotlib')
  shades = mpl.colormaps['viridis'](np.linspace(0.8, 0, count))
  return [
      {'color': mpl.colors.to_hex(shade), 'marker': MARKERS[i % len(MARKERS)],
       'linewidth': 2} for i, shade in enumerate(shades)]


def draw_bars(
    axes: Any, x: Sequence[float], y: Sequence[Spread], style: dict[str, Any],
) -> None:
  """A line through means, with a bar of ± sd where there are 2 seeds."""
  axes.errorbar(x, [s.mean for s in y], yerr=[s.sd for s in y], capsize=3,
                elinewidth=1.2, **style)


def draw_diagonal(axes: Any, x: Sequence[float]) -> Label:
  """The line y = x over the range of x; returns its label."""
  pad = 0.08 * (max(x) - min(x)) or 1.0
  low, high = min(x) - pad, max(x) + pad
  style = {'color': '#777777', 'linewidth': 1, 'linestyle': (0, (5, 3))}
  axes.plot([low, high], [low, high], **style)
  axes.set_xlim(low, high)
  axes.locator_params(axis='x', nbins=6)  # '24.25' is long
  return Label(high, 'student = teacher', style)


def scale_sizes(axes: Any) -> None:
  """A logarithmic x axis of parameters, ticks such as 20k and 1M."""
  ticker = import_headless('matplotlib.ticker')
  low, high = axes.dataLim.intervalx
  # The shorter the axis, the more ticks in a decade.
  steps = ((1,) if 30 * low < high else (1, 2, 5) if 6 * low < high
           else (1, 1.5, 2, 3, 5, 7))
  axes.set_xscale('log')
  axes.xaxis.set_major_locator(ticker.LogLocator(subs=steps))
  axes.xaxis.set_major_formatter(
      ticker.FuncFormatter(lambda value, _: shorten(value)))
  axes.xaxis.set_minor_formatter(ticker.NullFormatter())


def say(axes: Any, text: str, *, keep_y: bool = False) -> None:
  """Writes in the middle of a panel that has no curves."""
  axes.text(0.5, 0.5, text, transform=axes.transAxes, ha='center',
            va='center', color='#555555', backgroundcolor='white')
  axes.set_xticks([])
  if not keep_y:
    axes.set_yticks([])


def label_below(axes: Any, labels: Sequence[Label]) -> None:
  """A legend under a panel's x axis, from the highest line to the lowest."""
  ordered = sorted(labels, key=lambda label: -label.y)
  legend = axes.legend(
      [axes.plot([], [], **label.style)[0] for label in ordered],
      ['-'] * len(ordered), loc='upper left', fontsize=9,
      borderaxespad=0, bbox_to_anchor=(0, -40 / _measure(axes)[1]))
  # A legend hides labels that begin with '_', but not texts.
  for text, label in zip(legend.get_texts(), ordered, strict=True):
    text.set_text(label.text)


def label_right(axes: Any, labels: Sequence[Label]) -> None:
  """Labels right of a panel, as near to their y as they fit."""
  low, high = axes.get_ylim()
  fractions = [(label.y - low) / (high - low) for label in labels]
  places = spread_out(fractions, _LINE / _measure(axes)[1], 0.0, 1.0)
  for place, label in zip(places, labels, strict=True):
    axes.plot([1.02, 1.055, 1.09], [place] * 3, clip_on=False,
              transform=axes.transAxes, markevery=[1], **label.style)
    axes.text(1.105, place, label.text, transform=axes.transAxes, va='center')


def label_top(axes: Any, names: dict[str, float]) -> None:
  """Names above a panel, aslant over their x, with a line down from each."""
  low, high = axes.get_xlim()
  fractions = [(x - low) / (high - low) for x in names.values()]
  places = spread_out(fractions, 1.2 * _LINE / _measure(axes)[0], 0.0, 1.0)
  for place, fraction, name in zip(places, fractions, names, strict=True):
    axes.plot([fraction, fraction, place], [0, 1, 1.03], color='#aaaaaa',
              linewidth=0.7, linestyle=':', clip_on=False, zorder=1,
              transform=axes.transAxes)
    axes.text(place, 1.04, name, transform=axes.transAxes, fontsize=9,
              rotation=40, rotation_mode='anchor', ha='left', va='center')


def spread_out(
    wanted: Sequence[float], gap: float, low: float, high: float,
) -> list[float]:
  """Places at least `gap` apart, nearest to those wanted (least squares).

  They stay within [low, high] if they fit, else hang over at the lower end.

  >>> spread_out([0.5, 0.5], 0.1, 0, 1)
  [0.45, 0.55]
  """
  order = sorted(range(len(wanted)), key=lambda i: wanted[i])
  # With i · gap taken off, "gap apart" is "not falling": isotonic regression,
  # by pooling neighbours that fall into their mean.
  pools: list[list[float]] = []
  for rank, i in enumerate(order):
    pools.append([wanted[i] - rank * gap])
    while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
      last = pools.pop()
      pools[-1] += last
  flat = [float(np.mean(pool)) for pool in pools for _ in pool]
  top = high - (len(order) - 1) * gap
  places = [0.0] * len(order)
  for rank, i in enumerate(order):
    places[i] = float(min(max(flat[rank], low), top) + rank * gap)
  return places


def _measure(axes: Any) -> tuple[float, float]:
  """A panel's width and height in points, the unit of text."""
  scale = 72 / axes.figure.dpi
  return axes.bbox.width * scale, axes.bbox.height * scale
