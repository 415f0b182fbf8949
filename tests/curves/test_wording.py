import pytest
import report_records

from shallow_mimic.curves import Context, wording
from shallow_mimic.curves.sections import (
  accuracy,
  controls,
  overfitting,
  rate_search,
  student_vs_teacher,
)


def make(model, *test, dev=0.5, **changes):
  """Records of one model, a seed for each test accuracy."""
  return [
      report_records.make_record(
          model, seed=seed, **changes, metrics={
              'dev': {'accuracy': dev}, 'test': {'accuracy': value}})
      for seed, value in enumerate(test)]


def make_mimic(*test, model='SNN-MIMIC', **changes):
  changes = {'objective': 'logit_regression', 'teacher': 'E'} | changes
  return make(model, *test, **changes)


def make_ensemble(test=0.9, model='E', dev=0.9):
  return make(model, test, dev=dev, role='ensemble', width=0)


def read(function, *groups, **options):
  return function(Context([r for group in groups for r in group], **options))


def test_accuracy_counts_widths_ahead_level_and_behind():
  lines = read(
      accuracy.say_accuracy, make_ensemble(0.8),
      make('SNN', 0.60, 0.62, width=8), make_mimic(0.70, 0.72, width=8),
      make('SNN', 0.60, 0.64, width=16), make_mimic(0.61, 0.65, width=16),
      make('SNN', 0.60, 0.61, width=32), make_mimic(0.50, 0.51, width=32),
      make_mimic(0.9, 0.9, width=64))
  assert lines[0] == (
      'On test, SNN-MIMIC against SNN of the same width: ahead at 1, level at'
      ' 1, behind at 1 of 3 widths, −10.0 ± 1.0 points (width 32) to'
      ' +10.0 ± 2.0 points (width 8).')


def test_accuracy_takes_the_rival_that_is_best_on_dev():
  lines = read(
      accuracy.say_accuracy, make('SNN', 0.9, dev=0.5),
      make('SNN-dropout', 0.6, dev=0.6), make_mimic(0.7))
  assert lines[0] == (
      'On test, SNN-MIMIC against the better (on dev) of SNN and SNN-dropout'
      ' of the same width: ahead at 1 of 1 width, +10.0 points (width 64); by'
      ' sign alone, for one seed has no spread.')


def test_accuracy_compares_equal_architectures_alone():
  lines = read(
      accuracy.say_accuracy, make('SNN', 0.6), make_mimic(0.7),
      make('SNN2', 0.9, architecture='64-64'),
      make_mimic(0.8, model='MIMIC2', architecture='64-64'),
      make_mimic(0.8, model='MIMIC3', architecture='64-64-64'))
  assert [line for line in lines if line.startswith('On test')] == [
      f'On test, {mimic} against {rival} of the same width: {how} at 1 of 1'
      f' width, {points} points (width 64); by sign alone, for one seed has no'
      ' spread.' for mimic, rival, how, points in (
          ('MIMIC2', 'SNN2', 'behind', '−10.0'),
          ('SNN-MIMIC', 'SNN', 'ahead', '+10.0'))]


def test_accuracy_sets_the_best_on_dev_beside_the_teachers():
  line, = read(
      accuracy.say_accuracy, make_ensemble(0.9),
      make('DNN', 0.5, role='teacher', width=0),
      make_mimic(0.7, width=8, dev=0.8), make_mimic(0.8, width=16, dev=0.7))
  assert line == (
      'The SNN-MIMIC that is best on dev (width 8, 3,210 parameters) has 70.0 %'
      ' on test: 20.0 points above DNN (50.0 %), 20.0 points below E (90.0 %).')


def test_accuracy_without_mimics():
  assert read(accuracy.say_accuracy, make('SNN', 0.5)) == [
      'No mimic is among the main curves yet.']


