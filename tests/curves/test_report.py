import csv
import io
import json
import math
import os
import pathlib
import random
import subprocess
import sys

import pytest
import report_records

from shallow_mimic import curves, errors
from shallow_mimic.curves import Context, drawing, report, results
from shallow_mimic.curves.sections import overfitting
from shallow_mimic.evaluation.records import Record
from shallow_mimic.runs import files

pytestmark = pytest.mark.filterwarnings('error')
COLUMNS = [
    'model', 'role', 'objective', 'width', 'seed', 'learning_rate',
    'parameters', 'multiply_adds', 'split', 'metric', 'value', 'selected']
FILES = {
    'results.csv', 'table.txt', 'index.html', *(
        f'figures/{name}.{kind}' for kind in ('png', 'svg') for name in (
            'figure1_accuracy', 'figure1_controls', 'figure2_overfitting',
            'figure3_teachers'))}
# The usual records hold KL beside logits and pseudo-labels.
STUDIES = {'figures/figure_losses.png', 'figures/figure_losses.svg'}


def write(directory, records, **changes):
  options = {'title': 'Tiny', 'notes': ['One note.'], 'figure_width': None}
  return curves.write_report(directory, records, **options | changes)


def read_bytes(directory):
  return {str(path.relative_to(directory)): path.read_bytes()
          for path in directory.rglob('*') if path.is_file()}


def read_csv(records):
  text = results.format_csv(records)
  return list(csv.DictReader(io.StringIO(text, newline='')))


@pytest.fixture(scope='module')
def usual(tmp_path_factory):
  directory = tmp_path_factory.mktemp('usual') / 'report'
  records = report_records.make_records(widths=(64, 256))
  return write(directory, records), records


def test_report_has_all_its_files(usual):
  path, _ = usual
  assert path.name == 'index.html' and isinstance(path, pathlib.Path)
  assert set(read_bytes(path.parent)) == FILES | STUDIES


def test_equal_records_in_any_order_give_equal_bytes(usual, tmp_path):
  path, records = usual
  shuffled = json.loads(json.dumps([r.to_json() for r in records]))
  random.Random(0).shuffle(shuffled)
  write(tmp_path, [
      Record.from_json(dict(reversed(r.items()))) for r in shuffled])
  assert read_bytes(tmp_path) == read_bytes(path.parent)


def test_page_has_figures_tables_readings_and_notes(usual):
  page = usual[0].read_text(encoding='utf-8')
  for text in ('<title>Tiny</title>', 'Figure 1. Accuracy against number of',
               'Figure 2. ', 'Figure 3. ', 'Losses. ', 'KL, T = 4', 'One note.',
               'results.csv',
               'On test, SNN-MIMIC against', 'logits − pseudo-labels',
               'SNN-dropout is highest at step', 'stand at an end'):
    assert text in page
  assert page.count('src="data:image/svg+xml;base64,') == 5
  assert page.count('src=') == 5 and 'diverged and' not in page
  assert 'paper: error' not in page and 'PER' not in page


def test_table_on_disk_is_the_one_for_the_terminal(usual):
  path, records = usual
  text = (path.parent / 'table.txt').read_text(encoding='utf-8')
  assert text == report.format_table(records, 'Tiny')
  assert max(map(len, text.splitlines())) <= 100


def test_csv_columns_and_values_by_hand():
  record = report_records.make_record(
      'SNN', seed=3, best_step=750, weight_decay=1e-4, temperature=4.0,
      inputs_count=3600, metrics={
          'test': {'nll': 1 / 3, 'accuracy': 0.1}, 'dev': {'kl': None}})
  text = results.format_csv([record])
  head = 'SNN,student,cross_entropy,64,3,0.02,3210,3136,'
  assert text.split('\n') == [
      ','.join(COLUMNS), *[f'{head}{end},True' for end in (
          'dev,kl,', 'test,accuracy,0.1', 'test,nll,0.3333333333333333',
          ',best_step,750', ',diverged,False', ',hidden_units,64',
          ',inputs_count,3600', ',parameters_absorbed,3210',
          ',sequential_depth,2', ',temperature,4.0',
          ',weight_decay,0.0001')], '']


def test_csv_values_read_back_the_same():
  records = report_records.make_records(widths=(64,), seeds=2)
  rows = read_csv(records)
  assert list(rows[0]) == COLUMNS
  found = {
      (r['model'], r['width'], r['seed'], r['learning_rate'], r['split'],
       r['metric']): r for r in rows}
  assert len(found) == len(rows)
  for record in records:
    prefix = 'search_' if record.phase == 'search' else ''
    rate = record.learning_rate
    key = (record.model, str(record.width), str(record.seed),
           '' if rate is None else repr(rate))
    for split, metrics in record.metrics.items():
      for metric, value in metrics.items():
        row = found[*key, split, prefix + metric]
        assert float(row['value']) == value
        assert row['selected'] == str(record.selected)
        assert int(row['parameters']) == record.parameters
    assert found[*key, '', f'{prefix}best_step']['value'] == '900'


def test_csv_goes_teachers_first_then_by_width():
  rows = read_csv(report_records.make_records(widths=(1024, 64), seeds=1))
  roles = [row['role'] for row in rows]
  assert roles == sorted(roles, key=['teacher', 'ensemble', 'student'].index)
  widths = [int(row['width']) for row in rows if row['model'] == 'SNN']
  assert widths == sorted(widths) and len(set(widths)) == 2


def test_csv_keeps_what_diverged_and_quotes_names():
  record = report_records.make_record(
      'SNN, "odd"', diverged=True, metrics={'dev': {'accuracy': math.nan}})
  rows = {row['metric']: row for row in read_csv([record])}
  assert math.isnan(float(rows['accuracy']['value']))
  assert rows['diverged']['value'] == 'True'
  assert rows['accuracy']['model'] == 'SNN, "odd"'


