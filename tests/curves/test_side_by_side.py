"""Several runs on one page: names, tables by hand, figures, equal bytes."""

import csv
import io
import re

import numpy as np
import pytest
import report_records

from shallow_mimic import curves
from shallow_mimic.curves import results, side_by_side, tables
from shallow_mimic.curves.section import Context
from shallow_mimic.curves.side_by_side import Entry

pytestmark = pytest.mark.filterwarnings('error')
CONTROLS = (
    ('SNN', 'cross_entropy', 'train', '', 70.0),
    ('SNN-MIMIC', 'logit_regression', 'train', 'ECNN', 80.0),
    ('SNN-MIMIC/views', 'logit_regression', 'views', 'ECNN', 75.0))


def make_entry(name, *records, config=None, **context):
  return Entry(name, f'runs/{name}', config or {}, Context(
      records, title=name, **context), [f'Note of {name}.'])


def make_nets(model, width, *accuracies, **changes):
  """One net for each accuracy on test."""
  return [report_records.make_record(
      model, seed=seed, width=width, parameters=10 * width,
      metrics={'dev': {'accuracy': 0.5}, 'test': {'accuracy': accuracy}},
      **changes) for seed, accuracy in enumerate(accuracies)]


FIRST = make_entry('A', *make_nets('CNN', 0, 0.9, role='teacher'),
                   *make_nets('SNN', 8, 0.5, 0.7), *make_nets('SNN', 4, 0.4))
SECOND = make_entry('B', *make_nets('CNN', 0, 0.8, role='teacher'),
                    *make_nets('SNN', 8, 0.9, 0.7), *make_nets('SNN', 2, 0.3))
THIRD = make_entry('C', *make_nets('SNN', 2, 0.4), *make_nets('DNN', 0, 0.8))


@pytest.fixture(name='usual', scope='module')
def fixture_usual():
  """Two runs of which the second has a better teacher."""
  def make(name, gain, **config):
    rng = np.random.default_rng(0)
    records = report_records.make_teachers(rng) + report_records.make_students(
        rng, widths=(64, 256), controls=[
            (model, loss, text, teacher, level + gain * bool(teacher))
            for model, loss, text, teacher, level in CONTROLS])
    return make_entry(name, *records, config=config)

  return (make('two thousand', 0, size=2000, students={'seeds': 3}),
          make('twenty thousand', 9, size=20_000, students={'seeds': 3}))


def write(directory, entries, **options):
  side_by_side.write_side_by_side(
      directory, entries, **{'title': 'Both'} | options)
  return {path.relative_to(directory).as_posix(): path.read_bytes()
          for path in directory.rglob('*') if path.is_file()}


@pytest.fixture(name='drawn', scope='module')
def fixture_drawn(usual, tmp_path_factory):
  return write(tmp_path_factory.mktemp('drawn'), usual)


def test_names_are_titles_or_folders_where_these_are_equal():
  assert side_by_side.name_runs(['A', 'B'], ['x', 'y']) == ['A', 'B']
  assert side_by_side.name_runs(['A', 'B', 'A'], ['x', 'y', 'z']) == [
      'x', 'B', 'z']


def test_results_say_of_which_run_they_are():
  text = results.format_runs({'A': FIRST.context.records,
                              'B, "b"': SECOND.context.records})
  rows = list(csv.DictReader(io.StringIO(text, newline='')))
  assert list(rows[0]) == ['run', *results.COLUMNS]
  alone = results.format_csv(SECOND.context.records)
  assert [{key: row[key] for key in results.COLUMNS}
          for row in rows if row['run'] == 'B, "b"'] == list(
      csv.DictReader(io.StringIO(alone, newline='')))
  runs = [row['run'] for row in rows]
  assert runs == sorted(runs) and len(set(runs)) == 2


def test_differences_by_hand():
  table = side_by_side.make_change_table([FIRST, SECOND])
  assert table.header == ('model', 'width', 'A', 'B', 'B − A')
  assert table.rows == [
      ('CNN', '–', '90.0', '80.0', '−10.0'),
      ('SNN', '8', '60.0 ± 14.1', '80.0 ± 14.1', '+20.0 ± 20.0')]