def test_controls_compare_at_equal_inputs():
  lines = read(
      controls.say_controls, make_mimic(0.5),
      make('P', 0.6, objective='pseudo_label', teacher='E'), make('SNN', 0.5))
  assert lines == [
      'On train, logits against the same teacher\'s pseudo-labels: behind at 1'
      ' of 1 width, −10.0 points (width 64); by sign alone, for one seed has no'
      ' spread.',
      'On train, logits against labels: level at 1 of 1 width, +0.0 points'
      ' (width 64); by sign alone, for one seed has no spread.']
  assert read(controls.say_controls) == [
      'No two kinds of targets share inputs and width yet.']


def make_history(*values, seeds=1, noise=0.0):
  steps = list(range(0, 10 * len(values), 10))
  return [
      report_records.make_record('SNN', seed=seed, history={
          'step': steps, 'dev_accuracy': [v + noise * seed for v in values]})
      for seed in range(seeds)]


@pytest.mark.parametrize(('history', 'expected'), [
    (make_history(0.5, 0.7, 0.6, seeds=2, noise=0.02),
     'SNN is highest at step 10 (71.0 %) and ends at 61.0 %, 10.0 ± 2.0 points'
     ' lower: it declines by more than the spread of seeds.'),
    (make_history(0.5, 0.61, 0.6, seeds=2, noise=0.02),
     'SNN is highest at step 10 (62.0 %) and ends at 61.0 %, 1.0 ± 2.0 points'
     ' lower: no decline beyond the spread of seeds.'),
    (make_history(0.5, 0.7, 0.6),
     'SNN is highest at step 10 (70.0 %) and ends at 60.0 %, 10.0 points lower:'
     ' with one seed there is no spread to judge this fall by.'),
    (make_history(0.5, 0.6),
     'SNN is highest at step 10 (60.0 %), its last: it does not overfit within'
     ' this training.')])
def test_histories_tell_the_fall_from_the_peak(history, expected):
  assert read(overfitting.say_histories, history) == [expected]


def test_no_history():
  assert read(overfitting.say_histories, make('SNN', 0.5), figure_width=3) == [
      'No main model of this width has a history of dev accuracy.']


def test_sweeps_tell_the_slope():
  lines = read(
      student_vs_teacher.say_sweeps, make_ensemble(model='A', dev=0.7),
      make_ensemble(model='B', dev=0.8), make_ensemble(model='C', dev=0.9),
      make_mimic(0.5, teacher='A', dev=0.5),
      make_mimic(0.5, teacher='B', dev=0.6),
      make_mimic(0.5, teacher='C', dev=0.4))
  assert lines == [
      'Width 64: −10.0 points from the weakest teacher (A, 70.0 % on dev;'
      ' student 50.0 %) to the strongest (C, 90.0 %; student 40.0 %); a better'
      ' teacher made a better student in 1 of 2 steps.']


def test_sweeps_need_two_teachers():
  assert read(
      student_vs_teacher.say_sweeps, make_ensemble(), make_mimic(0.5)) == [
      'Mimics have one teacher only (E): there is no slope to read.']
  assert read(student_vs_teacher.say_sweeps, make_ensemble()) == [
      'No mimic on logits is here yet.']


def test_lost_members_are_named():
  def say(context):
    return wording.say_lost(context.points)
  assert read(say, make('SNN', 0.5)) == []
  lost = make('SNN', 0.5, float('nan')), make(
      'CNN', 0.5, diverged=True, role='teacher', width=0)
  assert read(accuracy.say_accuracy, *lost)[-1:] == read(say, *lost) == [
      '2 members diverged and are left out of every mean: CNN seed 0, SNN width'
      ' 64 seed 1.']


def test_search_counts_choices_at_an_end():
  records = [
      report_records.make_record(
          'SNN', width=width, learning_rate=rate, phase='search',
          selected=rate == chosen)
      for width, chosen in ((8, 0.02), (16, 0.04))
      for rate in (0.01, 0.02, 0.04)]
  def say(*records):
    return rate_search.say_search(Context(records))
  assert say(*records) == [
      '1 of 2 chosen learning rates stand at an end of the range searched: the'
      ' best may lie beyond it.']
  assert say(*records[:3]) == [
      '0 of 1 chosen learning rates stand at an end of the range searched.']
  assert say(*records[1:2]) == [
      'No learning rate was searched.']  # one rate leaves no choice
  assert say() == ['No learning rate was searched.']
