import math

import pytest
import report_records

from launch.configs import cifar10_paper
from shallow_mimic import students, teachers
from shallow_mimic.curves import Context, summaries, tables
from shallow_mimic.curves.sections import controls, details, rate_search, sizes
from shallow_mimic.curves.summaries import Spread
from shallow_mimic.evaluation.describe import ensemble_sizes
from shallow_mimic.training import family


def make(model, test=0.5, dev=0.5, **changes):
  return report_records.make_record(
      model, metrics={'dev': {'accuracy': dev}, 'test': {'accuracy': test}},
      **changes)


def summarise(*records):
  return summaries.summarise(records)


def column(table, name):
  return [row[table.header.index(name)] for row in table.rows]


@pytest.mark.parametrize(('value', 'text'), [
    (Spread(74.04, 0.26, 3), '74.0 ± 0.3'),
    (Spread(74.04, math.nan, 1), '74.0'),
    (Spread(math.nan, math.nan, 0), '–')])
def test_show(value, text):
  assert tables.show(value) == text


def test_score_table_by_hand():
  table = tables.make_score_table(summarise(
      make('SNN', 0.60), make('SNN', 0.62, seed=1), make('SNN', 0.64, seed=2),
      make('SNN', 0.1, seed=3, diverged=True), make('SNN', width=8),
      make('E', role='ensemble', width=0, learning_rate=None)))
  assert table.rows == [
      ('E', '–', '3,210', '–', '1', '50.0', '50.0'),
      ('SNN', '8', '3,210', '0.02', '1', '50.0', '50.0'),
      ('SNN', '64', '3,210', '0.02', '3 (1 diverged)', '50.0 ± 0.0',
       '62.0 ± 2.0')]
  assert table.title.startswith('Accuracy (%)')


def test_a_field_that_differs_between_seeds_shows_its_range():
  table = tables.make_score_table(summarise(
      make('CNN', role='teacher'),
      make('CNN', role='teacher', seed=1, parameters=99, learning_rate=0.1)))
  assert table.rows[0][2:4] == ('99 to 3,210', '0.02 to 0.1')


def test_a_point_whose_members_all_diverged_stays_in_the_table():
  table = tables.make_score_table(summarise(make('SNN', diverged=True)))
  assert table.rows[0][4:] == ('0 (1 diverged)', '–', '–')


def test_text_has_columns_that_line_up():
  text = tables.format_text(tables.Table(
      'Title', ('model', 'test'), [('SNN-MIMIC', '74.0 ± 0.3'), ('SNN', '–')]))
  assert text == (
      'Title\n\nmodel            test\n---------------------\n'
      'SNN-MIMIC  74.0 ± 0.3\nSNN                 –\n')


def test_size_table_has_errors_and_absorbed_counts():
  table = sizes.make_size_table(report_records.make_context(
      make('SNN', 0.60, parameters=1000, parameters_absorbed=2500),
      make('SNN', 0.64, seed=1, parameters=1000, parameters_absorbed=2500)))
  assert column(table, 'parameters') == ['1,000']
  assert column(table, 'absorbed') == ['2,500']
  assert column(table, 'test') == ['62.0 ± 2.8']
  assert column(table, 'test error') == ['38.0 ± 2.8']
  assert table.header[-1] == 'test error'


