"""What the figures show, in plain words made from the numbers.

A difference counts where it is larger than its own sd over seeds, else the two
are level; with one seed there is no sd, and the words say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from shallow_mimic.curves import summaries
from shallow_mimic.curves.summaries import Spread, Summary
from shallow_mimic.curves.tables import signed
from shallow_mimic.evaluation.records import Record

Pair = tuple[Summary, Summary]


def say_lost(points: Sequence[Summary]) -> list[str]:
  """Which members diverged; empty if none did."""
  lost = [r for s in points for r in s.diverged]
  if not lost:
    return []
  names = ', '.join(_name_member(r) for r in lost)
  return [f'{count(len(lost), "member")} diverged and'
          f' {"is" if len(lost) == 1 else "are"} left out of every mean:'
          f' {names}.']


def count_leads(pairs: Sequence[Pair]) -> str:
  """At how many widths the first of each pair is ahead on test, and how far."""
  changes = [(summaries.difference(a.test, b.test), a.width)
             for a, b in pairs if a.test.count and b.test.count]
  if not changes:
    return 'no test results.'
  signs = [sign(change) for change, _ in changes]
  counts = ', '.join(
      f'{word} at {signs.count(sign)}' for word, sign in
      (('ahead', 1), ('level', 0), ('behind', -1)) if sign in signs)
  ends = [min(changes), max(changes)]
  reach = ' to '.join(dict.fromkeys(
      f'{signed(change)} points (width {width})' for change, width in ends))
  doubt = ('; by sign alone, for one seed has no spread'
           if any(math.isnan(change.sd) for change, _ in changes) else '')
  return f'{counts} of {count(len(changes), "width")}, {reach}{doubt}.'


def sign(change: Spread) -> int:
  """1 or -1 where it is more than its sd (0 if unknown), else 0."""
  bound = 0.0 if math.isnan(change.sd) else change.sd
  return (change.mean > bound) - (change.mean < -bound)


def _name_member(r: Record) -> str:
  width = f' width {r.width}' if r.width else ''
  return f'{r.model}{width} seed {r.seed}'


def count(number: int, word: str) -> str:
  """'1 width', '2 widths'."""
  return f'{number} {word}' + ('' if number == 1 else 's')
