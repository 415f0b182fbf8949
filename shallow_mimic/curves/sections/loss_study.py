"""Mimics that differ in their loss alone: which target makes the best student.

Ba & Caruana (arXiv 1312.6184): logits beat KL and L2 on probabilities.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shallow_mimic.curves import comparisons, drawing, summaries, tables
from shallow_mimic.curves.comparisons import LOGITS
from shallow_mimic.curves.panels import name_axis
from shallow_mimic.curves.section import Context, Section
from shallow_mimic.curves.summaries import Summary
from shallow_mimic.curves.tables import Table, show
from shallow_mimic.curves.wording import count_leads

# Fewer are no study: logits and pseudo-labels alone are the controls' figure.
_LOSSES = 3
_PANELS = 3
_ROW = 0.26  # inches
_KL = ('distillation_kl', 'standardised_kl', 'decoupled_kl', 'blended')


class Study(NamedTuple):
  """Students of equal inputs, teacher and nets, by net and by loss.

  `losses` are sorted by dev, the best first. Students on the labels of the
  same inputs are among them, as 'labels'.
  """

  mixture: str
  teacher: str
  nets: tuple[tuple[int, str], ...]
  losses: tuple[str, ...]
  points: dict[tuple[tuple[int, str], str], Summary]


def find_study(context: Context) -> Study | None:
  """The inputs, teacher and nets at which most losses meet; None for few.

  Of two models that agree in all of this, the plain name is taken.
  """
  groups: dict[tuple, dict] = defaultdict(lambda: defaultdict(dict))
  on_labels: dict[str, dict] = defaultdict(dict)
  for s in context.points:
    if s.role == 'student' and s.test.count:
      place = (groups[s.mixture, s.teacher] if s.teacher
               else on_labels[s.mixture])
      place.setdefault(s.net, {}).setdefault(comparisons.name_loss(s), s)
  if not groups:
    return None
  def count(key):
    return max(map(len, groups[key].values()))
  mixture, teacher = key = max(
      groups, key=lambda key: (
          count(key), sum(map(len, groups[key].values())), key))
  if count(key) < _LOSSES:
    return None
  nets = sorted(net for net, found in groups[key].items()
                if len(found) == count(key))[-_PANELS:]
  found = {
      (net, loss): s for net in nets
      for loss, s in (
          on_labels[mixture].get(net, {}) | groups[key][net]).items()
  }
  return Study(mixture, teacher, tuple(nets), _sort(found), found)


def _sort(found: Mapping[tuple, Summary]) -> tuple[str, ...]:
  """Losses by their mean place on dev, so that nets of all sizes count."""
  scores = defaultdict(list)
  for (_, loss), s in found.items():
    scores[loss].append(s.dev.mean)
  mean = {loss: sum(each) / len(each) for loss, each in scores.items()}
  return tuple(sorted(mean, key=lambda loss: (-mean[loss], loss)))


def draw_losses(context: Context) -> Any:
  """A dot with its bar for every loss, a panel for each net: test accuracy."""
  study = _find_known(context)
  figure, panels = drawing.make_panels(
      len(study.nets), width=3.0, height=_ROW * len(study.losses) + 0.3,
      gaps=(0.25, 0))
  styles = drawing.choose_styles([
      next(s for (_, name), s in study.points.items() if name == loss).objective
      for loss in study.losses])
  for axes, net in zip(panels[0], study.nets, strict=True):
    found = [(row, style, study.points[net, loss])
             for row, (loss, style) in enumerate(
                 zip(study.losses, styles, strict=True))
             if (net, loss) in study.points]
    for row, style, s in found:
      axes.errorbar([s.test.mean], [row], xerr=[s.test.sd], capsize=3,
                    linestyle='none', **style)
    _write_numbers(axes, [(row, s) for row, _, s in found])
    axes.set_title(comparisons.name_net(net, study.nets), loc='left',
                   fontsize=10)
    axes.set_xlabel(name_axis(context.points, 'test'))
  axes = panels[0, 0]
  axes.set_ylim(len(study.losses) - 0.4, -0.6)
  axes.set_yticks(range(len(study.losses)), study.losses)
  return figure


def _write_numbers(axes: Any, found: Sequence[tuple[int, Summary]]) -> None:
  """Every dot's number, in a column at the right, inside of the panel."""
  ends = [s.test.mean + sign * (s.test.sd if s.test.count > 1 else 0)
          for _, s in found for sign in (-1, 1)]
  low, high = min(ends), max(ends)
  span = high - low or 1.0
  axes.set_xlim(low - 0.08 * span, high + 0.62 * span)
  axes.locator_params(axis='x', nbins=5)
  for row, s in found:
    axes.text(0.985, row, show(s.test), va='center', ha='right', fontsize=9,
              transform=axes.get_yaxis_transform())


def make_loss_table(context: Context) -> Table:
  """A row for each loss and net: how good it is, and how like its teacher."""
  study, rows = _find_known(context), []
  for net in study.nets:
    for loss in study.losses:
      s = study.points.get((net, loss))
      if s:
        rows.append((
            loss, s.model, str(net[0]), tables.count_seeds(s), show(s.dev),
            show(s.test), _show_percent(s, 'agreement'),
            show(s.spread('test', 'kl'), 3), show(s.spread('test', 'nll'), 3),
            _show_percent(s, 'ece')))
  return Table(
      f'Losses: {tables.name_score(context.points)}',
      ('loss', 'model', 'width', 'seeds', 'dev', 'test', 'agreement (%)',
       'KL to teacher (nats)', 'NLL (nats)', 'ECE (%)'), rows, words=2)


def say_losses(context: Context) -> list[str]:
  """The best on dev, and logits against the best on dev of the others."""
  study, lines = _find_known(context), []
  for net in study.nets:
    best = summaries.find_best([
        s for (other, _), s in study.points.items() if other == net])
    lines.append(
        f'{comparisons.name_net(net, study.nets)}: best on dev is'
        f' {comparisons.name_loss(best)}'
        f' ({show(best.dev)} % on dev, {show(best.test)} % on test).')
  for words, kind in (
      ('the best (on dev) of KL', _KL[:1]),
      ('the best of its later forms (standardised, decoupled, with labels)',
       _KL[1:]),
      ('L2 on probabilities', ('probability_regression',)),
      ('DIST', ('pearson_distance',)),
      ('raw logits', ('raw_logit_regression',))):
    met = [(_find(study, net, (LOGITS,)), _find(study, net, kind))
           for net in study.nets]
    pairs = [(a, b) for a, b in met if a and b]
    if pairs:
      lines.append(f'On test, logits against {words}: {count_leads(pairs)}')
  return lines


def _find_known(context: Context) -> Study:
  """The study; one of nothing where there is none."""
  return find_study(context) or Study('', '', (), (), {})


def _show_percent(point: Summary, metric: str) -> str:
  return show(summaries.times(point.spread('test', metric), 100))


def _find(study: Study, net: tuple[int, str], objectives: Sequence[str],
          ) -> Summary | None:
  found = [s for (other, _), s in study.points.items()
           if other == net and s.objective in objectives]
  return summaries.find_best(found) if found else None


SECTION = Section(
    name='figure_losses', title='Losses. Mimics that differ in nothing else',
    caption='Test set; the best on dev on top. The same inputs, teacher and'
            ' steps; the learning rate of each is chosen on dev. "Logits" are'
            ' normalised (eq. 1). Bars: ± sd over seeds.',
    find=find_study, draw=draw_losses, say=say_losses,
    tabulate=make_loss_table)