def test_paper_rows_stand_beside_the_model_that_they_name():
  records = (
      make('DNN', role='teacher'), make('SNN', width=8000, architecture='8k'),
      make('SNN', width=50000, architecture='50k'))
  rows = [
      {'model': 'SNN-8k', 'width': 1, 'error': 0.5},
      {'model': 'SNN-8k', 'architecture': '8k + dropout',
       'printed_parameters': '~12M', 'error': 23.1},
      {'model': 'SNN', 'architecture': '50k', 'error': 23.0},
      {'model': 'DNN', 'error': 21.9}, {'model': 'DNN', 'error': 57.8},
      {'model': 'SNN', 'architecture': '400k', 'error': 23.6},
      {'model': 'ECNN', 'architecture': '9 CNNs', 'error': 18.5}]
  table = sizes.make_size_table(Context(records, paper_rows=rows))
  assert list(zip(column(table, 'model'), column(table, 'architecture'),
                  column(table, 'paper: architecture'),
                  column(table, 'paper: parameters'),
                  column(table, 'paper: error'), strict=True)) == [
      ('DNN', '64', '–', '–', '21.9'),
      ('SNN', '8k', '8k + dropout', '~12M', '23.1'),
      ('SNN', '50k', '50k', '–', '23.0'), ('SNN-8k', '–', '–', '–', '0.5'),
      ('DNN', '–', '–', '–', '57.8'), ('SNN', '–', '400k', '–', '23.6'),
      ('ECNN', '–', '9 CNNs', '–', '18.5')]
  assert {len(row) for row in table.rows} == {len(table.header)}


def make_planned(config, *problem):
  """A record of each net that a configuration will train."""
  searched = students.make_members(config.students, *problem, seeds=1)
  rates = {(m.model, m.width): (0.1, 0.0) for m in searched}
  deep = {name: teachers.make_members(name, group)
          for name, group in config.teachers.items()}
  shallow = students.make_members(
      config.students, *problem, seeds=1, rates=rates)

  def net(member):
    return family.member_net(member, *problem)

  records = [
      make(m.model, role=role, width=m.width, seed=m.seed, teacher=m.teacher,
           objective=m.objective.name, architecture=str(net(m).architecture))
      for role, members in (
          *(('teacher', group) for group in deep.values()),
          ('student', shallow))
      for m in members]
  return records + [
      make(name, role='ensemble', width=0, **ensemble_sizes(
          list(map(net, deep[ensemble.members[0]]))))
      for name, ensemble in config.ensembles.items()
      if ensemble.members[0] in deep]


def test_every_net_of_table_2_has_its_row_of_the_paper():
  config = cifar10_paper.get_config()
  context = Context(make_planned(config, (32, 32, 3), 10),
                    paper_rows=config.report.paper)
  found = {
      (row['model'], row['error']): sizes.find_paper_point(context.points, row)
      for row in config.report.paper}
  assert found.pop(('features and SVM', 18.4)) is None
  assert {key: (s.model, s.net[1], s.teacher) for key, s in found.items()} == {
      ('DNN', 57.8): ('DNN', '2000fc-2000fc', ''),
      ('SNN', 21.8): ('SNN', '128c-p-1200L-30k', ''),
      ('CNN', 12.0): ('CNN', '128c-p-128c-p-128c-p-1000fc', ''),
      ('ECNN', 11.0): ('ECNN', '4 × 128c-p-128c-p-128c-p-1000fc', ''),
      ('SNN-MIMIC-64c/CNN:0', 15.4): (
          'SNN-MIMIC-64c/CNN:0', '64c-p-1200L-30k', 'CNN:0'),
      ('SNN-MIMIC/CNN:0', 15.1): (
          'SNN-MIMIC/CNN:0', '128c-p-1200L-30k', 'CNN:0'),
      ('SNN-MIMIC', 14.2): ('SNN-MIMIC', '128c-p-1200L-30k', 'ECNN')}
  table = sizes.make_size_table(context)
  shown = [error for error in column(table, 'paper: error') if error != '–']
  assert sorted(map(float, shown)) == sorted(
      row['error'] for row in config.report.paper)


def test_gain_table_by_hand():
  # Logits 70, 74: 72 ± 2.83; pseudo-labels 69, 70: 69.5 ± 0.71; together
  # 2.5 ± √(8 + 0.5) = 2.92. Labels have one seed: no sd.
  mimic = {'objective': 'logit_regression', 'teacher': 'E'}
  pseudo = {'objective': 'pseudo_label', 'teacher': 'E'}
  table = controls.make_gain_table(report_records.make_context(
      make('M', 0.70, **mimic), make('M', 0.74, seed=1, **mimic),
      make('P', 0.69, **pseudo), make('P', 0.70, seed=1, **pseudo),
      make('SNN', 0.75)))
  assert table.rows == [(
      'train', '64', '64', '75.0 (SNN)', '69.5 ± 0.7 (P)', '72.0 ± 2.8 (M)',
      '+2.5 ± 2.9', '−3.0')]


