"""Several runs on one page: what differs, what they reach, each by itself."""

from __future__ import annotations

import json
import math
import os
import pathlib
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from shallow_mimic.curves import (
  comparisons,
  drawing,
  panels,
  report,
  results,
  tables,
)
from shallow_mimic.curves.comparisons import Curve
from shallow_mimic.curves.drawing import Label
from shallow_mimic.curves.page import Chapter, Part, make_page
from shallow_mimic.curves.section import Context
from shallow_mimic.curves.sections.transfer_sizes import find_level
from shallow_mimic.curves.summaries import Summary
from shallow_mimic.curves.tables import NONE, Table
from shallow_mimic.curves.wording import count_leads
from shallow_mimic.evaluation.records import Record, choose_metric
from shallow_mimic.runs import files

_COLUMNS, _MODELS, _WIDTH = 3, 6, 3.4  # Panels in a row, in all; inches.
_SPARE = 5  # The first colour that no usual loss has.
_LONGEST = 60


class Entry(NamedTuple):
  """A run, as a page of several shows it.

  Attributes:
    name: what tells it from the others.
    folder: its work directory, as the user wrote it.
    config: its configuration, a JSON tree.
    context: what its own report is made of.
    notes: sentences for the end of its chapter.
  """

  name: str
  folder: str
  config: Mapping[str, Any]
  context: Context
  notes: Sequence[str] = ()


def name_runs(titles: Sequence[str], folders: Sequence[str]) -> list[str]:
  """Names that differ: titles; for those that are equal, the folders.

  >>> name_runs(['A', 'B', 'A'], ['x/1', 'x/2', 'x/3'])
  ['x/1', 'B', 'x/3']
  """
  return [title if titles.count(title) == 1 else folder
          for title, folder in zip(titles, folders, strict=True)]


def write_side_by_side(directory: os.PathLike | str, entries: Sequence[Entry],
                       *, title: str, refusal: str = '') -> None:
  """Writes results.csv, table.txt, index.html and figures of several runs.

  Args:
    directory: gets the files.
    entries: the runs, in the order in which they are shown.
    title: the page's heading.
    refusal: why the nets of one run are not compared to those of another; ''
      if they are.
  """
  directory = pathlib.Path(directory)
  files.write_text(directory / 'results.csv', results.format_runs(
      {entry.name: entry.context.records for entry in entries}))
  changes, scores = make_change_table(entries), make_score_table(entries)
  shown = [scores] if refusal else [changes, scores]
  files.write_text(directory / 'table.txt', '\n'.join(
      tables.format_text(table) for table in shown if table.rows))
  parts = {
      'table_runs': Part('The runs, and where their configurations differ',
                   table=make_config_table(entries)),
      'figure_runs': Part(
          'Accuracy against number of parameters',
          'Test set, main curves; horizontal lines are teachers. Bars: ± sd'
          ' over seeds.', drawing.render(draw_runs, entries)),
      'figure_models': _compare(entries, changes, refusal),
      'table_scores': Part(scores.title, table=scores)}
  report.write_images(directory / 'figures', parts)
  drawn, chapters = [*parts.values()], []
  for number, entry in enumerate(entries, 1):
    own = report.make_parts(entry.context)
    report.write_images(directory / 'figures' / str(number), own)
    drawn += own.values()
    chapters.append(Chapter(entry.name, list(own.values()), (
        *entry.notes, *report.say_metric(entry.context.records))))
  drawing.warn_missing(part.image for part in drawn)
  files.write_text(directory / 'index.html', make_page(
      title, list(parts.values()), (), chapters))


def _compare(entries: Sequence[Entry], changes: Table, refusal: str) -> Part:
  title = 'The same model in different runs'
  if refusal:
    return Part(title, readings=[f'No differences are shown: {refusal}.'])
  if not changes.rows:
    return Part(title, readings=['No two runs have a model of one name, role'
                                 ' and width.'])
  image = None
  if find_models(entries):
    image = drawing.render(draw_models, entries)
  return Part(
      title, 'Test set; a panel for each model, a colour for each run. Dashed:'
      ' the teacher that the model had in that run. Bars: ± sd over seeds.'
      if image else '', image, say_changes(entries), changes)