def test_differences_of_three_are_to_the_first():
  table = side_by_side.make_change_table([FIRST, SECOND, THIRD])
  assert table.header == (
      'model', 'width', 'A', 'B', 'C', 'B − A', 'C − A')
  assert table.rows == [
      ('CNN', '–', '90.0', '80.0', '–', '−10.0', '–'),
      ('SNN', '2', '–', '30.0', '40.0', '–', '–'),
      ('SNN', '8', '60.0 ± 14.1', '80.0 ± 14.1', '–', '+20.0 ± 20.0', '–')]


def test_differences_are_told_in_words():
  assert side_by_side.say_changes([FIRST, SECOND, THIRD]) == [
      'On test, SNN of B against that of A: level at 1 of 1 width, +20.0 ± 20.0'
      ' points (width 8).']
  better = make_entry('D', *make_nets('SNN', 8, 0.9, 0.9),
                      *make_nets('SNN', 4, 0.3))
  assert side_by_side.say_changes([FIRST, better]) == [
      'On test, SNN of D against that of A: ahead at 1, behind at 1 of 2'
      ' widths, −10.0 points (width 4) to +30.0 ± 14.1 points (width 8); by'
      ' sign alone, for one seed has no spread.']


def test_nets_that_two_runs_share_are_the_same():
  again = make_entry('B', *make_nets('CNN', 0, 0.9, role='teacher'),
                     *make_nets('SNN', 8, 0.7, 0.5),
                     *make_nets('SNN', 4, 0.4))
  rows = side_by_side.make_change_table([FIRST, again]).rows
  assert [row[-1] for row in rows] == [
      'same nets', 'same nets', '+0.0 ± 20.0']
  assert side_by_side.say_changes([FIRST, again]) == [
      'On test, SNN of B against that of A: level at 1 of 1 width, +0.0 ± 20.0'
      ' points (width 8).']


def test_scores_have_a_column_for_the_run():
  table = side_by_side.make_score_table([FIRST, SECOND])
  assert table.header[:3] == ('run', 'model', 'width') and table.words == 2
  assert [row[:3] for row in table.rows] == [
      ('A', 'CNN', '–'), ('A', 'SNN', '4'), ('A', 'SNN', '8'),
      ('B', 'CNN', '–'), ('B', 'SNN', '2'), ('B', 'SNN', '8')]
  assert tables.format_text(table).splitlines()[2].startswith('run  model  ')


def test_fields_that_differ():
  configs = (
      {'title': 'A', 'seed': 0, 'curves': {'SNN': {'rate': 1.5}}, 'w': [1, 2],
       'path': 'x' * 99},
      {'title': 'B', 'seed': 0, 'curves': {'SNN': {'rate': 2.0}, 'new': {}},
       'w': [1, 2], 'path': None})
  table = side_by_side.make_config_table([
      make_entry(name, config=config)
      for name, config in zip('AB', configs, strict=True)])
  assert table.header == ('field', 'A', 'B')
  assert table.rows == [
      ('work directory', 'runs/A', 'runs/B'),
      ('curves.SNN.rate', '1.5', '2.0'), ('curves.new', '–', 'there'),
      ('path', '"' + 59 * 'x' + '…', '–')]


def test_page_has_both_and_each(drawn):
  page = drawn['index.html'].decode()
  order = ['<h1>Both</h1>', '<h2>The runs, and where', '<td class=word>size',
           '<h2>Accuracy against number', '<h2>The same model in different',
           'On test, SNN-MIMIC of twenty thousand against that of two thousand:'
           ' ahead at 2 of 2 widths', '<h2>Accuracy (%): mean',
           'id="run-1">1. two thousand</h2>', '<h3>Figure 1. Accuracy',
           'Note of two thousand.', 'id="run-2">2. twenty thousand</h2>',
           '<h3>Figure 1. Accuracy', 'Note of twenty thousand.',
           '<h2>Notes and definitions</h2>']
  places = [page.index(order[0])]
  for text in order[1:]:
    places.append(page.index(text, places[-1]))
  assert 'students.seeds' not in page
  assert '<a href="#run-2">2. twenty thousand</a>' in page
  assert {name for name in drawn if name.endswith('.svg')} >= {
      'figures/figure_runs.svg', 'figures/figure_models.svg',
      'figures/1/figure1_accuracy.svg', 'figures/2/figure1_accuracy.svg'}
  text = drawn['table.txt'].decode()
  assert text.startswith('Accuracy (%) on test: mean ± sd over seeds, and diff')
  assert '\ntwenty thousand  SNN-MIMIC ' in text


