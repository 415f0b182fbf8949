"""What is set beside what: curves over widths, gains, sweeps over teachers."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from shallow_mimic.curves import summaries
from shallow_mimic.curves.summaries import Spread, Summary
from shallow_mimic.evaluation.records import Record
from shallow_mimic.training.loss_specs import say_loss

LABELS, PSEUDO_LABELS, LOGITS = (
    'cross_entropy', 'pseudo_label', 'logit_regression')


class Curve(NamedTuple):
  """One way to train a student, over its widths in order."""

  name: str
  objective: str
  inputs: str
  teacher: str
  points: tuple[Summary, ...]

  @property
  def architecture(self) -> str:
    """That of its nets, with 'H' for every layer of hidden units."""
    _, text = self.points[0].net
    return re.sub(r'(?<![^-])[\d.]+k?(?![^-])', 'H', text)


class Gain(NamedTuple):
  """Students of one net on the same inputs: the best on dev of each kind."""

  inputs: str
  width: int
  architecture: str
  labels: Summary | None
  pseudo_labels: Summary | None
  logits: Summary | None


class Sweep(NamedTuple):
  """Students that differ in their teachers alone: scores on dev."""

  width: int
  architecture: str
  inputs: str
  teachers: tuple[str, ...]
  x: tuple[Spread, ...]
  y: tuple[Spread, ...]


class History(NamedTuple):
  """Accuracy on dev in per cent at the steps that all seeds share."""

  name: str
  objective: str
  steps: tuple[int, ...]
  dev: tuple[Spread, ...]


def name_objective(objective: str) -> str:
  """An objective in words: 'cross_entropy' is 'labels'."""
  return say_loss(objective)


def name_loss(point: Summary) -> str:
  """A student's objective with its constants: 'KL, T = 4'."""
  record = (point.members + point.diverged)[0]
  return say_loss(point.objective, record.get('constants'))


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


def _group_curves(points):
  groups = defaultdict(list)
  for s in points:
    if s.role == 'student':
      groups[s.model, s.objective, s.inputs, s.teacher].append(s)
  times = Counter(model for model, *_ in groups)
  curves = [
      Curve(model if times[model] == 1 else f'{model} ({inputs})', objective,
            inputs, taught, tuple(s for s in group if s.members))
      for (model, objective, inputs, taught), group in groups.items()]
  return [curve for curve in curves if curve.points]


def group_by_inputs(points: Sequence[Summary]) -> dict[str, list[Curve]]:
  """All curves by the inputs that they train on, fewest sets first."""
  groups = defaultdict(list)
  for curve in find_curves(points):
    groups[curve.inputs].append(curve)
  return dict(sorted(groups.items(),
                     key=lambda item: (item[0].count('+'), item[0])))


def find_controls(points: Sequence[Summary]) -> dict[str, list[Curve]]:
  """Curves that meet on equal inputs, by them: labels, pseudo-labels, logits.

  All curves by their inputs where no two of these meet. Other losses have a
  figure of their own.
  """
  groups = group_by_inputs(points)
  kinds = (LABELS, PSEUDO_LABELS, LOGITS)
  met = {inputs: [c for c in curves if c.objective in kinds]
         for inputs, curves in groups.items()}
  return {inputs: curves for inputs, curves in met.items()
          if len(curves) > 1} or groups


def group_teachers(points: Sequence[Summary]) -> dict[str, list[Record]]:
  """Members behind each horizontal line: teachers by kind, and ensembles.

  Those that taught a main curve, or else the main or largest one.
  """
  groups = defaultdict(list)
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


def find_gains(points: Sequence[Summary]) -> list[Gain]:
  """A row per inputs and net at which two kinds of targets meet."""
  rows = []
  for inputs, curves in group_by_inputs(points).items():
    students = [s for curve in curves for s in curve.points]
    for net in sorted({s.net for s in students}):
      best = [_best(students, net, kind)
              for kind in (LABELS, PSEUDO_LABELS, LOGITS)]
      if sum(s is not None for s in best) > 1:
        rows.append(Gain(inputs, *net, *best))
  return rows


def find_sweeps(points: Sequence[Summary]) -> list[Sweep]:
  """Lines of mimics against teachers; those of 2 teachers or more, if any.

  Of two models with the same teacher on a line, the plain name is taken.
  """
  # Ensembles come last: one that shares its name with its members is meant.
  known = {s.model: s.dev for s in points
           if s.role != 'student' and s.dev.count}
  groups = defaultdict(dict)
  for s in points:
    if s.objective == LOGITS and s.dev.count and s.teacher in known:
      groups[s.inputs, s.net].setdefault(s.teacher, s)
  sweeps = []
  for (inputs, net), mimics in sorted(groups.items()):
    names = tuple(sorted(mimics, key=lambda name: known[name].mean))
    sweeps.append(Sweep(*net, inputs, names, tuple(known[n] for n in names),
                        tuple(mimics[n].dev for n in names)))
  return [sweep for sweep in sweeps if len(sweep.teachers) > 1] or sweeps


def name_sweeps(sweeps: Sequence[Sweep]) -> list[str]:
  """Each by its width, and what else tells it from the others."""
  several = lambda what: len(set(map(what, sweeps))) > 1
  nets = Counter(width for width, _ in {sweep[:2] for sweep in sweeps})
  return [
      f'width {sweep.width}'
      + f' of {sweep.architecture}' * (max(nets.values()) > 1)
      + f' on {sweep.inputs}' * several(lambda one: one.inputs)
      for sweep in sweeps]


def find_histories(
    points: Sequence[Summary], width: int | None = None,
) -> tuple[int | None, list[History]]:
  """The width and a history for each main model.

  Where `width` is None, or no model has it: that where most of them meet.
  """
  found = [(curve, s) for curve in find_main_curves(points)
           for s in curve.points if any(map(_read_history, s.members))]
  counts = Counter(s.width for _, s in found)
  if width not in counts and found:
    width = max(counts, key=lambda w: (counts[w], w))
  averages = [_average(curve, s) for curve, s in found if s.width == width]
  return width, [history for history in averages if history.steps]


def _average(curve: Curve, point: Summary) -> History:
  series = [h for h in map(_read_history, point.members) if h]
  steps = sorted(set.intersection(*map(set, series)))
  return History(
      curve.name, curve.objective, tuple(steps),
      tuple(summaries.spread(h[step] for h in series) for step in steps))


def _read_history(record: Record) -> dict[int, float]:
  history = record.get('history') or {}
  pairs = zip(history.get('step', ()), history.get('dev_accuracy', ()),
              strict=True)
  return {step: 100 * value for step, value in pairs
          if value is not None and math.isfinite(value)}


def _best(students: list[Summary], net: tuple[int, str], kind: str,
          ) -> Summary | None:
  found = [s for s in students if (s.net, s.objective) == (net, kind)]
  return summaries.find_best(found) if found else None