def test_gain_table_without_a_kind_has_no_difference():
  table = controls.make_gain_table(report_records.make_context(
      make('SNN', 0.5), make('P', 0.6, objective='pseudo_label')))
  assert table.rows[0][3:] == ('50.0 (SNN)', '60.0 (P)', '–', '–', '–')


def test_detail_table_is_of_the_test_set():
  record = make('SNN', multiply_adds=3136, sequential_depth=2, best_step=750,
                objective='distillation_kl', temperature=4.0)
  record.metrics['test'] |= {
      'nll': 0.12345, 'ece': 0.021, 'agreement': 0.9, 'kl': None}
  ensemble = make('E', role='ensemble', width=0, best_step=0)
  table = details.make_detail_table(Context([record, ensemble]))
  assert column(table, 'best step') == ['–', '750']
  assert column(table, 'loss')[0] == '–'
  assert table.rows[1:] == [(
      'SNN', 'KL, T = 4', '64', '0.02', '750', '3,136', '2', '0.123', '2.1',
      '90.0', '–')]


def test_search_table_marks_the_choice_and_what_diverged():
  found = {0.01: 0.50, 0.02: 0.60, 0.04: 0.55}
  records = [
      make('SNN', dev=dev, learning_rate=rate, phase='search',
           selected=rate == 0.02, diverged=rate == 0.04)
      for rate, dev in found.items()]
  # With another weight decay: 0.01 has a better one, 0.02 keeps the chosen.
  records += [make('SNN', dev=0.61, learning_rate=rate, phase='search',
                   weight_decay=0.1, selected=False) for rate in (0.01, 0.02)]
  records += [make('SNN', width=8, learning_rate=0.01, phase='search',
                   selected=True), make('SNN')]
  table = rate_search.make_search_table(Context(records))
  assert table.header == ('model', 'width', '0.01', '0.02', '0.04')
  assert table.rows == [('SNN', '8', '50.0*', '–', '–'),
                        ('SNN', '64', '61.0', '60.0*', 'diverged')]


def test_search_table_has_means_over_seeds():
  search = dict(phase='search', selected=False)
  table = rate_search.make_search_table(report_records.make_context(
      make('SNN', dev=0.50, **search), make('SNN', dev=0.60, seed=1, **search),
      make('SNN', dev=0.99, seed=2, diverged=True, **search)))
  assert table.rows == [('SNN', '64', '55.0')]


def test_tables_of_nothing():
  nothing = Context([])
  for table in (
      tables.make_score_table([]), sizes.make_size_table(nothing),
      controls.make_gain_table(nothing), details.make_detail_table(nothing),
      rate_search.make_search_table(nothing)):
    assert table.rows == []
    assert table.header[0] in tables.format_text(table)


def test_search_of_speech_shows_what_it_was_searched_by():
  """Phone errors are not known while learning rates are searched."""
  final = make('SNN', dev=0.5)
  final.metrics['dev']['per'] = 0.4
  table = rate_search.make_search_table(report_records.make_context(
      final, make('SNN', dev=0.31, learning_rate=0.01, phase='search')))
  assert table.rows == [('SNN', '64', '31.0*')]


def test_a_row_of_the_papers_alone_has_its_true_size():
  table = sizes.make_size_table(Context([make('SNN')], paper_rows=[
      {'model': 'SNN-8k', 'architecture': '8k', 'error': 23.1,
       'printed_parameters': '~12M', 'parameters': '16,232,183'}]))
  row = dict(zip(table.header, table.rows[-1], strict=True))
  assert (row['model'], row['parameters'], row['paper: parameters'],
          row['paper: error']) == ('SNN-8k', '16,232,183', '~12M', '23.1')