def test_equal_runs_give_equal_bytes(usual, drawn, tmp_path):
  assert write(tmp_path, usual) == drawn


def test_each_is_as_its_own_report(usual, drawn, tmp_path):
  curves.write_report(tmp_path, usual[1].context.records, title='', notes=(),
                      figure_width=None)
  own = {path.name: path.read_bytes()
         for path in (tmp_path / 'figures').iterdir()}
  assert len(own) > 4
  assert own == {name.rpartition('/')[2]: data for name, data in drawn.items()
                 if name.startswith('figures/2/')}


def read_words(svg):
  return re.findall('<!-- (.*?) -->', svg.decode())


def test_figures_name_runs_and_models(drawn):
  words = read_words(drawn['figures/figure_runs.svg'])
  # A panel for each run; what is in it stands once, at the right.
  for name in ('two thousand', 'twenty thousand', 'SNN', 'SNN-MIMIC', 'ECNN',
               'CNN (mean of 4)', 'Test accuracy (%)'):
    assert words.count(name) == 1, name
  words = read_words(drawn['figures/figure_models.svg'])
  for name in ('two thousand', 'twenty thousand', 'SNN', 'SNN-MIMIC'):
    assert words.count(name) == 1, name
  assert 'SNN-MIMIC/views' not in words


def test_panels_of_runs_have_one_scale():
  def measure(entries):
    figure = side_by_side.draw_runs(entries)
    figure.canvas.draw()
    return [(*axes.get_xlim(), *axes.get_ylim()) for axes in figure.axes]

  small, large = measure([FIRST, SECOND])
  assert small == pytest.approx(large)
  assert small[0] < 20 and small[1] > 80  # Of both.


def test_a_run_has_one_colour_in_every_panel(usual):
  figure = side_by_side.draw_models(usual)
  colours = [{line.get_color() for line in axes.get_lines()
              if len(line.get_xdata()) == 2 and line.get_marker() != 'None'}
             for axes in figure.axes]
  assert len(colours[0]) == 2 and colours[0] == colours[1]
  # The teacher's level, dashed, where the model has one.
  dashed = [[line for line in axes.get_lines() if line.get_linestyle() == '--']
            for axes in figure.axes]
  assert [len(lines) for lines in dashed] == [0, 2]


def test_what_cannot_be_compared_is_not(tmp_path):
  found = write(tmp_path, [FIRST, SECOND],
                refusal='B and A have different test sets')
  page = found['index.html'].decode()
  assert 'No differences are shown: B and A have different test sets.' in page
  assert 'figures/figure_models.svg' not in found
  assert 'B − A' not in page + found['table.txt'].decode()
  assert 'figures/figure_runs.svg' in found


def test_speech_beside_pictures(tmp_path):
  rng = np.random.default_rng(0)
  speech = report_records.make_students(
      rng, widths=(64,), controls=CONTROLS, speech=True)
  found = write(tmp_path, [FIRST, make_entry('Speech', *speech)], refusal='no')
  page = found['index.html'].decode()
  assert page.count('Accuracy means 100 − phone error rate (PER).') == 1
  assert 'Test accuracy, or 100 − PER (%)' in read_words(
      found['figures/figure_runs.svg'])


def test_runs_that_share_nothing(tmp_path):
  found = write(tmp_path, [make_entry('A'), THIRD])
  page = found['index.html'].decode()
  assert 'No two runs have a model of one name, role and width.' in page
  assert 'no students' in read_words(found['figures/figure_runs.svg'])


def test_seven_runs_stand_in_three_rows(tmp_path):
  entries = [make_entry(name, *make_nets('SNN', 8, 0.5 + place / 20))
             for place, name in enumerate('ABCDEFG')]
  figure = side_by_side.draw_runs(entries)
  shown = [axes.get_title(loc='left') for axes in figure.axes if axes.axison]
  assert shown == list('ABCDEFG') and len(figure.axes) == 9
