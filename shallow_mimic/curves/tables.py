"""The report's tables: strings in rows, for the terminal and for HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from shallow_mimic.curves import summaries
from shallow_mimic.curves.summaries import Spread, Summary

NONE = '–'


class Table(NamedTuple):
  """Cells in rows, all as wide as the header; the first `words` are text."""

  title: str
  header: tuple[str, ...]
  rows: Sequence[tuple[str, ...]]
  words: int = 1


def make_score_table(points: Sequence[Summary]) -> Table:
  """A row per model and width, teachers and ensembles on top."""
  rows = [
      (s.model, str(s.width or NONE), join(s, 'parameters', '{:,}'),
       join(s, 'learning_rate', '{:g}'), count_seeds(s), show(s.dev),
       show(s.test)) for s in points]
  score = name_score(points)
  return Table(
      f'{score}: mean ± sd over seeds',
      ('model', 'width', 'parameters', 'learning rate', 'seeds', 'dev', 'test'),
      rows)


def format_text(table: Table) -> str:
  """The rows under the header, in columns, for the terminal."""
  lines = [table.header, *table.rows]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  texts = [
      '  '.join(cell.ljust(w) if i < table.words else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(line, widths, strict=True)))
      for line in lines]
  rule = '-' * len(texts[0])
  return '\n'.join(
      line.rstrip() for line in (table.title, '', texts[0], rule, *texts[1:])
  ) + '\n'


def name_score(points: Sequence[Summary]) -> str:
  """What a score is, with its unit."""
  is_speech = any(s.metric == 'per' for s in points)
  return '100 − phone error rate (%)' if is_speech else 'Accuracy (%)'


def show(value: Spread, digits: int = 1) -> str:
  """'74.0 ± 0.3', without sd for one seed, '–' for none."""
  if not value.count:
    return NONE
  mean = f'{value.mean:.{digits}f}'
  return mean if math.isnan(value.sd) else f'{mean} ± {value.sd:.{digits}f}'


def show_change(a: Summary | None, b: Summary | None) -> str:
  """The difference on test, signed: '+1.2 ± 0.4'."""
  if a is None or b is None:
    return NONE
  return signed(summaries.difference(a.test, b.test))


def signed(change: Spread) -> str:
  """A difference with its sign: '+1.2 ± 0.4'."""
  text = show(change).replace('-', '−')
  return f'+{text}' if change.mean >= 0 else text


def count_seeds(point: Summary) -> str:
  """How many members, and how many beside them diverged."""
  return name_seeds(len(point.members), len(point.diverged))


def name_seeds(kept: int, lost: int) -> str:
  """'3', or '2 (1 diverged)'."""
  return f'{kept}' + (f' ({lost} diverged)' if lost else '')


def join(point: Summary, field: str, form: str) -> str:
  """The one value of a field, or its range over seeds."""
  values = point.values(field)
  ends = dict.fromkeys(form.format(v) for v in (values[:1] + values[-1:]))
  return ' to '.join(ends) or NONE
