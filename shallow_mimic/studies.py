"""Figures and sections that are there only where the records hold a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from shallow_mimic import fidelity, loss_study, transfer_sizes
from shallow_mimic.curves import drawing
from shallow_mimic.curves.drawing import Image
from shallow_mimic.curves.page import Section
from shallow_mimic.curves.summaries import Summary


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
        transfer_sizes.read_sizes),
    'figure_losses': Study(
        loss_study.find_study, loss_study.draw_losses,
        'Losses. Mimics that differ in nothing else',
        'Test set; the best on dev on top. The same inputs, teacher and steps;'
        ' the learning rate of each is chosen on dev. "Logits" are normalised'
        ' (eq. 1). Bars: ± sd over seeds.',
        loss_study.read_losses, loss_study.make_loss_table),
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
    sections.append(Section(table.title, readings=fidelity.read_likeness(
        points), table=table))
  return sections
