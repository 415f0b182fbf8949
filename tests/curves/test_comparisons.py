import pytest
import report_records

from shallow_mimic.curves import comparisons, summaries
from shallow_mimic.curves.sections import (
  controls,
  overfitting,
  student_vs_teacher,
)


def make(model, dev=0.5, test=0.5, **changes):
  return report_records.make_record(
      model, metrics={'dev': {'accuracy': dev}, 'test': {'accuracy': test}},
      **changes)


def make_mimic(model, dev=0.5, **changes):
  changes = {'objective': 'logit_regression', 'teacher': 'E'} | changes
  return make(model, dev, **changes)


def make_ensemble(model='E', dev=0.9, **changes):
  return make(model, dev, role='ensemble', width=0, learning_rate=None,
              **changes)


def names(curves):
  return [curve.name for curve in curves]


def find(function, *records, **options):
  return function(summaries.summarise(records), **options)


def test_curves_go_by_width_and_leave_other_teachers_out():
  curves = find(
      comparisons.find_curves, make_ensemble(), make_ensemble('F'),
      *[make_mimic('M', width=width) for width in (512, 64, 8)],
      make_mimic('M', width=8, seed=1), make_mimic('M/of-F', teacher='F'),
      make('SNN', diverged=True))
  assert names(curves) == ['M']
  assert [s.width for s in curves[0].points] == [8, 64, 512]


def test_one_model_on_two_inputs_is_two_curves():
  curves = find(comparisons.find_curves, make('SNN', mixture='train'),
                make('SNN', mixture='views'))
  assert names(curves) == ['SNN (train)', 'SNN (views)']


def test_main_curves_have_no_stroke_in_their_names():
  curves = find(comparisons.find_main_curves, make('SNN'), make('SNN/views'),
                make_ensemble())
  assert names(curves) == ['SNN']


def test_main_curves_of_every_teacher_are_drawn():
  curves = find(
      comparisons.find_main_curves, make_ensemble(), make_ensemble('F'),
      make_mimic('SNN-MIMIC', width=8), make_mimic('SNN-MIMIC', width=16),
      make_mimic('SNN-F-MIMIC', teacher='F'), make_mimic('M/F', teacher='F'))
  assert names(curves) == ['SNN-F-MIMIC', 'SNN-MIMIC']


@pytest.mark.parametrize(('text', 'pattern'), [
    ('1024', 'H'), ('250L-8k', '250L-H'), ('p2-20-20k', 'p2-H-H'),
    ('16c3-p2-100L-1.5k', '16c3-p2-100L-H'),
    ('128c-p-1000fc', '128c-p-1000fc')])
def test_a_curve_names_its_architecture_without_its_width(text, pattern):
  curve, = find(comparisons.find_curves, make('SNN', architecture=text))
  assert curve.architecture == pattern


def test_inputs_of_fewest_sets_come_first():
  groups = find(controls.group_by_inputs, *[
      make(f'SNN/{mixture}', mixture=mixture)
      for mixture in ('a+b', 'views', 'train')], make('SNN', mixture='views'))
  assert {key: names(curves) for key, curves in groups.items()} == {
      'train': ['SNN/train'], 'views': ['SNN', 'SNN/views'], 'a+b': ['SNN/a+b']}
  assert list(groups) == ['train', 'views', 'a+b']


def test_teachers_are_grouped_by_kind_with_the_main_ensemble():
  groups = find(
      comparisons.group_teachers, make_ensemble(),
      make_ensemble('Big', parameters=10**9), make_mimic('M'),
      *[make('CNN', role='teacher', seed=seed) for seed in range(3)],
      make('CNN/wide', role='teacher'), make('DNN', role='teacher'),
      make('DNN', role='teacher', seed=1, diverged=True))
  assert {name: len(group) for name, group in groups.items()} == {
      'CNN (mean of 4)': 4, 'DNN': 1, 'E': 1}


def test_every_ensemble_that_taught_a_main_curve_has_a_line():
  groups = find(
      comparisons.group_teachers, make_ensemble('E'), make_ensemble('F'),
      make_ensemble('G', parameters=10**9), make_mimic('SNN-MIMIC'),
      make_mimic('SNN-F-MIMIC', teacher='F'), make_mimic('M/G', teacher='G'))
  assert list(groups) == ['E', 'F']


def test_an_ensemble_that_shares_a_teachers_name_is_told_apart():
  groups = find(comparisons.group_teachers, make('CNN', role='teacher'),
                make_ensemble('CNN'))
  assert list(groups) == ['CNN', 'CNN (ensemble)']


def test_gains_take_the_best_on_dev_of_each_kind():
  gain, = find(
      controls.find_gains, make_ensemble(),
      make('SNN', dev=0.6, test=0.9), make('SNN-dropout', dev=0.7, test=0.1),
      make_mimic('M'), make('P', objective='pseudo_label', teacher='E'),
      make('SNN', width=8), make('SNN/views', mixture='views'))
  assert (gain.mixture, gain.width) == ('train', 64)
  assert [s.model for s in gain[3:]] == ['SNN-dropout', 'P', 'M']


