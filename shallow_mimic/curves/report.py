"""Stage 5: records of all nets → results.csv, figures, tables, index.html.

A record is a JSON dict with the keys model, role (teacher, ensemble or
student), objective, inputs (the sets trained on), inputs_count (how many they
are), teacher ('' for labels), architecture, width (0 for teachers and
ensembles), seed, learning_rate (None for ensembles), parameters,
parameters_absorbed, multiply_adds, hidden_units, sequential_depth, phase
('search' of the learning rate, or 'final'), selected,
best_step, diverged, metrics (split → metric → value; fractions, not per cent)
and, if kept, history (lists step, dev_accuracy, train_loss), weight_decay, the
constants of its loss (by their names), calibration (its bins
on test: lists counts, confidences, corrects), latency_ms_1, latency_ms_256
(milliseconds), latency_device, and for speech what `recognition` adds.
A model with '/' in its name is a control: it is kept out of figure 1.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from shallow_mimic.curves import summaries, tables, wording
from shallow_mimic.curves.page import make_page
from shallow_mimic.curves.results import format_csv
from shallow_mimic.curves.sections import latency, registry
from shallow_mimic.curves.sections.registry import (
  figure_sections,
  table_sections,
)
from shallow_mimic.evaluation.records import Record, choose_metric
from shallow_mimic.runs import files


def write_report(
    directory: os.PathLike | str, records: Sequence[Record], *, title: str,
    notes: Sequence[str], figure_width: int | None,
    paper_rows: Sequence[Mapping[str, Any]] = (), main_teacher: str = '',
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
    main_teacher: see `summaries.main_teacher`.

  Returns:
    The path of index.html.

  Raises:
    UserError: the disk is full or the directory cannot be written.
  """
  directory = pathlib.Path(directory)
  points = summaries.summarise(records, main_teacher=main_teacher)
  files.write_text(directory / 'results.csv', format_csv(records))
  files.write_text(directory / 'table.txt', format_table(records, title))
  images = registry.draw_figures(points, figure_width)
  images |= latency.draw_latencies(points)
  images |= registry.draw_studies(points)
  for name, image in images.items():
    files.write_bytes(directory / 'figures' / f'{name}.png', image.png)
    files.write_bytes(directory / 'figures' / f'{name}.svg', image.svg)
  sections = [
      *figure_sections(points, images, figure_width),
      *latency.make_sections(points, images),
      *registry.make_sections(points, images),
      *table_sections(points, records, paper_rows, title)]
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
  lost = wording.say_lost(points)
  return text + ''.join(f'\n{line}\n' for line in lost)
