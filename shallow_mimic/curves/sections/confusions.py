"""The phones confused most; nothing where nothing was spoken."""

from __future__ import annotations

from collections import Counter

from shallow_mimic.curves import summaries
from shallow_mimic.curves.section import Context, Section
from shallow_mimic.curves.summaries import Summary
from shallow_mimic.curves.tables import Table

_ROWS = 15


def make_confusion_table(context: Context) -> Table:
  """The commonest errors of the ensemble and the mimic that dev prefers.

  Counts on test, mean over seeds; of each net the commonest alone are known,
  and '–' stands for one that is not among them.
  """
  points = context.points
  chosen = [summaries.find_best(some) for some in (
      [s for s in points if s.role == 'ensemble' and s.metric == 'per'],
      [s for s in points if s.role == 'student' and s.teacher
       and s.metric == 'per']) if some]
  counts = [_count_confusions(s) for s in chosen]
  names = [f'{s.model} {s.width or ""}'.strip() for s in chosen]
  rows = [
      (pair[0] or '(nothing)', pair[1] or '(nothing)',
       *[f'{one[pair]:.3g}' if pair in one else '–' for one in counts])
      for pair, _ in sorted(
          sum(counts, Counter()).items(), key=lambda item: (-item[1], item[0])
      )[:_ROWS]]
  return Table(
      'Phones confused most, of 39: counts on test, mean over seeds',
      ('said', 'recognised', *names), rows, words=2)


def _count_confusions(point: Summary) -> Counter:
  total: Counter = Counter()
  for record in point.members:
    for said, found, count in record.confusions or ():
      total[said, found] += count / len(point.members)
  return total


SECTION = Section(
    name='table_confusions', tabulate=make_confusion_table,
    find=lambda context: make_confusion_table(context).rows)