def test_gains_are_of_equal_architectures():
  gains = find(
      controls.find_gains, make('SNN', architecture='64-64'),
      make_mimic('M', architecture='64'), make('P', architecture='64'))
  assert [(g.width, g.architecture, g.labels.model, g.logits.model)
          for g in gains] == [(64, '64', 'P', 'M')]


def test_gains_without_one_kind():
  gain, = find(controls.find_gains, make('SNN'), make_mimic('M'))
  assert gain.pseudo_labels is None and gain.logits.model == 'M'


def test_sweeps_go_by_teacher_accuracy_and_keep_all_else_equal():
  sweeps = find(
      student_vs_teacher.find_sweeps, make_ensemble('E', 0.9),
      make_ensemble('F', 0.8),
      make_mimic('M', 0.55, width=8), make_mimic('M', 0.65, width=8, seed=1),
      make_mimic('M/alike', 0.1, width=8),
      make_mimic('M/of-F', 0.5, width=8, teacher='F'),
      make_mimic('M/of-G', 0.5, width=8, teacher='G'),
      make_mimic('P', 0.1, width=8, teacher='F', objective='pseudo_label'),
      make_mimic('M', width=16), make_mimic('M/v', mixture='views', width=8))
  sweep, = sweeps  # width 16 and views have one teacher
  assert (sweep.width, sweep.mixture) == (8, 'train')
  assert sweep.teachers == ('F', 'E')
  assert [s.mean for s in sweep.x] == pytest.approx([80, 90])
  assert [s.mean for s in sweep.y] == pytest.approx([50, 60])
  assert [s.count for s in sweep.y] == [1, 2]


def test_sweeps_do_not_cross_architectures():
  sweeps = find(
      student_vs_teacher.find_sweeps, make_ensemble('E', 0.9),
      make_ensemble('F', 0.8),
      *[make_mimic(f'M/{text}-{teacher}', teacher=teacher, architecture=text)
        for text in ('64', '64-64') for teacher in 'EF'])
  assert [(s.architecture, s.teachers) for s in sweeps] == [
      ('64', ('F', 'E')), ('64-64', ('F', 'E'))]
  assert student_vs_teacher.name_sweeps(sweeps) == [
      'width 64 of 64', 'width 64 of 64-64']


def test_sweeps_are_named_by_what_differs():
  sweeps = find(
      student_vs_teacher.find_sweeps, make_ensemble(),
      make_mimic('M', width=8, architecture='8'),
      make_mimic('M', width=9, architecture='9'))
  assert student_vs_teacher.name_sweeps(sweeps) == ['width 8', 'width 9']
  sweeps += find(student_vs_teacher.find_sweeps, make_ensemble(),
                 make_mimic('M', mixture='views', architecture='64'))
  assert student_vs_teacher.name_sweeps(sweeps)[-1] == 'width 64 on views'


def test_sweeps_of_one_teacher_remain_where_there_is_no_other():
  sweeps = find(student_vs_teacher.find_sweeps, make_ensemble(),
                make_mimic('M', width=8), make_mimic('M', width=4))
  assert [sweep.width for sweep in sweeps] == [4, 8]


def test_an_ensemble_is_meant_before_a_teacher_of_its_name():
  sweep, = find(student_vs_teacher.find_sweeps, make_ensemble('E', 0.9),
                make('E', 0.5, role='teacher'), make_mimic('M'))
  assert sweep.x[0].mean == pytest.approx(90)


def test_histories_are_means_at_the_steps_that_seeds_share():
  def history(*values):
    return {
        'step': [10 * i for i in range(len(values))],
        'dev_accuracy': list(values)}

  records = [
      make('SNN', history=history(0.1, 0.2, 0.3)),
      make('SNN', seed=1, history=history(0.3, float('nan'), 0.5, 0.9)),
      make('SNN', seed=2, history=history(0.9, 0.9, 0.9), diverged=True),
      make('SNN', width=8, history=history(0.1)), make('SNN/x'),
      make('SNN-dropout', history=history(0.6)), make('SNN-none', history={})]
  width, found = find(overfitting.find_histories, *records)
  assert width == 64 and names(found) == ['SNN', 'SNN-dropout']
  assert found[0].steps == (0, 20)
  assert [s.mean for s in found[0].dev] == pytest.approx([20, 40])
  width, found = find(overfitting.find_histories, *records, width=8)
  assert width == 8 and names(found) == ['SNN']
  # No model has it: as if none were asked for.
  assert find(overfitting.find_histories, *records, width=9) == find(
      overfitting.find_histories, *records)
  assert find(overfitting.find_histories) == (None, [])


def test_seeds_without_a_common_step_have_no_history():
  records = [
      make('SNN', seed=step, history={'step': [step], 'dev_accuracy': [0.5]})
      for step in (10, 20)]
  assert find(overfitting.find_histories, *records) == (64, [])


def test_words_of_objectives():
  assert comparisons.name_objective('cross_entropy') == 'labels'
  assert comparisons.name_objective('my_own_loss') == 'my own loss'
