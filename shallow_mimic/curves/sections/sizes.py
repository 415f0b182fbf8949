"""The paper's table: sizes and errors, its own numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shallow_mimic.curves import summaries
from shallow_mimic.curves.section import Context, Section
from shallow_mimic.curves.summaries import Spread, Summary
from shallow_mimic.curves.tables import (
  NONE,
  Table,
  count_seeds,
  join,
  name_score,
  show,
)


def make_size_table(context: Context) -> Table:
  """The paper's table: sizes and test errors, its own numbers beside ours.

  A paper row stands beside the one model that it names (`model`, or model and
  width as in 'SNN-8k', and `architecture` where that is not enough); one that
  names none, or several, has a line of its own.
  """
  points, printed, alone = context.points, {}, []
  for row in context.paper_rows:
    s = find_paper_point(points, row)
    if s is None or id(s) in printed:
      alone.append((
          str(row['model']), *[NONE] * 3, str(row.get('parameters', NONE)),
          *[NONE] * 6, *_paper_cells(row)))
    else:
      printed[id(s)] = row
  rows = [(*_size_cells(s), *_paper_cells(printed.get(id(s), {})))
          for s in points]
  header = ('model', 'trained on', 'teacher', 'architecture', 'parameters',
            'absorbed', 'hidden units', 'seeds', 'dev', 'test', 'test error',
            'paper: architecture', 'paper: parameters', 'paper: error')
  width = len(header) if context.paper_rows else len(header) - 3
  beside = ', and the paper\'s nets beside ours' if context.paper_rows else ''
  return Table(
      f'{context.title}: Sizes{beside}; {name_score(points)}', header[:width],
      [row[:width] for row in rows + alone], words=4)


def find_paper_point(
    points: Sequence[Summary], row: Mapping[str, Any],
) -> Summary | None:
  """The one model that a row of the paper names, if it is one."""
  found = [
      s for s in points
      if row['model'] in (s.model, f'{s.model}-{summaries.shorten(s.width)}')
      and row.get('width', s.width) == s.width]
  if len(found) > 1:
    found = [s for s in found
             if row.get('architecture') in s.values('architecture')]
  return found[0] if len(found) == 1 else None


def _size_cells(s: Summary) -> tuple[str, ...]:
  error = summaries.difference(Spread(100, 0, 1), s.test)
  return (
      s.model, s.mixture or NONE, s.teacher or NONE,
      s.net[1], join(s, 'parameters', '{:,}'),
      join(s, 'parameters_absorbed', '{:,}'), join(s, 'hidden_units', '{:,}'),
      count_seeds(s), show(s.dev), show(s.test), show(error))


def _paper_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
  return tuple(str(row.get(key, NONE)) for key in (
      'architecture', 'printed_parameters', 'error'))


SECTION = Section(name='table_sizes', tabulate=make_size_table)
