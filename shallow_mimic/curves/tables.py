"""The report's tables: strings in rows, for the terminal and for HTML."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shallow_mimic.curves import comparisons, summaries
from shallow_mimic.curves.summaries import Spread, Summary, times
from shallow_mimic.evaluation.records import (
  Record,
  choose_metric,
  record_order,
  score,
)

_NONE = '–'


class Table(NamedTuple):
  """Cells in rows, all as wide as the header; the first `words` are text."""

  title: str
  header: tuple[str, ...]
  rows: list[tuple[str, ...]]
  words: int = 1


def make_score_table(points: Sequence[Summary]) -> Table:
  """A row per model and width, teachers and ensembles on top."""
  rows = [
      (s.model, str(s.width or _NONE), _join(s, 'parameters', '{:,}'),
       _join(s, 'learning_rate', '{:g}'), count_seeds(s), show(s.dev),
       show(s.test)) for s in points]
  score = name_score(points)
  return Table(
      f'{score}: mean ± sd over seeds',
      ('model', 'width', 'parameters', 'learning rate', 'seeds', 'dev', 'test'),
      rows)


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
          str(row['model']), *[_NONE] * 3, str(row.get('parameters', _NONE)),
          *[_NONE] * 6, *_paper_cells(row)))
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


def make_gain_table(points: Sequence[Summary]) -> Table:
  """What logits add at equal inputs and nets, on test."""
  rows = []
  for gain in comparisons.find_gains(points):
    kinds = (gain.labels, gain.pseudo_labels, gain.logits)
    rows.append((
        gain.inputs, f'{gain.width}', gain.architecture,
        *[f'{show(s.test)} ({s.model})' if s else _NONE for s in kinds],
        *[show_change(gain.logits, other)
          for other in (gain.pseudo_labels, gain.labels)]))
  return Table(
      f'What logits add at equal inputs: {name_score(points)} on test',
      ('inputs', 'width', 'architecture', 'labels', 'pseudo-labels', 'logits',
       'logits − pseudo-labels', 'logits − labels'), rows)


def make_detail_table(points: Sequence[Summary]) -> Table:
  """Cost, probabilities and likeness to the teacher, on test."""
  percent = lambda s, metric: show(times(s.spread('test', metric), 100))
  rows = [
      (s.model, str(s.width or _NONE), _join(s, 'learning_rate', '{:g}'),
       _NONE if s.role == 'ensemble' else _join(s, 'best_step', '{}'),
       _join(s, 'multiply_adds', '{:,}'), _join(s, 'sequential_depth', '{}'),
       show(s.spread('test', 'nll'), 3),
       percent(s, 'ece'), percent(s, 'agreement'),
       show(s.spread('test', 'kl'), 3)) for s in points]
  return Table(
      'Cost, probabilities and likeness to the teacher, on test',
      ('model', 'width', 'learning rate', 'best step', 'multiply-adds',
       'sequential depth', 'NLL (nats)', 'ECE (%)', 'agreement (%)',
       'KL to teacher (nats)'), rows)


def make_search_table(records: Sequence[Record]) -> Table:
  """The learning-rate search on dev: the best at each rate, the chosen *.

  Means over the seeds of the search, without those that diverged.
  """
  groups, found = defaultdict(list), defaultdict(dict)
  searched = [r for r in sorted(records, key=record_order)
              if r['phase'] == 'search']
  metric = choose_metric(searched)
  for r in searched:
    key = r['model'], r['width'], r['learning_rate'], r.get('weight_decay')
    groups[key].append(r)
  for (model, width, rate, _), seeds in groups.items():
    mean = summaries.spread(
        score(r, 'dev', metric) for r in seeds
        if not r['diverged']).mean
    cell, row = (bool(seeds[0]['selected']), mean), found[model, width]
    row[rate] = max(cell, row.get(rate, cell),
                    key=lambda c: (c[0], not math.isnan(c[1]), c[1]))
  rates = sorted({r['learning_rate'] for r in searched})
  rows = [
      (model, str(width), *[_show_choice(row.get(rate)) for rate in rates])
      for (model, width), row in found.items()]
  return Table('Learning-rate search on dev (%), the chosen rate marked *',
               ('model', 'width', *map('{:g}'.format, rates)), rows)


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
    return _NONE
  mean = f'{value.mean:.{digits}f}'
  return mean if math.isnan(value.sd) else f'{mean} ± {value.sd:.{digits}f}'


def show_change(a: Summary | None, b: Summary | None) -> str:
  """The difference on test, signed: '+1.2 ± 0.4'."""
  if a is None or b is None:
    return _NONE
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
      s.model, s.inputs or _NONE, s.teacher or _NONE,
      s.net[1], _join(s, 'parameters', '{:,}'),
      _join(s, 'parameters_absorbed', '{:,}'), _join(s, 'hidden_units', '{:,}'),
      count_seeds(s), show(s.dev), show(s.test), show(error))


def _paper_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
  return tuple(str(row.get(key, _NONE)) for key in (
      'architecture', 'printed_parameters', 'error'))


def _join(point: Summary, field: str, form: str) -> str:
  """The one value of a field, or its range over seeds."""
  values = point.values(field)
  ends = dict.fromkeys(form.format(v) for v in (values[:1] + values[-1:]))
  return ' to '.join(ends) or _NONE


def _show_choice(cell: tuple[bool, float] | None) -> str:
  if cell is None:
    return _NONE
  chosen, value = cell
  text = 'diverged' if math.isnan(value) else f'{value:.1f}'
  return text + '*' * chosen
