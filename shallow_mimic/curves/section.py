"""Section: one figure or table of the report, and how the page shows it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from absl import logging

from shallow_mimic.curves import drawing, page, summaries
from shallow_mimic.curves.page import Part
from shallow_mimic.curves.summaries import Summary
from shallow_mimic.curves.tables import Table
from shallow_mimic.evaluation.records import Record
from shallow_mimic.registry import Registry


@dataclasses.dataclass(frozen=True)
class Context:
  """What a report is made of; all that a section is given.

  Attributes:
    records: one for every net, those of the search of learning rates too.
    title: the report's.
    figure_width: the width of students in the overfitting figure; None: the
      one at which most main models have a history.
    paper_rows: rows of the paper's table, see `write_report`.
    main_teacher: see `summaries.main_teacher`.
  """

  records: Sequence[Record]
  title: str = ''
  figure_width: int | None = None
  paper_rows: Sequence[Mapping[str, Any]] = ()
  main_teacher: str = ''

  @functools.cached_property
  def points(self) -> tuple[Summary, ...]:
    """Means over seeds: one for each model and width, teachers first."""
    return tuple(summaries.summarise(
        self.records, main_teacher=self.main_teacher))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
  """One figure or table of the report, or both, and sentences about them.

  A config file adds one of its own; it comes after ours:

      import shallow_mimic
      from shallow_mimic import curves

      def find(context):
        return [s for s in context.points if s.role == 'student']

      def draw(context):
        figure, panels = curves.drawing.make_panels(1, width=4, height=3)
        for s in find(context):
          panels[0, 0].plot(s.width, s.test.mean, 'o')
        return figure

      def say(context):
        return [f'{len(find(context))} models and widths are shown.']

      shallow_mimic.register(curves.Section(
          name='figure_mine', version='1', title='Test accuracy over width',
          find=find, draw=draw, say=say))

  Its four functions each take a `Context`, and are left out where there is
  nothing for them to do. If one of them fails, the page says so in the
  section's place, and the rest of the report is as it would be without it.

  Attributes:
    name: letters, digits, - and _; also that of its files in `figures`.
    version: '1' and so on, to be changed whenever the section changes.
    title: its heading on the page; '' for the title of its table.
    caption: a line below the figure, or a function that makes it.
    find: what it shows; where that is empty, the report has no such section.
    draw: makes a `matplotlib.figure.Figure`, without pyplot. A `$` in a text
      is drawn as it is written, unless the text has `parse_math=True`.
    say: makes sentences in plain words.
    tabulate: makes a `Table`; one without rows is not shown.
  """

  name: str
  version: str = ''
  title: str = ''
  caption: str | Callable[[Context], str] = ''
  find: Callable[[Context], object] | None = None
  draw: Callable[[Context], Any] | None = None
  say: Callable[[Context], Sequence[str]] | None = None
  tabulate: Callable[[Context], Table] | None = None

  registry: ClassVar[Registry[Section]]  # Filled in `curves.sections`.


def make_part(section: Section, context: Context) -> Part | None:
  """What the page shows of a section; None where it has nothing to show.

  A user's section that fails is a warning, and a line in the section's place.
  """
  try:
    return _make_part(section, context)
  except Exception as error:
    if not section.version:
      raise
    first, _, _ = str(error).partition('\n')
    line = (f'The section {section.name!r} fails ({type(error).__name__}:'
            f' {first}); the rest of the report is written without it.')
    logging.warning('%s', line)
    return Part(section.title or section.name, readings=[line])


def _make_part(section: Section, context: Context) -> Part | None:
  if section.find and not section.find(context):
    return None
  image = drawing.render(section.draw, context) if section.draw else None
  said = section.say(context) if section.say else ()
  table = section.tabulate(context) if section.tabulate else None
  caption = section.caption
  part = Part(
      section.title or (table.title if table else section.name),
      caption if isinstance(caption, str) else caption(context),
      image, [said] if isinstance(said, str) else list(said), table)
  page.format_part(part)  # Here it can still be told whose mistake it is.
  return part


def find_versions() -> dict[str, str]:
  """The versions of the sections that users added, by name."""
  return Section.registry.versions()
