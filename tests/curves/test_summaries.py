import dataclasses
import math
import statistics

import pytest
import report_records

from shallow_mimic.curves import summaries
from shallow_mimic.curves.summaries import Spread
from shallow_mimic.evaluation import records


def make(model='SNN', dev=0.5, test=0.4, **changes):
  return report_records.make_record(
      model, metrics={'dev': {'accuracy': dev}, 'test': {'accuracy': test}},
      **changes)


@pytest.mark.parametrize(('values', 'expected'), [
    ([1.0, 2.0, 6.0], Spread(3.0, math.sqrt(7.0), 3)),  # (4 + 1 + 9) / 2
    ([1.0, math.nan, 3.0], Spread(2.0, math.sqrt(2.0), 2))])
def test_spread_has_the_sample_sd_of_finite_values(values, expected):
  assert summaries.spread(values) == pytest.approx(expected)


def test_spread_of_one_value_or_none_has_no_sd():
  one, none = summaries.spread([2.0]), summaries.spread([])
  assert (one.mean, one.count) == (2.0, 1) and math.isnan(one.sd)
  assert none.count == 0 and math.isnan(none.mean) and math.isnan(none.sd)


def test_difference_adds_variances():
  change = summaries.difference(Spread(5.0, 3.0, 4), Spread(3.5, 4.0, 2))
  assert change == Spread(1.5, 5.0, 2)
  assert math.isnan(summaries.difference(
      Spread(5.0, 3.0, 4), Spread(3.5, math.nan, 1)).sd)


def test_score_is_per_cent_right():
  record = report_records.make_record(
      'SNN', metrics={'dev': {'accuracy': 0.25, 'per': 0.2}, 'test': {}})
  assert records.score(record, 'dev', 'accuracy') == pytest.approx(25)
  assert records.score(record, 'dev', 'per') == pytest.approx(80)
  assert math.isnan(records.score(record, 'test', 'per'))
  assert math.isnan(records.score(record, 'train', 'per'))


def test_summaries_are_means_over_seeds_in_per_cent():
  point, = summaries.summarise([
      make(seed=seed, dev=0.1 * seed, test=0.5) for seed in (3, 1, 2)])
  assert point.dev == pytest.approx(Spread(20, 10, 3))
  assert point.test == pytest.approx(Spread(50, 0, 3))
  assert [r.seed for r in point.members] == [1, 2, 3]


def test_per_is_the_score_where_any_record_has_it():
  record = make()
  record.metrics['test']['per'] = 0.3
  point, = summaries.summarise([record])
  assert point.test.mean == pytest.approx(70)
  assert point.dev.count == 0 and not point.diverged
  point, = summaries.summarise([record], 'accuracy')
  assert point.test.mean == pytest.approx(40)


def test_searches_are_no_results():
  assert summaries.summarise([make(phase='search')]) == []


@pytest.mark.parametrize('changes', [
    {'diverged': True}, {'dev': math.nan}, {'test': None},
    {'test': math.inf}])
def test_diverged_members_are_left_out_and_kept_apart(changes):
  good = [make(seed=seed, test=0.5 + 0.1 * seed) for seed in range(2)]
  point, = summaries.summarise([*good, make(seed=2, **changes)])
  assert point.test.mean == pytest.approx(55) and point.test.count == 2
  assert [r.seed for r in point.diverged] == [2]


def test_other_metrics_may_be_null():
  record = make()
  record.metrics['test']['kl'] = None
  point, = summaries.summarise([record])
  assert point.test.count == 1
  assert point.spread('test', 'kl').count == 0


@pytest.mark.parametrize(('field', 'value'), [
    ('width', 7), ('objective', 'x'), ('mixture', 'x'), ('teacher', 'x'),
    ('model', 'x'), ('role', 'teacher')])
def test_what_differs_is_not_averaged(field, value):
  points = summaries.summarise([
      make(), make(seed=1), dataclasses.replace(make(), **{field: value})])
  assert sorted(len(s.members) for s in points) == [1, 2]


def test_order_is_role_plain_model_then_width():
  records = [
      make('SNN/b', width=2), make('SNN', width=128), make('SNN', width=16),
      make('SNN-dropout', width=2), make('SNN-MIMIC', width=2),
      make('ECNN', role='ensemble', learning_rate=None),
      make('DNN', role='teacher')]
  expected = [
      ('DNN', 64), ('ECNN', 64), ('SNN', 16), ('SNN', 128), ('SNN-dropout', 2),
      ('SNN-MIMIC', 2), ('SNN/b', 2)]
  for order in (records, records[::-1]):
    points = summaries.summarise(order)
    assert [(s.model, s.width) for s in points] == expected


def test_main_teacher_is_the_one_that_was_said():
  records = [make('A', role='ensemble'), make('B', role='ensemble'),
             *[make(f'SNN/{i}', teacher='B') for i in range(3)],
             make('SNN-MIMIC', teacher='A')]
  def main(**said):
    return summaries.main_teacher(
        summaries.summarise(records, **said))
  assert main(main_teacher='A') == 'A'
  assert main() == 'B'  # Nobody said: of most mimics.
  assert summaries.main_teacher([]) == ''


@pytest.mark.parametrize(('number', 'text'), [
    (64, '64'), (1500, '1.5k'), (8000, '8k'), (400_000, '400k'),
    (2.13e6, '2.13M'), (3e9, '3G')])
def test_shorten(number, text):
  assert summaries.shorten(number) == text


def test_sd_agrees_with_the_standard_library():
  values = [0.3, 0.5, 0.9, 0.2]
  assert summaries.spread(values).sd == statistics.stdev(values)
