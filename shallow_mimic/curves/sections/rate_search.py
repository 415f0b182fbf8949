"""The search of learning rates, and what it chose."""

from __future__ import annotations

import math
from collections import defaultdict

from shallow_mimic.curves import summaries
from shallow_mimic.curves.section import Context, Section
from shallow_mimic.curves.tables import NONE, Table
from shallow_mimic.evaluation.records import choose_metric, record_order, score


def make_search_table(context: Context) -> Table:
  """The learning-rate search on dev: the best at each rate, the chosen *.

  Means over the seeds of the search, without those that diverged.
  """
  groups = defaultdict(list)
  found: dict[tuple, dict] = defaultdict(dict)
  searched = [r for r in sorted(context.records, key=record_order)
              if r.phase == 'search']
  metric = choose_metric(searched)
  for r in searched:
    key = r.model, r.width, r.learning_rate or 0.0, r.weight_decay
    groups[key].append(r)
  for (model, width, rate, _), seeds in groups.items():
    mean = summaries.spread(
        score(r, 'dev', metric) for r in seeds
        if not r.diverged).mean
    cell, row = (bool(seeds[0].selected), mean), found[model, width]
    row[rate] = max(cell, row.get(rate, cell),
                    key=lambda c: (c[0], not math.isnan(c[1]), c[1]))
  rates = sorted({rate for _, _, rate, _ in groups})
  rows = [
      (model, str(width), *[_show_choice(row.get(rate)) for rate in rates])
      for (model, width), row in found.items()]
  return Table('Learning-rate search on dev (%), the chosen rate marked *',
               ('model', 'width', *map('{:g}'.format, rates)), rows)


def _show_choice(cell: tuple[bool, float] | None) -> str:
  if cell is None:
    return NONE
  chosen, value = cell
  text = 'diverged' if math.isnan(value) else f'{value:.1f}'
  return text + '*' * chosen


def say_search(context: Context) -> list[str]:
  """How many chosen learning rates stand at an end of those searched."""
  chosen, ends, searched, picked = 0, 0, defaultdict(set), {}
  for r in (r for r in context.records if r.phase == 'search'):
    key = r.model, r.width
    searched[key].add(r.learning_rate or 0.0)
    if r.selected:
      picked[key] = r.learning_rate or 0.0
  for key, rate in picked.items():
    if len(rates := searched[key]) > 1:
      chosen += 1
      ends += rate in (min(rates), max(rates))
  if not chosen:
    return ['No learning rate was searched.']
  beyond = ': the best may lie beyond it' if ends else ''
  return [f'{ends} of {chosen} chosen learning rates stand at an end of the'
          f' range searched{beyond}.']


SECTION = Section(
    name='table_search', tabulate=make_search_table, say=say_search)
