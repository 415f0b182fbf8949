"""The report as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import NamedTuple

from shallow_mimic.curves.drawing import Image
from shallow_mimic.curves.tables import Table

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
h2.chapter { font-size: 1.4rem; margin-top: 4rem; padding-top: 1rem;
  border-top: 2px solid #888; }
h3 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
figcaption, .small { color: #555; font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right;
  border-bottom: 1px solid #e4e4e4; }
th { border-bottom: 1px solid #888; font-weight: 600; }
.word { text-align: left; }
"""
_DEFINITIONS = (
    'Parameters are true counts of the nets as trained; "absorbed" counts the'
    ' same net after a linear bottleneck is multiplied out.',
    'Training step, learning rate and weight decay are chosen on dev; test is'
    ' computed once, for what was chosen.',
    'Values are means ± sample standard deviation over seeds; one seed has no'
    ' ±. Bars and bands in figures are the same sd. It does not contain the'
    ' chance in which examples the test set holds.',
    'The sd of a difference is √(sd² + sd²). Two values are called level where'
    ' they are no further apart than that.',
    'Agreement is the share of inputs on which student and teacher name the'
    ' same class; a net on labels is compared to the teacher of most plain'
    ' mimics.',
)


class Part(NamedTuple):
  """A section as the page shows it: a figure, a table, what to read in it."""

  title: str
  caption: str = ''
  image: Image | None = None
  readings: Sequence[str] = ()
  table: Table | None = None


class Chapter(NamedTuple):
  """All that a page shows of one of several runs."""

  title: str
  parts: Sequence[Part]
  notes: Sequence[str] = ()


def make_page(
    title: str, parts: Sequence[Part], notes: Sequence[str] = (),
    chapters: Sequence[Chapter] = (),
) -> str:
  """A whole page: its parts, its chapters, then notes and definitions.

  Figures are inlined, so the page shows without its folder; the links to the
  files beside it need that folder.
  """
  body = [
      f'<h1>{_escape(title)}</h1>',
      '<p class="small">All numbers: <a href="results.csv">results.csv</a>.'
      ' Figures as files: <a href="figures/">figures/</a> (PNG and SVG).</p>',
      *_link_chapters(chapters), *map(format_part, parts),
      *(line for number, chapter in enumerate(chapters, 1)
        for line in _format_chapter(number, chapter)),
      '<h2>Notes and definitions</h2>', _make_list((*notes, *_DEFINITIONS))]
  return (
      '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
      '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
      f'<title>{_escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n'
      '<body>\n' + '\n'.join(body) + '\n</body>\n</html>\n')


def _link_chapters(chapters: Sequence[Chapter]) -> list[str]:
  links = ' · '.join(
      f'<a href="#run-{number}">{number}. {_escape(chapter.title)}</a>'
      for number, chapter in enumerate(chapters, 1))
  return [f'<p class="small">Each by itself: {links}</p>'] if links else []


def _format_chapter(number: int, chapter: Chapter) -> list[str]:
  notes = ['<h3>Notes</h3>', _make_list(chapter.notes)]
  return [
      f'<h2 class="chapter" id="run-{number}">{number}.'
      f' {_escape(chapter.title)}</h2>',
      *(format_part(part, level=3) for part in chapter.parts),
      *(notes if chapter.notes else ())]


def format_part(part: Part, level: int = 2) -> str:
  """A part as HTML, under a heading of some level."""
  lines = [f'<h{level}>{_escape(part.title)}</h{level}>']
  if part.image:
    data = base64.b64encode(part.image.svg).decode()
    lines.append(
        f'<figure><img src="data:image/svg+xml;base64,{data}"'
        f' alt="{_escape(part.title)}. {_escape(part.caption)}">'
        f'<figcaption>{_escape(part.caption)}</figcaption></figure>')
  lines.append(_make_list(part.readings))
  if part.table and part.table.rows:
    lines.append(_make_table(part.table))
  return '\n'.join(line for line in lines if line)


def _make_list(lines: Sequence[str]) -> str:
  items = ''.join(f'<li>{_escape(line)}</li>' for line in lines)
  return f'<ul>{items}</ul>' if items else ''


def _make_table(table: Table) -> str:
  rows = [_make_row('th', table.header, table.words)]
  rows += [_make_row('td', row, table.words) for row in table.rows]
  return ('<div class="wide"><table>\n<thead>' + rows[0] + '</thead>\n<tbody>'
          + '\n'.join(rows[1:]) + '</tbody>\n</table></div>')


def _make_row(tag: str, cells: Sequence[str], words: int) -> str:
  return '<tr>' + ''.join(
      f'<{tag}{" class=word" if i < words else ""}>{_escape(cell)}</{tag}>'
      for i, cell in enumerate(cells)) + '</tr>'


def _escape(text: str) -> str:
  return html.escape(text)
