"""What a net costs, how good its probabilities are, how like its teacher."""

from __future__ import annotations

from shallow_mimic.curves import comparisons
from shallow_mimic.curves.section import Context, Section
from shallow_mimic.curves.summaries import Summary, times
from shallow_mimic.curves.tables import NONE, Table, join, show


def make_detail_table(context: Context) -> Table:
  """Cost, probabilities and likeness to the teacher, on test."""
  rows = [
      (s.model, NONE if s.role == 'ensemble' else comparisons.name_loss(s),
       str(s.width or NONE), join(s, 'learning_rate', '{:g}'),
       NONE if s.role == 'ensemble' else join(s, 'best_step', '{}'),
       join(s, 'multiply_adds', '{:,}'), join(s, 'sequential_depth', '{}'),
       show(s.spread('test', 'nll'), 3),
       _show_percent(s, 'ece'), _show_percent(s, 'agreement'),
       show(s.spread('test', 'kl'), 3)) for s in context.points]
  return Table(
      'Cost, probabilities and likeness to the teacher, on test',
      ('model', 'loss', 'width', 'learning rate', 'best step',
       'multiply-adds', 'sequential depth', 'NLL (nats)', 'ECE (%)',
       'agreement (%)', 'KL to teacher (nats)'), rows, words=2)


def _show_percent(point: Summary, metric: str) -> str:
  return show(times(point.spread('test', metric), 100))


SECTION = Section(name='table_details', tabulate=make_detail_table)
