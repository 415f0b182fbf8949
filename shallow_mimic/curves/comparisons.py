"""What is set beside what: curves over widths, and their teachers."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from shallow_mimic.curves import summaries
from shallow_mimic.curves.summaries import Summary
from shallow_mimic.evaluation.records import Record
from shallow_mimic.training.loss_specs import say_loss

LABELS, PSEUDO_LABELS, LOGITS = (
    'cross_entropy', 'pseudo_label', 'logit_regression')


class Curve(NamedTuple):
  """One way to train a student, over its widths in order."""

  name: str
  objective: str
  mixture: str
  teacher: str
  points: tuple[Summary, ...]

  @property
  def architecture(self) -> str:
    """That of its nets, with 'H' for every layer of hidden units."""
    _, text = self.points[0].net
    return re.sub(r'(?<![^-])[\d.]+k?(?![^-])', 'H', text)


def name_objective(objective: str) -> str:
  """An objective in words: 'cross_entropy' is 'labels'."""
  return say_loss(objective)


def name_loss(point: Summary) -> str:
  """A student's objective with its constants: 'KL, T = 4'."""
  record = (point.members + point.diverged)[0]
  return say_loss(point.objective, record.constants)


def name_net(net: tuple[int, str], nets: Sequence[tuple[int, str]]) -> str:
  """A net (see `Summary.net`) by its width, and what else tells it from some.

  >>> name_net((8, '8'), [(8, '8')]), name_net((8, '8'), [(8, '8'), (8, '8-8')])
  ('Width 8', 'Width 8 of 8')
  """
  width, architecture = net
  several = len({width for width, _ in nets}) < len(nets)
  return f'Width {width}' + f' of {architecture}' * several


def find_curves(points: Sequence[Summary]) -> list[Curve]:
  """Students on labels and of the main teacher: a curve for each way."""
  teacher = summaries.main_teacher(points)
  return _group_curves([s for s in points if s.teacher in ('', teacher)])


def find_main_curves(points: Sequence[Summary]) -> list[Curve]:
  """The curves of models whose name holds no '/', whoever taught them."""
  return _group_curves([s for s in points if s.is_main])


def _group_curves(points: Sequence[Summary]) -> list[Curve]:
  groups = defaultdict(list)
  for s in points:
    if s.role == 'student':
      groups[s.model, s.objective, s.mixture, s.teacher].append(s)
  times = Counter(model for model, *_ in groups)
  curves = [
      Curve(model if times[model] == 1 else f'{model} ({mixture})', objective,
            mixture, taught, tuple(s for s in group if s.members))
      for (model, objective, mixture, taught), group in groups.items()]
  return [curve for curve in curves if curve.points]


def group_teachers(points: Sequence[Summary]) -> dict[str, list[Record]]:
  """Members behind each horizontal line: teachers by kind, and ensembles.

  Those that taught a main curve, or else the main or largest one.
  """
  groups: dict[str, list[Record]] = defaultdict(list)
  for s in points:
    if s.role == 'teacher':
      groups[s.model.split('/')[0]].extend(s.members)
  named = {
      name if len(members) == 1 else f'{name} (mean of {len(members)})': members
      for name, members in groups.items() if members}
  main = summaries.main_teacher(points)
  ensembles = [s for s in points if s.role == 'ensemble' and s.members]
  taught = {curve.teacher for curve in find_main_curves(points)}
  shown = [s for s in ensembles if s.model in taught] or sorted(
      ensembles, key=lambda s: (s.model == main, s.parameters))[-1:]
  for s in shown:
    clash = ' (ensemble)' if s.model in named else ''
    named[s.model + clash] = list(s.members)
  return named
