"""Stage 5: records of all nets → results.csv, figures, tables, index.html.

A record is a JSON dict with the keys model, role (teacher, ensemble or
student), objective, inputs (the sets trained on), inputs_count (how many they
are), teacher ('' for labels), architecture, width (0 for teachers and
ensembles), seed, learning_rate (None for ensembles), parameters,
parameters_absorbed, multiply_adds, hidden_units, sequential_depth, phase
('search' of the learning rate, or 'final'), selected,
best_step, diverged, metrics (split → metric → value; fractions, not per cent)
and, if kept, history (lists step, dev_accuracy, train_loss), weight_decay, the
constants of its loss (temperature, alpha, beta, gamma), calibration (its bins
on test: lists counts, confidences, corrects), latency_ms_1, latency_ms_256
(milliseconds), latency_device, and for speech what `recognition` adds.
A model with '/' in its name is a control: it is kept out of figure 1.
"""

from __future__ import annotations

import csv
import io
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shallow_mimic import (
  figures,
  latency_figure,
  phone_tables,
  readings,
  report,
  studies,
  summaries,
  tables,
)
from shallow_mimic.evaluation import records
from shallow_mimic.evaluation.records import Record, choose_metric
from shallow_mimic.report import Section
from shallow_mimic.runs import files
from shallow_mimic.summaries import Summary

COLUMNS = ('model', 'role', 'objective', 'width', 'seed', 'learning_rate',
           'parameters', 'multiply_adds', 'split', 'metric', 'value',
           'selected')
# Facts of a net that have no column: rows whose split is ''.
_FACTS = ('alpha', 'best_step', 'beta', 'diverged', 'gamma', 'hidden_units',
          'inputs_count', 'insertion_penalty', 'language_weight',
          'latency_ms_1', 'latency_ms_1_factored', 'latency_ms_256',
          'latency_ms_256_factored', 'parameters_absorbed', 'prior_scale',
          'sequential_depth', 'temperature', 'weight_decay')


def write_report(
    directory: os.PathLike | str, records: Sequence[Record], *, title: str,
    notes: Sequence[str], figure_width: int | None,
    paper_rows: Sequence[Mapping[str, Any]] = (),
) -> pathlib.Path:
  """Writes all of a report; equal records, in any order, give equal bytes.

  Args:
    directory: gets results.csv, table.txt, index.html and figures/*.png, *.svg.
    records: see above.
    title: the page's heading.
    notes: sentences for the end of the page.
    figure_width: the width in the overfitting figure; None: the one at which
      most main models have a history.
    paper_rows: dicts with model, architecture, printed_parameters and error
      of the paper's table, to stand beside ours.

  Returns:
    The path of index.html.

  Raises:
    UserError: the disk is full or the directory cannot be written.
  """
  directory = pathlib.Path(directory)
  points = summaries.summarise(records)
  files.write_text(directory / 'results.csv', format_csv(records))
  files.write_text(directory / 'table.txt', format_table(records, title))
  images = figures.draw_figures(points, figure_width)
  images |= latency_figure.draw_latencies(points)
  images |= studies.draw_studies(points)
  for name, image in images.items():
    files.write_bytes(directory / 'figures' / f'{name}.png', image.png)
    files.write_bytes(directory / 'figures' / f'{name}.svg', image.svg)
  sections = [
      *_figure_sections(points, images, figure_width),
      *latency_figure.make_sections(points, images),
      *studies.make_sections(points, images),
      *_table_sections(points, records, paper_rows, title)]
  if choose_metric(records) == 'per':
    notes = (*notes, 'Accuracy means 100 − phone error rate (PER).')
  page = report.make_page(title, sections, notes)
  files.write_text(directory / 'index.html', page)
  return directory / 'index.html'


def format_csv(records: Sequence[Record]) -> str:
  """results.csv: a row per record, split and metric, in a fixed order.

  Numbers of the learning-rate search have `search_` before the metric's name;
  facts of a net without a column of their own have no split.
  """
  text = io.StringIO()
  writer = csv.DictWriter(text, COLUMNS, lineterminator='\n')
  writer.writeheader()
  for record in sorted(records, key=_total_order):
    writer.writerows(_csv_rows(record))
  return text.getvalue()


def format_table(records: Sequence[Record], title: str = '') -> str:
  """For the terminal: a row per model and width, teachers on top."""
  points = summaries.summarise(records)
  table = tables.make_score_table(points)
  if title:
    table = table._replace(title=f'{title}: {table.title}')
  text = tables.format_text(table)
  lost = readings.read_lost(points)
  return text + ''.join(f'\n{line}\n' for line in lost)


def _total_order(record: Record) -> tuple:
  return (*records.record_order(record), json.dumps(record, sort_keys=True))


def _csv_rows(record: Record) -> Iterator[dict[str, str]]:
  head = {column: _format_cell(record.get(column)) for column in COLUMNS[:8]}
  head['selected'] = _format_cell(record['selected'])
  prefix = 'search_' if record['phase'] == 'search' else ''
  cells = [(split, metric, value)
           for split, metrics in sorted(record['metrics'].items())
           for metric, value in sorted(metrics.items())]
  cells += [('', fact, record[fact]) for fact in _FACTS if fact in record]
  for split, metric, value in cells:
    yield head | {'split': split, 'metric': prefix + metric,
                  'value': _format_cell(value)}


def _format_cell(value: Any) -> str:
  """Empty for None; floats so that they read back the same."""
  if value is None:
    return ''
  return repr(value) if isinstance(value, float) else str(value)


def _figure_sections(
    points: Sequence[Summary], images: Mapping[str, Any],
    figure_width: int | None,
) -> list[Section]:
  return [
      Section('Figure 1. Accuracy against number of parameters',
              'Main curves; horizontal lines are teachers. Bars: ± sd over'
              ' seeds.', images['figure1_accuracy'],
              [*readings.read_accuracy(points), *readings.read_lost(points)]),
      Section('Figure 1, controls. What the targets add at equal inputs',
              'Test set; a panel for each set of inputs, one y axis. Bars:'
              ' ± sd over seeds.', images['figure1_controls'],
              readings.read_controls(points), tables.make_gain_table(points)),
      Section('Figure 2. Accuracy on dev during training',
              'Mean over seeds, ± sd shaded; the marker is at the highest'
              ' mean.', images['figure2_overfitting'],
              readings.read_histories(points, figure_width)),
      Section('Figure 3. Student against teacher',
              'Dev set. Along a line width, inputs and objective are the same'
              ' and the teacher changes. Bars: ± sd over seeds.',
              images['figure3_teachers'], readings.read_sweeps(points)),
  ]


def _table_sections(
    points: Sequence[Summary], records: Sequence[Record],
    paper_rows: Sequence[Mapping[str, Any]], title: str,
) -> list[Section]:
  sizes = tables.make_size_table(points, paper_rows)
  found = [
      ((), sizes._replace(title=f'{title}: {sizes.title}')),
      *[((), table) for table in (
          phone_tables.make_phone_table(points),
          phone_tables.make_confusion_table(points)) if table.rows],
      ((), tables.make_detail_table(points)),
      (readings.read_search(records), tables.make_search_table(records))]
  return [Section(table.title, readings=lines, table=table)
          for lines, table in found]