def make_config_table(entries: Sequence[Entry]) -> Table:
  """A column for each run: its folder, and the fields that are not alike."""
  rows = [('work directory', *(entry.folder for entry in entries))]
  rows += [(field, *map(_say_value, values)) for field, values in _differ(
      [entry.config for entry in entries]) if field != 'title']
  return Table('', ('field', *(entry.name for entry in entries)), rows,
               words=1 + len(entries))


def _differ(trees: Sequence[Any], prefix: str = '',
            ) -> Iterator[tuple[str, Sequence[Any]]]:
  """Dotted names, and values, of what is not the same in all JSON trees."""
  if all(isinstance(tree, Mapping) for tree in trees):
    for key in dict.fromkeys(key for tree in trees for key in tree):
      yield from _differ([tree.get(key) for tree in trees],
                         f'{prefix}.{key}' if prefix else key)
  elif any(tree != trees[0] for tree in trees):
    yield prefix, trees


def _say_value(value: Any) -> str:
  if value is None:
    return NONE
  if isinstance(value, Mapping):
    return 'there'
  text = json.dumps(value, ensure_ascii=False)
  return text if len(text) <= _LONGEST else f'{text[:_LONGEST]}…'


def make_score_table(entries: Sequence[Entry]) -> Table:
  """The score table of every run, one below the other."""
  rows, table = [], tables.make_score_table(
      [point for entry in entries for point in entry.context.points])
  for entry in entries:
    rows += [(entry.name, *row) for row in tables.make_score_table(
        entry.context.points).rows]
  return Table(table.title, (results.RUN, *table.header), rows, words=2)


def find_shared(entries: Sequence[Entry],
                ) -> dict[tuple[str, str, int], list[Summary | None]]:
  """Nets of one role, name and width that two runs or more have.

  By these three; what each run has, None where it has none.
  """
  found: dict[tuple[str, str, int], list[Summary | None]] = {}
  for place, entry in enumerate(entries):
    for s in entry.context.points:
      key = s.role, s.model, s.width
      found.setdefault(key, [None] * len(entries))[place] = s
  models = list(dict.fromkeys(key[:2] for key in found))
  return {key: found[key] for key in sorted(
      found, key=lambda key: (models.index(key[:2]), key[2]))
          if sum(s is not None for s in found[key]) > 1}


def make_change_table(entries: Sequence[Entry]) -> Table:
  """Shared nets on test in every run, and what each gains on the first."""
  first, *others = [entry.name for entry in entries]
  rows = [(model, str(width or NONE),
           *(NONE if s is None else tables.show(s.test) for s in points),
           *(_say_change(s, points[0]) for s in points[1:]))
          for (_, model, width), points in find_shared(entries).items()]
  every = [point for entry in entries for point in entry.context.points]
  return Table(
      f'{tables.name_score(every)} on test: mean ± sd over seeds, and'
      ' differences',
      ('model', 'width', first, *others,
       *(f'{other} − {first}' for other in others)), rows)


def _say_change(later: Summary | None, first: Summary | None) -> str:
  # Those that two runs share were trained once: no chance lies between them.
  return 'same nets' if later and later == first else tables.show_change(
      later, first)


def say_changes(entries: Sequence[Entry]) -> list[str]:
  """How every main student of a later run stands to that of the first."""
  pairs: dict[tuple[str, int], list[tuple[Summary, Summary]]] = {}
  for (role, model, _), points in find_shared(entries).items():
    for place, later in enumerate(points):
      if (place and later and points[0] and later != points[0]
          and role == 'student' and later.is_main):
        pairs.setdefault((model, place), []).append((later, points[0]))
  return [f'On test, {model} of {entries[place].name} against that of'
          f' {entries[0].name}: {count_leads(found)}'
          for (model, place), found in pairs.items()]


