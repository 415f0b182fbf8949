"""Pooled folds as tables, CSV files and the learning curve over speakers."""

from __future__ import annotations

import csv
import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from shallow_mimic.curves import drawing
from shallow_mimic.curves.folds import pool
from shallow_mimic.curves.folds.pool import Gain, Net, Pooled
from shallow_mimic.curves.summaries import times
from shallow_mimic.curves.tables import Table, format_text, name_seeds, show
from shallow_mimic.runs import files

# What is printed: the metric, its heading, its factor and digits.
_SHOWN = (('phone_accuracy', 'accuracy 39, %', 100, 1),
          ('phone_nll', 'NLL 39', 1, 3), ('per', 'PER, %', 100, 1),
          ('per_silence_forgiven', 'silence forgiven', 100, 1))
_GAIN_COLUMNS = ('difference', 'low', 'high', 'p', 'low_speakers',
                 'high_speakers', 'p_speakers')


def write_pooled(directory: os.PathLike | str, found: Mapping[int, Pooled],
                 *, seed: int, width: int = 0) -> str:
  """Writes pooled.csv, gains.csv, table.txt, and with several sizes a figure.

  Args:
    directory: gets them.
    found: pooled folds by the number of training speakers, 0 for all.
    seed: of the bootstrap.
    width: of the students in the figure; 0: their widest.

  Returns:
    The text of table.txt.
  """
  directory = pathlib.Path(directory)
  gains = {size: [
      pool.compare(pooled, net, other, metric, seed)
      for net, other in pool.find_pairs(pool.sort_nets(pooled.nets))
      for metric in pool.METRICS] for size, pooled in found.items()}
  text = '\n'.join(
      format_text(table) for size, pooled in found.items()
      for table in (make_table(pooled, size),
                    make_gain_table(gains[size], size)))
  files.write_text(directory / 'pooled.csv', format_scores(found))
  files.write_text(directory / 'gains.csv', format_gains(gains))
  files.write_text(directory / 'table.txt', text)
  if len(found) > 1:
    image = drawing.render(draw_learning, found, width)
    files.write_bytes(directory / 'learning.png', image.png)
    files.write_bytes(directory / 'learning.svg', image.svg)
    drawing.warn_missing([image])
  return text


def make_table(pooled: Pooled, size: int) -> Table:
  """A row for each net: mean ± sd over seeds of the pooled test metrics."""
  speakers = {name.partition('/')[0] for name in pooled.utterances}
  rows = [(
      net.model, str(net.width or '–'),
      name_seeds(len(pooled.nets[net].seeds), len(pooled.lost.get(net, ()))),
      *(show(times(pool.score(pooled.nets[net], metric), factor), digits)
        for metric, _, factor, digits in _SHOWN))
          for net in pool.sort_nets(pooled.nets)]
  return Table(
      f'{_name_size(size)}: {len(speakers)} test speakers,'
      f' {len(pooled.utterances)} utterances, pooled over folds; mean ± sd over'
      ' seeds', ('model', 'width', 'seeds',
                 *(title for _, title, _, _ in _SHOWN)), rows)


def make_gain_table(gains: Sequence[Gain], size: int) -> Table:
  """A row for each pair: differences with 95 % intervals over utterances."""
  rows: dict[tuple[Net, Net], dict] = {}
  for gain in gains:
    rows.setdefault((gain.net, gain.other), {})[gain.metric] = gain.utterances
  cells = [(f'{net.model} − {other.model}', str(other.width), *(
      _show_gain(found[metric], factor, digits)
      for metric, _, factor, digits in _SHOWN))
           for (net, other), found in rows.items()]
  return Table(
      f'{_name_size(size)}: differences [95 % interval, paired bootstrap over'
      ' utterances]', ('nets', 'width', *(title for _, title, _, _ in _SHOWN)),
      cells)


def format_scores(found: Mapping[int, Pooled]) -> str:
  """pooled.csv: a row for each net, seed and metric."""
  return _format_csv((*Net._fields, 'train_speakers', 'seed', 'metric',
                      'value'), (
      (*net, size, seed, metric, repr(float(value)))
      for size, pooled in found.items()
      for net in pool.sort_nets(pooled.nets)
      for metric in pool.METRICS
      for seed, value in zip(
          pooled.nets[net].seeds, pool.rates(pooled.nets[net], metric),
          strict=True)))


def format_gains(gains: Mapping[int, Sequence[Gain]]) -> str:
  """gains.csv: a row for each pair and metric; fractions, nats for NLL."""
  return _format_csv(('model', 'against', 'architecture', 'width',
                      'train_speakers', 'metric', *_GAIN_COLUMNS), (
      (gain.net.model, gain.other.model, gain.other.architecture,
       gain.other.width, size, gain.metric,
       *map(repr, (*gain.utterances, *gain.speakers[1:])))
      for size, some in gains.items() for gain in some))


def draw_learning(found: Mapping[int, Pooled], width: int = 0) -> Any:
  """Pooled frame accuracy of 39 classes over the number of training speakers.

  Students of one width, and the ensembles; bars are ± sd over seeds. Nets of
  which no seed is left at one of the sizes are left out.
  """
  figure, panels = drawing.make_panels(1, width=4.2, height=3.6)
  axes, sizes = panels[0, 0], sorted(found)
  everywhere = set.intersection(*(set(one.nets) for one in found.values()))
  nets = pool.sort_nets(everywhere)
  width = width or max((net.width for net in nets), default=0)
  nets = [net for net in nets if net.width == width or net.role == 'ensemble']
  styles = drawing.choose_styles([net.objective for net in nets])
  labels = []
  for net, style in zip(nets, styles, strict=True):
    scores = [times(pool.score(found[size].nets[net], 'phone_accuracy'), 100)
              for size in sizes]
    drawing.draw_bars(axes, sizes, scores, style)
    labels.append(drawing.Label(scores[-1].mean, net.model, style))
  axes.set_xticks(sizes)
  axes.set_xlabel('Training speakers')
  axes.set_ylabel('Frame accuracy, 39 classes (%)')
  axes.set_title(f'Pooled test speakers, students of {width:,} units',
                 loc='left', fontsize=10)
  drawing.label_right(axes, labels)
  return figure


def _format_csv(columns, rows) -> str:
  text = io.StringIO()
  csv.writer(text, lineterminator='\n').writerows([columns, *rows])
  return text.getvalue()


def _show_gain(found, factor, digits) -> str:
  mean, low, high = (f'{factor * value:+.{digits}f}' for value in found[:3])
  return f'{mean} [{low}, {high}]'


def _name_size(size: int) -> str:
  return f'{size} training speakers' if size else 'All training speakers'
