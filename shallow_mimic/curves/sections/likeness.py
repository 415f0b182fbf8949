"""How like its teacher a student is.

As Stanton et al. 2021 (arXiv 2106.05945) report it: agreement and KL on train
and test, and agreement with a teacher that it did not learn from.
"""

from __future__ import annotations

from shallow_mimic.curves import summaries
from shallow_mimic.curves.section import Context, Section
from shallow_mimic.curves.summaries import times
from shallow_mimic.curves.tables import Table, show


def make_likeness_table(context: Context) -> Table:
  """Agreement and KL, to the own teacher on train and test, to another."""
  metrics = (('train', 'agreement'), ('test', 'agreement'),
             ('test', 'agreement_independent'), ('train', 'kl'), ('test', 'kl'),
             ('test', 'kl_independent'))
  rows = []
  for s in context.points:
    cells = [
        show(s.spread(split, metric), 3) if metric.startswith('kl') else
        show(times(s.spread(split, metric), 100)) for split, metric in metrics]
    if s.role == 'student' and s.spread('train', 'agreement').count:
      train = show(times(s.spread('train', 'accuracy'), 100))
      rows.append((s.model, s.teacher or '–', str(s.width), train, *cells))
  return Table(
      'Likeness to the teacher, on train and test, and to an independent one',
      ('model', 'teacher', 'width', 'accuracy on train (%)',
       'agreement on train (%)', 'on test', 'with independent', 'KL on train'
       ' (nats)', 'on test', 'to independent'), rows, words=2)


def say_likeness(context: Context) -> list[str]:
  """What an independent teacher says of the best main mimic."""
  mimics = [s for s in context.points if s.role == 'student' and s.teacher
            and s.is_main and s.spread('test', 'agreement_independent').count]
  if not mimics:
    return []
  best = summaries.find_best(mimics)
  own, other = (times(best.spread('test', metric), 100)
                for metric in ('agreement', 'agreement_independent'))
  return [
      f'{best.model} of width {best.width} decides as its teacher on'
      f' {show(own)} % of test, and as a teacher that it never met on'
      f' {show(other)} %; the second owes nothing to imitation.']


SECTION = Section(
    name='table_likeness', tabulate=make_likeness_table, say=say_likeness,
    find=lambda context: make_likeness_table(context).rows)
