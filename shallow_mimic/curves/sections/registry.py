"""Figures and sections that are there only where the records hold a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from shallow_mimic.curves import drawing, wording
from shallow_mimic.curves.drawing import Image
from shallow_mimic.curves.page import Section
from shallow_mimic.curves.sections import (
  accuracy,
  controls,
  fidelity,
  loss_study,
  overfitting,
  phone_errors,
  rate_search,
  student_vs_teacher,
  transfer_sizes,
)
from shallow_mimic.curves.sections.accuracy import draw_accuracy
from shallow_mimic.curves.sections.controls import draw_controls
from shallow_mimic.curves.sections.overfitting import draw_histories
from shallow_mimic.curves.sections.sizes import (
  make_detail_table,
  make_size_table,
)
from shallow_mimic.curves.sections.student_vs_teacher import draw_sweeps
from shallow_mimic.curves.summaries import Summary
from shallow_mimic.evaluation.records import Record


def draw_figures(
    points: Sequence[Summary], figure_width: int | None = None,
) -> dict[str, Image]:
  """Every figure by the name of its file, in the order of the report.

  `figure_width` is the students' width in the overfitting figure (None: where
  most main models meet).
  """
  return {
      'figure1_accuracy': drawing.render(draw_accuracy, points),
      'figure1_controls': drawing.render(draw_controls, points),
      'figure2_overfitting': drawing.render(
          draw_histories, points, figure_width),
      'figure3_teachers': drawing.render(draw_sweeps, points),
  }


def figure_sections(
    points: Sequence[Summary], images: Mapping[str, Any],
    figure_width: int | None,
) -> list[Section]:
  """The sections of the paper's figures."""
  return [
      Section('Figure 1. Accuracy against number of parameters',
              'Main curves; horizontal lines are teachers. Bars: ± sd over'
              ' seeds.', images['figure1_accuracy'],
              [*accuracy.say_accuracy(points), *wording.say_lost(points)]),
      Section('Figure 1, controls. What the targets add at equal inputs',
              'Test set; a panel for each set of inputs, one y axis. Bars:'
              ' ± sd over seeds.', images['figure1_controls'],
              controls.say_controls(points), controls.make_gain_table(points)),
      Section('Figure 2. Accuracy on dev during training',
              'Mean over seeds, ± sd shaded; the marker is at the highest'
              ' mean.', images['figure2_overfitting'],
              overfitting.say_histories(points, figure_width)),
      Section('Figure 3. Student against teacher',
              'Dev set. Along a line width, inputs and objective are the same'
              ' and the teacher changes. Bars: ± sd over seeds.',
              images['figure3_teachers'],
              student_vs_teacher.say_sweeps(points)),
  ]


def table_sections(
    points: Sequence[Summary], records: Sequence[Record],
    paper_rows: Sequence[Mapping[str, Any]], title: str,
) -> list[Section]:
  """The sections of the tables that every report has."""
  sizes = make_size_table(points, paper_rows)
  found = [
      ((), sizes._replace(title=f'{title}: {sizes.title}')),
      *[((), table) for table in (
          phone_errors.make_phone_table(points),
          phone_errors.make_confusion_table(points)) if table.rows],
      ((), make_detail_table(points)),
      (rate_search.say_search(records), rate_search.make_search_table(records))]
  return [Section(table.title, readings=lines, table=table)
          for lines, table in found]


class Study(NamedTuple):
  """How a study is found, drawn and told.

  `find` is false of points that hold none.
  """

  find: Callable[[Sequence[Summary]], Any]
  draw: Callable[[Sequence[Summary]], Any]
  title: str
  caption: str
  read: Callable[[Sequence[Summary]], list[str]]
  make_table: Callable | None = None


STUDIES: dict[str, Study] = {
    'figure_transfer_size': Study(
        transfer_sizes.find_lines, transfer_sizes.draw_sizes,
        'Transfer size. Mimics against the number of their inputs',
        'Test set. Along a line net, loss and teacher are the same and the'
        ' number of inputs changes; hollow and dashed: without the training'
        ' inputs; horizontal: the teacher. Bars: ± sd over seeds.',
        transfer_sizes.say_sizes),
    'figure_losses': Study(
        loss_study.find_study, loss_study.draw_losses,
        'Losses. Mimics that differ in nothing else',
        'Test set; the best on dev on top. The same inputs, teacher and steps;'
        ' the learning rate of each is chosen on dev. "Logits" are normalised'
        ' (eq. 1). Bars: ± sd over seeds.',
        loss_study.say_losses, loss_study.make_loss_table),
    'figure_reliability': Study(
        fidelity.find_reliability, fidelity.draw_reliability,
        'Reliability. Confidence and the share right',
        'Test set, all seeds together, bins of 1/15; those with fewer than ten'
        ' inputs are left out. Below the diagonal a net is surer than it has'
        ' reason to be.', lambda points: []),
}


def draw_studies(points: Sequence[Summary]) -> dict[str, Image]:
  """A figure by the name of its file for every study that is there."""
  return {name: drawing.render(study.draw, points)
          for name, study in STUDIES.items() if study.find(points)}


def make_sections(
    points: Sequence[Summary], images: Mapping[str, Image],
) -> list[Section]:
  """A section for each of those figures, and likeness to the teacher."""
  sections = []
  for name, study in STUDIES.items():
    if name in images:
      table = study.make_table(points) if study.make_table else None
      sections.append(Section(study.title, study.caption, images[name],
                              study.read(points), table))
  table = fidelity.make_likeness_table(points)
  if table.rows:
    sections.append(Section(table.title, readings=fidelity.say_likeness(
        points), table=table))
  return sections
