"""How like its teacher a student is, and how well it knows what it knows.

Likeness as Stanton et al. 2021 (arXiv 2106.05945) report it: agreement and KL
on train and test, and agreement with a teacher that it did not learn from.
Reliability as Guo et al. 2017 (arXiv 1706.04599) draw it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from shallow_mimic.curves import drawing, summaries
from shallow_mimic.curves.drawing import Label
from shallow_mimic.curves.summaries import Summary, times
from shallow_mimic.curves.tables import Table, show

# A bin of fewer test inputs has a share of no meaning.
_FEW = 10


class Reliability(NamedTuple):
  """Mean confidence and share right of bins, all seeds together; ECE in %."""

  name: str
  objective: str
  confidence: np.ndarray
  right: np.ndarray
  error: float


def make_likeness_table(points: Sequence[Summary]) -> Table:
  """Agreement and KL, to the own teacher on train and test, to another."""
  metrics = (('train', 'agreement'), ('test', 'agreement'),
             ('test', 'agreement_independent'), ('train', 'kl'), ('test', 'kl'),
             ('test', 'kl_independent'))
  rows = []
  for s in points:
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


def find_reliability(points: Sequence[Summary]) -> list[Reliability]:
  """The best (on dev) main net on labels, the best mimic, the main teacher."""
  main = [s for s in points if s.role == 'student' and s.is_main
          and s.dev.count]
  teacher = summaries.main_teacher(points)
  groups = (
      [s for s in main if not s.teacher], [s for s in main if s.teacher],
      [s for s in points if s.role == 'ensemble' and s.model == teacher])
  chosen = [summaries.find_best(group) for group in groups if group]
  found = [_read_bins(s) for s in chosen]
  return [one for one in found if one]


def _read_bins(point: Summary) -> Reliability | None:
  bins = [r['calibration'] for r in point.members if r.get('calibration')]
  if not bins:
    return None
  counts, confidences, corrects = (
      np.sum([one[key] for one in bins], axis=0)
      for key in ('counts', 'confidences', 'corrects'))
  enough = counts >= _FEW
  width = f', width {point.width}' if point.width else ''
  ece = point.spread('test', 'ece').mean
  return Reliability(
      f'{point.model}{width}',
      point.objective if point.role == 'student' else '',
      confidences[enough] / counts[enough], corrects[enough] / counts[enough],
      100 * ece if math.isfinite(ece) else math.nan)


def draw_reliability(points: Sequence[Summary]) -> Any:
  """Share right against confidence on test; on the diagonal it is honest."""
  figure, panels = drawing.make_panels(1, width=3.8, height=3.6)
  axes, labels = panels[0, 0], []
  found = find_reliability(points)
  styles = drawing.choose_styles([one.objective for one in found])
  for one, style in zip(found, styles, strict=True):
    line = style | {'linewidth': 1.8, 'markersize': 5}
    if not one.objective:
      line |= {'color': '#333333'}
    axes.plot(100 * one.confidence, 100 * one.right, **line)
    labels.append(Label(
        100 * one.right[-1] if len(one.right) else 0.0,
        f'{one.name}: ECE {one.error:.1f} %', line))
  axes.set_xlim(0, 100)
  axes.set_ylim(0, 100)
  style = {'color': '#777777', 'linewidth': 1, 'linestyle': (0, (5, 3))}
  axes.plot([0, 100], [0, 100], **style)
  axes.set_xlabel('Confidence: largest probability (%)')
  axes.set_ylabel('Right on test (%)')
  drawing.label_right(axes, [*labels, Label(100, 'as sure as right', style)])
  return figure


def say_likeness(points: Sequence[Summary]) -> list[str]:
  """What an independent teacher says of the best main mimic."""
  mimics = [s for s in points if s.role == 'student' and s.teacher
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
