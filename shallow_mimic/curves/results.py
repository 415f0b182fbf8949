"""results.csv: a row per record, split and metric."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from shallow_mimic.evaluation import records
from shallow_mimic.evaluation.records import Record

COLUMNS = ('model', 'role', 'objective', 'width', 'seed', 'learning_rate',
           'parameters', 'multiply_adds', 'split', 'metric', 'value',
           'selected')
RUN = 'run'  # The first column where there are several.
# Facts of a net that have no column: rows whose split is ''. So are the
# constants of its loss.
FACTS = ('best_step', 'diverged', 'hidden_units', 'inputs_count',
         'insertion_penalty', 'language_weight', 'latency_ms_1',
         'latency_ms_1_factored', 'latency_ms_256', 'latency_ms_256_factored',
         'parameters_absorbed', 'prior_scale', 'sequential_depth',
         'weight_decay')


def format_csv(records: Sequence[Record]) -> str:
  """results.csv: a row per record, split and metric, in a fixed order.

  Numbers of the learning-rate search have `search_` before the metric's name;
  facts of a net without a column of their own have no split.
  """
  return _format_rows(COLUMNS, _make_rows(records))


def format_runs(runs: Mapping[str, Sequence[Record]]) -> str:
  """results.csv of several runs, one after the other; `run` says which."""
  return _format_rows((RUN, *COLUMNS), (
      {RUN: name} | row for name, records in runs.items()
      for row in _make_rows(records)))


def _format_rows(columns: Sequence[str],
                 rows: Iterable[Mapping[str, str]]) -> str:
  text = io.StringIO()
  writer = csv.DictWriter(text, columns, lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  return text.getvalue()


def _make_rows(records: Sequence[Record]) -> Iterator[dict[str, str]]:
  for record in sorted(records, key=_total_order):
    yield from _csv_rows(record)


def _total_order(record: Record) -> tuple:
  text = json.dumps(record.to_json(), sort_keys=True)
  return (*records.record_order(record), text)


def _csv_rows(record: Record) -> Iterator[dict[str, str]]:
  head = {column: _format_cell(getattr(record, column))
          for column in (*COLUMNS[:8], 'selected')}
  prefix = 'search_' if record.phase == 'search' else ''
  cells = [(split, metric, value)
           for split, metrics in sorted(record.metrics.items())
           for metric, value in sorted(metrics.items())]
  facts = {fact: getattr(record, fact) for fact in FACTS}
  facts |= record.constants
  cells += [('', fact, value) for fact, value in sorted(facts.items())
            if value is not None]
  for split, metric, value in cells:
    yield head | {'split': split, 'metric': prefix + metric,
                  'value': _format_cell(value)}


def _format_cell(value: Any) -> str:
  """Empty for None; floats so that they read back the same."""
  if value is None:
    return ''
  return repr(value) if isinstance(value, float) else str(value)
