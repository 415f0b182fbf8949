"""launch.report: one directory in its place, several in a folder of theirs."""

import csv
import shutil

import pytest
from scripts import check_refused

import shallow_mimic
from launch import report, run
from shallow_mimic import curves, pipeline
from shallow_mimic.pipeline import side_by_side
from shallow_mimic.runs import kept

pytestmark = pytest.mark.filterwarnings(
    'ignore:the load_module:DeprecationWarning')


def read_bytes(folder):
  return {path.relative_to(folder).as_posix(): path.read_bytes()
          for path in folder.rglob('*') if path.is_file()}


@pytest.fixture(name='here')
def fixture_here(finished, tmp_path):
  """A finished run, `here/run`."""
  return shutil.copytree(finished[1], tmp_path / 'here' / 'run')


@pytest.fixture(name='half')
def fixture_half(here):
  """The same, but for the mimics of width 5: `here/half`."""
  half = shutil.copytree(here, here.with_name('half'))
  for folder in (half / 'students' / 'final').glob('*MIMIC/width-5,*'):
    shutil.rmtree(folder)
  return half


@pytest.mark.parametrize('words', [
    ('here/run/',), ('--workdir=here/run',)])
def test_one_is_drawn_in_its_place(launch, here, words):
  before = read_bytes(here)
  shutil.rmtree(here / 'report')
  status, stdout, stderr = launch(report.main, *words)
  assert status == 0, stderr
  lines = stdout.splitlines()
  assert lines[0] == 'configuration of here/run/config.json'
  assert lines[1] == 'run: Accuracy (%): mean ± sd over seeds'
  assert lines[-1] == f'report: {here}/report/index.html'
  assert read_bytes(here) == before


def test_one_with_other_fields(launch, here):
  status, stdout, stderr = launch(
      report.main, '--config.students.widths', '(3,)', 'here/run',
      '--title=Narrow')
  assert status == 0, stderr
  assert 'Narrow: Accuracy (%): mean ± sd over seeds' in stdout
  rows = csv.DictReader(
      (here / 'report/results.csv').read_text(encoding='utf-8').splitlines())
  assert {row['width'] for row in rows} == {'0', '3'}
  assert 'run' not in rows.fieldnames


def test_one_that_is_half_done(launch, half):
  status, stdout, stderr = launch(report.main, 'here/half')
  assert status == 0, stderr
  assert stdout.count('\nSNN-MIMIC ') == 1 and stdout.count('\nSNN ') == 2
  page = (half / 'report/index.html').read_text(encoding='utf-8')
  assert '<li>2 students are not trained yet.</li>' in page


def test_several_on_one_page(launch, here, half, tmp_path):
  before = read_bytes(here.parent)
  words = ('here/run', '--to=both', 'here/half')
  status, stdout, stderr = launch(report.main, *words)
  assert status == 0, stderr
  lines = stdout.splitlines()
  assert lines[0] == (
      'Accuracy (%) on test: mean ± sd over seeds, and differences')
  assert lines[-1] == f'report: {tmp_path}/both/index.html'
  both = tmp_path / 'both'
  rows = list(csv.DictReader(
      (both / 'results.csv').read_text(encoding='utf-8').splitlines()))
  assert list(rows[0])[:2] == ['run', 'model']
  alone = list(csv.DictReader(
      (here / 'report/results.csv').read_text(encoding='utf-8').splitlines()))
  assert [row for row in rows if row.pop('run') == 'run'] == alone
  page = (both / 'index.html').read_text(encoding='utf-8')
  assert '<title>run and half</title>' in page
  assert page.count('<li>2 students are not trained yet.</li>') == 1
  assert '<td class=word>here/half</td>' in page  # Its folder.
  # Nothing is written there, and again the same.
  assert read_bytes(here.parent) == before
  first = read_bytes(both)
  (both / 'table.txt').write_bytes(b'')  # A damaged one is drawn anew.
  assert launch(report.main, *words)[::2] == (0, '')
  assert read_bytes(both) == first


def test_a_page_of_others_is_replaced(launch, here, half, tmp_path):
  kept.write_whole(
      tmp_path / 'report', lambda folder: (folder / 'old').touch(),
      {'kind': 'side by side'})
  status, _, stderr = launch(
      report.main, 'here/half', 'here/run', '--title=A < B')
  assert status == 0, stderr
  found = read_bytes(tmp_path / 'report')
  assert b'<title>A &lt; B</title>' in found['index.html']
  assert 'old' not in found


@pytest.mark.parametrize(('words', 'line'), [
    (('here/run', 'here/half', '--to=here/run/report'),
     'here/run/report holds something else than a page of several runs; choose'
     ' another --to'),
    (('here/run', 'here/half', '--to=here/run/teachers/DNN/0'),
     'DNN/0 holds something else than a page of several runs; choose'),
    (('here/run', 'here/half', '--to=here'), 'here holds something else than'),
    (('here/run', 'here/half', '--to=here/run/config.json'),
     'config.json is no folder; choose another --to'),
    (('here/run', 'here/run/../run'), 'here/run is named twice'),
    (('here/run', 'nowhere'), 'nowhere is no work directory: it has no config'),
    (('nowhere', 'here/run'), 'nowhere is no work directory: it has no config'),
    (('nowhere',), 'nowhere is no work directory: it has no config.json'),
    (('here/run', '--workdir=here/half'),
     '--workdir beside here/run; name all directories without it'),
    (('here/run', '--to=there'),
     '--to is for several directories; the report of one lies in it'),
    (('here/run', 'here/half', '--config.seed=3'),
     '--config.seed: of several directories each has its own configuration'),
    (('here/run', 'here/half', '--to=/proc/1/fdinfo/x/y'),
     'cannot write /proc/1/fdinfo/x/y: ')])
def test_what_is_refused(launch, here, half, words, line):
  before = read_bytes(here.parent)
  check_refused(launch(report.main, *words), line)
  assert read_bytes(here.parent) == before


@pytest.mark.parametrize(('made_from', 'files', 'same'), [
    ({}, {}, True),
    ({'source': 'with other transfer inputs'}, {}, True),
    ({}, {'test.x.npy': 'prepared otherwise'}, True),
    ({'source': 'others'}, {'test.x.npy': 'others'}, False),
    ({}, {'test.y.npy': 'others'}, False),
    ({'source': 'others'}, {'train.x.npy': 'others'}, True)])
def test_which_data_are_compared(finished, made_from, files, same):
  root = kept.read_root(finished[1] / 'data')
  assert root.made_from.keys() > made_from.keys()
  assert root.files.keys() > files.keys()
  changed = kept.Root({**root.made_from, **made_from}, root.identity,
                      {**root.files, **files}, root.made_with)
  assert side_by_side._is_same_test(root, changed) is same


def test_a_section_that_nobody_has_registered_is_told(
    launch, here, tmp_path):
  section = curves.Section(name='mine', version='1', title='Mine',
                           say=lambda context: ['Something.'])
  shallow_mimic.register(section)
  pipeline.write_report(here)
  page = here / 'report/index.html'
  assert '<h2>Mine</h2>' in page.read_text(encoding='utf-8')
  curves.Section.registry.remove('mine')
  line = ('the report is drawn without the section mine, which nobody has'
          ' registered; name the file that does so with --config=FILE')
  assert line in launch(report.main, 'here/run')[1].splitlines()
  assert '<h2>Mine</h2>' not in page.read_text(encoding='utf-8')
  assert line not in launch(run.main, '--workdir=here/run')[1]