def draw_runs(entries: Sequence[Entry]) -> Any:
  """Test scores against parameters: a panel for each run, with one scale."""
  curves: dict[str, Curve] = {}
  teachers: dict[str, Sequence[Record]] = {}
  sizes = []
  for entry in entries:
    for one in comparisons.find_main_curves(entry.context.points):
      curves.setdefault(one.name, one)
      sizes += [s.parameters for s in one.points]
    for name, members in comparisons.group_teachers(
        entry.context.points).items():
      teachers.setdefault(name, members)
  styles = dict(zip(curves, panels.style_curves(list(curves.values())),
                    strict=True))
  lines = panels.style_teachers(teachers)
  figure, grid = _make_panels(len(entries), len(curves) + len(teachers))
  labels: dict[str, Label] = {}
  for axes, entry in zip(grid.flat, entries, strict=False):
    points = entry.context.points
    own = comparisons.find_main_curves(points)
    drawn = list(panels.draw_curves(
        axes, own, 'test', [styles[one.name] for one in own], linewidth=2.2))
    if drawn:
      axes.update_datalim([(size, drawn[0].y) for size in sizes])
    panels.finish(axes, textwrap.fill(entry.name, 40), bool(drawn))
    drawn += panels.draw_teachers(axes, points, 'test', lines)
    labels |= {label.text: label for label in drawn}
  _finish(grid, entries, list(labels.values()))
  return figure


def find_models(entries: Sequence[Entry]) -> dict[str, list[Curve | None]]:
  """The first main curves that two runs or more have: that of each, or None."""
  found: dict[str, list[Curve | None]] = {}
  for place, entry in enumerate(entries):
    for curve in comparisons.find_main_curves(entry.context.points):
      found.setdefault(curve.name, [None] * len(entries))[place] = curve
  shared = [name for name, curves in found.items()
            if sum(curve is not None for curve in curves) > 1]
  return {name: found[name] for name in shared[:_MODELS]}


def draw_models(entries: Sequence[Entry]) -> Any:
  """Test scores against parameters: a panel for each model, runs together."""
  models = find_models(entries)
  figure, grid = _make_panels(len(models), len(entries))
  labels: dict[str, Label] = {}
  for axes, (model, curves) in zip(grid.flat, models.items(), strict=False):
    for place, (entry, curve) in enumerate(zip(entries, curves, strict=True)):
      if curve is None:
        continue
      style = _style_run(place)
      for label in panels.draw_curves(axes, [curve], 'test', [style]):
        labels[entry.name] = label._replace(text=entry.name)
      level = find_level(entry.context.points, curve.teacher)
      if level.count:
        axes.axhline(level.mean, color=style['color'], linewidth=1.2,
                     linestyle=(0, (6, 2)))
    panels.finish(axes, model, True)
  _finish(grid, entries, list(labels.values()))
  return figure


def _style_run(place: int) -> dict[str, Any]:
  """A line for each run; a later one hides nothing of those below it."""
  colour = (_SPARE + place) % len(drawing.COLOURS)
  return {'color': drawing.COLOURS[colour], 'marker': drawing.MARKERS[colour],
          'linewidth': max(1.4, 3.4 - place),
          'markersize': max(5.0, 9.0 - 2 * place)}


def _make_panels(count: int, labels: int) -> tuple[Any, Any]:
  columns = min(_COLUMNS, count)
  return drawing.make_panels(
      columns, math.ceil(count / columns), width=_WIDTH,
      height=drawing.fit_height(labels))


def _finish(grid: Any, entries: Sequence[Entry],
            labels: Sequence[Label]) -> None:
  """Names of the axes and of the lines; no empty panels."""
  points = [entry.context.points for entry in entries]
  alike = len({choose_metric(entry.context.records) for entry in entries}) == 1
  for axes in grid[:, 0]:
    axes.set_ylabel(panels.name_axis(points[0], 'test') if alike else
                    'Test accuracy, or 100 − PER (%)')
  for axes in grid.flat:
    if not axes.has_data():
      axes.set_axis_off()
  drawing.label_right(grid[0, -1], labels)
