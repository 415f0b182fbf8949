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

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from shallow_mimic import latency_figure, phone_tables, studies
from shallow_mimic.curves import panels, summaries, tables, wording
from shallow_mimic.curves.page import Section, make_page
from shallow_mimic.curves.results import format_csv
from shallow_mimic.curves.summaries import Summary
from shallow_mimic.evaluation.records import Record, choose_metric
from shallow_mimic.runs import files


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
  images = panels.draw_figures(points, figure_width)
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
  page = make_page(title, sections, notes)
  files.write_text(directory / 'index.html', page)
  return directory / 'index.html'


def format_table(records: Sequence[Record], title: str = '') -> str:
  """For the terminal: a row per model and width, teachers on top."""
  points = summaries.summarise(records)
  table = tables.make_score_table(points)
  if title:
    table = table._replace(title=f'{title}: {table.title}')
  text = tables.format_text(table)
  lost = wording.read_lost(points)
  return text + ''.join(f'\n{line}\n' for line in lost)


def _figure_sections(
    points: Sequence[Summary], images: Mapping[str, Any],
    figure_width: int | None,
) -> list[Section]:
  return [
      Section('Figure 1. Accuracy against number of parameters',
              'Main curves; horizontal lines are teachers. Bars: ± sd over'
              ' seeds.', images['figure1_accuracy'],
              [*wording.read_accuracy(points), *wording.read_lost(points)]),
      Section('Figure 1, controls. What the targets add at equal inputs',
              'Test set; a panel for each set of inputs, one y axis. Bars:'
              ' ± sd over seeds.', images['figure1_controls'],
              wording.read_controls(points), tables.make_gain_table(points)),
      Section('Figure 2. Accuracy on dev during training',
              'Mean over seeds, ± sd shaded; the marker is at the highest'
              ' mean.', images['figure2_overfitting'],
              wording.read_histories(points, figure_width)),
      Section('Figure 3. Student against teacher',
              'Dev set. Along a line width, inputs and objective are the same'
              ' and the teacher changes. Bars: ± sd over seeds.',
              images['figure3_teachers'], wording.read_sweeps(points)),
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
      (wording.read_search(records), tables.make_search_table(records))]
  return [Section(table.title, readings=lines, table=table)
          for lines, table in found]
