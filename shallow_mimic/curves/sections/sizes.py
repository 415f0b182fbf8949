"""The paper's table: sizes and errors, its own numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shallow_mimic.curves import comparisons, summaries
from shallow_mimic.curves.summaries import Spread, Summary, times
from shallow_mimic.curves.tables import (
  NONE,
  Table,
  count_seeds,
  join,
  name_score,
  show,
)


def make_size_table(
    points: Sequence[Summary], paper_rows: Sequence[Mapping[str, Any]] = (),
) -> Table:
  """The paper's table: sizes and test errors, its own numbers beside ours.

  A paper row stands beside the one model that it names (`model`, or model and
  width as in 'SNN-8k', and `architecture` where that is not enough); one that
  names none, or several, has a line of its own.
  """
  printed, alone = {}, []
  for row in paper_rows:
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
  width = len(header) if paper_rows else len(header) - 3
  beside = ', and the paper\'s nets beside ours' if paper_rows else ''
  return Table(
      f'Sizes{beside}; {name_score(points)}', header[:width],
      [row[:width] for row in rows + alone], words=4)


def make_detail_table(points: Sequence[Summary]) -> Table:
  """Cost, probabilities and likeness to the teacher, on test."""
  percent = lambda s, metric: show(times(s.spread('test', metric), 100))
  rows = [
      (s.model, NONE if s.role == 'ensemble' else comparisons.name_loss(s),
       str(s.width or NONE), join(s, 'learning_rate', '{:g}'),
       NONE if s.role == 'ensemble' else join(s, 'best_step', '{}'),
       join(s, 'multiply_adds', '{:,}'), join(s, 'sequential_depth', '{}'),
       show(s.spread('test', 'nll'), 3),
       percent(s, 'ece'), percent(s, 'agreement'),
       show(s.spread('test', 'kl'), 3)) for s in points]
  return Table(
      'Cost, probabilities and likeness to the teacher, on test',
      ('model', 'loss', 'width', 'learning rate', 'best step',
       'multiply-adds', 'sequential depth', 'NLL (nats)', 'ECE (%)',
       'agreement (%)', 'KL to teacher (nats)'), rows, words=2)


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
      s.model, s.inputs or NONE, s.teacher or NONE,
      s.net[1], join(s, 'parameters', '{:,}'),
      join(s, 'parameters_absorbed', '{:,}'), join(s, 'hidden_units', '{:,}'),
      count_seeds(s), show(s.dev), show(s.test), show(error))


def _paper_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
  return tuple(str(row.get(key, NONE)) for key in (
      'architecture', 'printed_parameters', 'error'))