def test_diverged_members_are_counted_and_named(tmp_path):
  records = [
      report_records.make_record('SNN-MIMIC', seed=seed, diverged=not seed)
      for seed in range(3)]
  records[0].metrics['test']['accuracy'] = math.nan
  line = ('1 member diverged and is left out of every mean: SNN-MIMIC width 64'
          ' seed 0.')
  assert line in report.format_table(records)
  assert '2 (1 diverged)' in report.format_table(records)
  assert line in write(tmp_path, records).read_text(encoding='utf-8')


def test_table_has_teachers_on_top_and_rounds_to_tenths():
  records = [
      report_records.make_record(
          'SNN', seed=seed, metrics={'dev': {'accuracy': 0.5 + 0.01 * seed},
                                     'test': {'accuracy': 0.4}})
      for seed in range(3)]
  records += [report_records.make_record('DNN', 'teacher', width=0)]
  lines = report.format_table(records).splitlines()
  assert lines[4].split() == ['DNN', '–', '3,210', '0.02', '1', '50.0', '50.0']
  assert lines[5].split() == [
      'SNN', '64', '3,210', '0.02', '3', *'51.0 ± 1.0'.split(),
      *'40.0 ± 0.0'.split()]


def test_no_records_at_all(tmp_path):
  page = write(tmp_path, []).read_text(encoding='utf-8')
  assert set(read_bytes(tmp_path)) == FILES
  assert (tmp_path / 'results.csv').read_text(
      encoding='utf-8') == ','.join(COLUMNS) + '\n'
  assert 'No mimic is among the main curves yet.' in page


def test_speech_reports_phone_errors(tmp_path):
  records = report_records.make_records(
      widths=(64,), seeds=1, speech=True, controls=())
  page = write(tmp_path, records).read_text(encoding='utf-8')
  assert 'Accuracy means 100 − phone error rate (PER).' in page
  assert report.format_table(records).startswith('100 − phone error rate (%)')
  record, = [r for r in records if r.model == 'DNN']
  shown = f'{100 * (1 - record.metrics["test"]["per"]):.1f}'
  assert f'<td>{shown}</td>' in page


def test_paper_rows_and_figure_width_reach_the_page(tmp_path):
  records = [
      report_records.make_record('SNN', width=width, history={
          'step': [width], 'dev_accuracy': [0.5]}) for width in (8, 16)]
  page = write(
      tmp_path, records, figure_width=8, paper_rows=[
          {'model': 'SNN-8', 'architecture': '8k', 'error': 23.1,
           'printed_parameters': '~12M'}]).read_text(encoding='utf-8')
  assert '<td>8k</td><td>~12M</td><td>23.1</td>' in page
  assert 'SNN is highest at step 8 (50.0 %)' in page
  image = drawing.render(
      overfitting.draw_histories, Context(records, figure_width=8))
  found = tmp_path / 'figures' / 'figure2_overfitting.svg'
  assert found.read_bytes() == image.svg


def test_a_full_disk_is_the_users_to_mend(tmp_path):
  (tmp_path / 'report').write_text('a file in the way', encoding='utf-8')
  with pytest.raises(errors.UserError, match=r'cannot write .*results\.csv'):
    write(tmp_path / 'report', [])


@pytest.mark.parametrize('backend', [
    'module://matplotlib_inline.backend_inline', 'nonsense'])
def test_the_environment_does_not_change_the_report(usual, tmp_path, backend):
  path, records = usual
  files.write_json(tmp_path / 'records.json', [r.to_json() for r in records])
  code = (
      'import json, pathlib, sys\n'
      'from shallow_mimic import curves\n'
      'from shallow_mimic.evaluation.records import Record\n'
      'trees = json.loads(pathlib.Path(sys.argv[2]).read_bytes())\n'
      'from shallow_mimic.runs.headless import import_headless\n'
      'import_headless("mnist1d.data")\n'  # Brings pyplot, as a run's data do.
      'curves.write_report(\n'
      '    sys.argv[1], list(map(Record.from_json, trees)), title="Tiny",\n'
      '    notes=["One note."], figure_width=None)')
  done = subprocess.run(
      [sys.executable, '-c', code, str(tmp_path / 'report'),
       str(tmp_path / 'records.json')], text=True, capture_output=True,
      check=False, env=os.environ | {'MPLBACKEND': backend})
  assert done.returncode == 0, done.stderr
  assert read_bytes(tmp_path / 'report') == read_bytes(path.parent)


def test_any_name_is_drawn_and_told_as_it_is_written(tmp_path, warnings):
  names = ['a$b^$', r'$\frac$', '$x_2$', '_hidden', '教师']
  records = [report_records.make_record(
      name, 'ensemble', width=0, learning_rate=None) for name in names]
  records += [
      report_records.make_record(
          f'{name}{end}', mixture=name, teacher=names[0], architecture=name,
          objective='logit_regression', width=width)
      for name in names for width in (8, 16) for end in ('', '/control')]
  page = write(
      tmp_path, records, title=names[0], notes=names, paper_rows=[
          {'model': name, 'architecture': name} for name in names]
  ).read_text(encoding='utf-8')
  figures = ''.join(path.read_text('utf-8') for path in tmp_path.rglob('*.svg'))
  for name in names:
    assert f'<td class=word>{name}</td>' in page
    for text in (name, f'{name}/control: logits', f'Inputs: {name}'):
      assert f'<!-- {text} -->' in figures
  assert warnings == [
      'the font of the figures lacks 师教: there they are boxes; the page and'
      ' results.csv have them']
