"""Phone error rates and frames right; nothing where nothing was spoken."""

from __future__ import annotations

from shallow_mimic.curves import summaries, tables
from shallow_mimic.curves.section import Context, Section
from shallow_mimic.curves.summaries import Summary
from shallow_mimic.curves.tables import Table

_PERCENT = ('per', 'per_silence_forgiven', 'substitutions', 'deletions',
            'insertions', 'phone_accuracy', 'accuracy')


def make_phone_table(context: Context) -> Table:
  """Phone error rates and frames right on test, and what dev chose."""
  rows = []
  for s in [s for s in context.points if s.metric == 'per']:
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


def _range(point: Summary, field: str) -> str:
  """The one value of a fact, or the least and the greatest over seeds."""
  values = point.values(field)
  ends = dict.fromkeys(f'{v:g}' for v in values[:1] + values[-1:])
  return ' to '.join(ends) or '–'


SECTION = Section(
    name='table_phones', tabulate=make_phone_table,
    find=lambda context: make_phone_table(context).rows)
