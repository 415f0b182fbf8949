"""The report's tables of phone recognition; empty where nothing was spoken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shallow_mimic.curves import summaries, tables
from shallow_mimic.curves.summaries import Summary
from shallow_mimic.curves.tables import Table

_PERCENT = ('per', 'per_silence_forgiven', 'substitutions', 'deletions',
            'insertions', 'phone_accuracy', 'accuracy')
_ROWS = 15


def make_phone_table(points: Sequence[Summary]) -> Table:
  """Phone error rates and frames right on test, and what dev chose."""
  rows = []
  for s in [s for s in points if s.metric == 'per']:
    per = s.spread('dev', 'per')
    rows.append((
        s.model, str(s.width or '–'), tables.count_seeds(s),
        tables.show(summaries.times(per, 100)),
        *[tables.show(summaries.times(s.spread('test', name), 100))
          for name in _PERCENT],
        *[tables.show(s.spread('test', name), 2)
          for name in ('nll', 'phone_nll')],
        *[_range(s, name) for name in (
            'language_weight', 'insertion_penalty', 'prior_scale')]))
  return Table(
      'Phone recognition: test, in %, decoder chosen on dev for each net',
      ('model', 'width', 'seeds', 'PER on dev', 'PER', 'PER, silence forgiven',
       'substituted', 'deleted', 'inserted', 'frames right, 39 classes',
       'frames right, 183 states', 'NLL of states (nats)',
       'NLL of classes (nats)', 'language weight', 'insertion penalty',
       'prior scale'), rows)


def make_confusion_table(points: Sequence[Summary]) -> Table:
  """The commonest errors of the ensemble and the mimic that dev prefers.

  Counts on test, mean over seeds; of each net the commonest alone are known,
  and '–' stands for one that is not among them.
  """
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


def _count_confusions(point):
  total = Counter()
  for record in point.members:
    for said, found, count in record.get('confusions', ()):
      total[said, found] += count / len(point.members)
  return total


def _range(point, field):
  """The one value of a fact, or the least and the greatest over seeds."""
  values = point.values(field)
  ends = dict.fromkeys(f'{v:g}' for v in values[:1] + values[-1:])
  return ' to '.join(ends) or '–'
