"""What the figures show, in plain words made from the numbers.

A difference counts where it is larger than its own sd over seeds, else the two
are level; with one seed there is no sd, and the words say so.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from shallow_mimic.curves import comparisons, summaries
from shallow_mimic.curves.comparisons import History, Sweep
from shallow_mimic.curves.summaries import Spread, Summary
from shallow_mimic.curves.tables import show, signed
from shallow_mimic.evaluation import records
from shallow_mimic.evaluation.records import Record

Pair = tuple[Summary, Summary]


def read_accuracy(points: Sequence[Summary]) -> list[str]:
  """Main mimics against main nets on labels, and against their teachers."""
  curves = comparisons.find_main_curves(points)
  on_labels = [s for c in curves if not c.teacher for s in c.points]
  lines = []
  for curve in (c for c in curves if c.teacher):
    met = [(s, [r for r in on_labels if r.net == s.net])
           for s in curve.points]
    pairs = [(s, summaries.find_best(rivals)) for s, rivals in met if rivals]
    names = ' and '.join(sorted({r.model for _, rs in met for r in rs}))
    best_of = 'the better (on dev) of ' if ' and ' in names else ''
    if pairs:
      lines.append(f'On test, {curve.name} against {best_of}{names} of the'
                   f' same width: {count_leads(pairs)}')
    lines.append(_read_teachers(points, curve))
  return lines or ['No mimic is among the main curves yet.']


def read_controls(points: Sequence[Summary]) -> list[str]:
  """Logits against pseudo-labels, and against labels, at equal inputs."""
  lines = []
  gains = comparisons.find_gains(points)
  for inputs in dict.fromkeys(gain.inputs for gain in gains):
    for word, rival in (('the same teacher\'s pseudo-labels', 'pseudo_labels'),
                        ('labels', 'labels')):
      pairs = [(g.logits, getattr(g, rival)) for g in gains
               if g.inputs == inputs and g.logits and getattr(g, rival)]
      if pairs:
        lines.append(
            f'On {inputs}, logits against {word}: {count_leads(pairs)}')
  return lines or ['No two kinds of targets share inputs and width yet.']


def read_histories(points: Sequence[Summary], width: int | None) -> list[str]:
  """Where each main curve peaks, and how far it falls until the end."""
  width, found = comparisons.find_histories(points, width)
  if not found:
    return ['No main model of this width has a history of dev accuracy.']
  return [_read_history(history) for history in found]


def read_sweeps(points: Sequence[Summary]) -> list[str]:
  """Whether students gain from better teachers."""
  sweeps = comparisons.find_sweeps(points)
  if not sweeps:
    return ['No mimic on logits is here yet.']
  if all(len(sweep.teachers) < 2 for sweep in sweeps):
    names = ', '.join(sorted({n for sweep in sweeps for n in sweep.teachers}))
    return [f'Mimics have one teacher only ({names}): there is no slope to'
            ' read.']
  return [_read_sweep(sweep, name) for sweep, name
          in zip(sweeps, comparisons.name_sweeps(sweeps), strict=True)]


def read_lost(points: Sequence[Summary]) -> list[str]:
  """Which members diverged; empty if none did."""
  lost = [r for s in points for r in s.diverged]
  if not lost:
    return []
  names = ', '.join(_name_member(r) for r in lost)
  return [f'{_count(len(lost), "member")} diverged and'
          f' {"is" if len(lost) == 1 else "are"} left out of every mean:'
          f' {names}.']


def read_search(records: Sequence[Record]) -> list[str]:
  """How many chosen learning rates stand at an end of those searched."""
  chosen, ends, searched, picked = 0, 0, defaultdict(set), {}
  for r in (r for r in records if r['phase'] == 'search'):
    key = r['model'], r['width']
    searched[key].add(r['learning_rate'])
    if r['selected']:
      picked[key] = r['learning_rate']
  for key, rate in picked.items():
    if len(rates := searched[key]) > 1:
      chosen += 1
      ends += rate in (min(rates), max(rates))
  if not chosen:
    return ['No learning rate was searched.']
  beyond = ': the best may lie beyond it' if ends else ''
  return [f'{ends} of {chosen} chosen learning rates stand at an end of the'
          f' range searched{beyond}.']


def count_leads(pairs: Sequence[Pair]) -> str:
  """At how many widths the first of each pair is ahead on test, and how far."""
  changes = [(summaries.difference(a.test, b.test), a.width)
             for a, b in pairs if a.test.count and b.test.count]
  if not changes:
    return 'no test results.'
  signs = [_sign(change) for change, _ in changes]
  counts = ', '.join(
      f'{word} at {signs.count(sign)}' for word, sign in
      (('ahead', 1), ('level', 0), ('behind', -1)) if sign in signs)
  ends = [min(changes), max(changes)]
  reach = ' to '.join(dict.fromkeys(
      f'{signed(change)} points (width {width})' for change, width in ends))
  doubt = ('; by sign alone, for one seed has no spread'
           if any(math.isnan(change.sd) for change, _ in changes) else '')
  return f'{counts} of {_count(len(changes), "width")}, {reach}{doubt}.'


def _read_teachers(points: Sequence[Summary], curve: comparisons.Curve) -> str:
  best = summaries.find_best(curve.points)
  gaps = []
  for name, members in comparisons.group_teachers(points).items():
    level = summaries.spread(
        records.score(r, 'test', best.metric) for r in members)
    if level.count and best.test.count:
      gap = best.test.mean - level.mean
      side = 'above' if gap >= 0 else 'below'
      gaps.append(f'{abs(gap):.1f} points {side} {name} ({level.mean:.1f} %)')
  return (f'The {curve.name} that is best on dev (width {best.width},'
          f' {best.parameters:,} parameters) has {show(best.test)} % on test'
          + (': ' + ', '.join(gaps) if gaps else '') + '.')


def _read_history(history: History) -> str:
  peak = max(range(len(history.dev)), key=lambda i: history.dev[i].mean)
  top, end = history.dev[peak], history.dev[-1]
  fall = summaries.difference(top, end)
  text = (f'{history.name} is highest at step {history.steps[peak]}'
          f' ({top.mean:.1f} %)')
  if peak == len(history.dev) - 1:
    return f'{text}, its last: it does not overfit within this training.'
  text += f' and ends at {end.mean:.1f} %, {show(fall)} points lower: '
  if math.isnan(fall.sd):
    return text + 'with one seed there is no spread to judge this fall by.'
  return text + ('it declines by more than the spread of seeds.'
                 if _sign(fall) > 0 else
                 'no decline beyond the spread of seeds.')


def _read_sweep(sweep: Sweep, name: str) -> str:
  first, last = sweep.y[0], sweep.y[-1]
  steps = [b.mean > a.mean for a, b in zip(sweep.y, sweep.y[1:], strict=False)]
  change = summaries.difference(last, first)
  return (f'{name[0].upper()}{name[1:]}:'
          f' {signed(change)} points from the weakest teacher'
          f' ({sweep.teachers[0]}, {sweep.x[0].mean:.1f} % on dev;'
          f' student {show(first)} %) to the strongest ({sweep.teachers[-1]},'
          f' {sweep.x[-1].mean:.1f} %; student {show(last)} %);'
          f' a better teacher made a better student in {sum(steps)} of'
          f' {_count(len(steps), "step")}.')


def _sign(change: Spread) -> int:
  """1 or -1 where it is more than its sd (0 if unknown), else 0."""
  bound = 0.0 if math.isnan(change.sd) else change.sd
  return (change.mean > bound) - (change.mean < -bound)


def _name_member(r: Record) -> str:
  width = f' width {r["width"]}' if r['width'] else ''
  return f'{r["model"]}{width} seed {r["seed"]}'


def _count(number: int, word: str) -> str:
  return f'{number} {word}' + ('' if number == 1 else 's')
