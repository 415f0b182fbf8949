"""Stage 5: records of all nets → results.csv, figures, tables, index.html."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from shallow_mimic.curves import drawing, summaries, tables, wording
from shallow_mimic.curves.page import Part, make_page
from shallow_mimic.curves.results import format_csv
from shallow_mimic.curves.section import Context, Section, make_part
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
    records: one for every net, see `evaluation.records.Record`.
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
  files.write_text(directory / 'results.csv', format_csv(records))
  files.write_text(directory / 'table.txt', format_table(records, title))
  parts = make_parts(Context(
      records, title, figure_width, paper_rows, main_teacher))
  write_images(directory / 'figures', parts)
  drawing.warn_missing(part.image for part in parts.values())
  page = make_page(
      title, list(parts.values()), (*notes, *say_metric(records)))
  files.write_text(directory / 'index.html', page)
  return directory / 'index.html'


def make_parts(context: Context) -> dict[str, Part]:
  """What the page shows of every section that has something to show."""
  return {name: part for name, section in Section.registry.items()
          if (part := make_part(section, context))}


def write_images(folder: pathlib.Path, parts: Mapping[str, Part]) -> None:
  """The figures of some parts as files, by the parts' names."""
  for name, part in parts.items():
    if part.image:
      files.write_bytes(folder / f'{name}.png', part.image.png)
      files.write_bytes(folder / f'{name}.svg', part.image.svg)


def say_metric(records: Sequence[Record]) -> list[str]:
  """What accuracy means, where it is not the share of right answers."""
  return (['Accuracy means 100 − phone error rate (PER).']
          if choose_metric(records) == 'per' else [])


def format_table(records: Sequence[Record], title: str = '') -> str:
  """For the terminal: a row per model and width, teachers on top."""
  points = summaries.summarise(records)
  table = tables.make_score_table(points)
  if title:
    table = table._replace(title=f'{title}: {table.title}')
  text = tables.format_text(table)
  lost = wording.say_lost(points)
  return text + ''.join(f'\n{line}\n' for line in lost)
