"""Tests of all stages in a row: what they leave, resuming, refusing."""

import csv
import dataclasses
import html
import io
import re
import shutil

import numpy as np
import pytest
import tiny_experiment
from work_dirs import copy_run, find, flip_bit, read_all

from shallow_mimic import configs, curves, errors, pipeline, register
from shallow_mimic.runs import versions
from shallow_mimic.training import fit

COLUMNS = ['model', 'role', 'objective', 'width', 'seed', 'learning_rate',
           'parameters', 'multiply_adds', 'split', 'metric', 'value',
           'selected']
# What is to be put in place in the midst of a stage, and what the next start
# says that it goes on with.
FATAL = [
    ('data/dataset.json', 'data: reading arrays'),
    ('checkpoints/15', 'teachers DNN from 14 of 20'),
    # One of a round's nets is there.
    ('teachers/DNN/1', 'teachers DNN from 20 of 20'),
    ('part-00001.npy', 'logits EDNN.* from 25 of '),
    ('checkpoints/10', 'students search from 9 of 10'),
    ('final/SNN/width-5,seed-0,rate-*', 'students from 20 of 20'),
    ('scores/SNN/width-5,seed-0,rate-*', 'students: there already, verified'),
    ('.report.tmp/index.html', 'students scores: there already, verified'),
]


def read_results(workdir):
  text = (workdir / 'report' / 'results.csv').read_text(encoding='utf-8')
  return list(csv.reader(io.StringIO(text)))


def test_results_have_the_columns_and_every_kind_of_row(finished):
  header, *rows = read_results(finished[1])
  assert header == COLUMNS
  rows = [dict(zip(header, row, strict=True)) for row in rows]

  def accuracy(**want):
    return [
        row for row in rows
        if all(row[key] == value for key, value in want.items())]

  final = dict(metric='accuracy', split='test', selected='True')
  assert len(accuracy(role='teacher', **final)) == 2
  assert len(accuracy(role='ensemble', **final)) == 1
  # Two curves, two widths, two seeds.
  assert len(accuracy(role='student', **final)) == 8
  # Two curves, two widths, two learning rates, one seed; on dev alone.
  search = accuracy(metric='search_accuracy')
  assert len(search) == 8
  assert {row['split'] for row in search} == {'dev'}
  assert len({row['selected'] for row in search}) == 2
  mimic = accuracy(model='SNN-MIMIC', metric='agreement', split='test')
  assert {row['objective'] for row in mimic} == {'logit_regression'}
  for row in accuracy(role='student', width='5'):
    assert int(row['parameters']) == 4 * 5 + 5 + 5 * 3 + 3
    assert int(row['multiply_adds']) == 4 * 5 + 5 * 3


def test_second_run_does_no_work(finished, monkeypatch):
  npz, workdir = finished
  before = read_all(workdir)
  monkeypatch.setattr(fit, 'fit', None)
  said = []
  path = pipeline.run(tiny_experiment.make_config(npz), workdir,
                      say=said.append)
  assert path == workdir / 'report' / 'index.html'
  assert [re.sub('(logits EDNN)[^:]*', r'\1', line) for line in said[:-1]
          if line != 'logits EDNN transfer: there already, verified'] == [
      f'{stage}: there already, verified' for stage in (
          'data', 'teachers DNN', 'ensembles EDNN', 'logits EDNN',
          'students search', 'students', 'students scores', 'curves')]
  assert 'SNN-MIMIC' in said[-1]
  assert read_all(workdir) == before


def test_killed_in_every_stage_ends_with_the_same_bits(finished, tmp_path):
  npz, reference = finished
  workdir, began = tmp_path / 'run', ''
  for pattern, begins in FATAL:
    fatal = pattern
    if '*' in pattern:  # The rate that the search chooses.
      fatal = str(find(reference, f'students/{pattern}').relative_to(reference))
    killed = tiny_experiment.start(npz, workdir, fatal)
    assert killed.returncode == -9, killed.stderr
    assert not list(workdir.glob(f'**/{fatal}'))
    assert re.search(began, killed.stdout)
    began = begins
  ended = tiny_experiment.start(npz, workdir)
  assert ended.returncode == 0, ended.stderr
  assert re.search(began, ended.stdout)
  ours, theirs = read_all(workdir), read_all(reference)
  assert len(theirs) > 100 and ours.keys() == theirs.keys()
  assert [path for path in theirs if ours[path] != theirs[path]] == []


@pytest.mark.parametrize('stage, needed, folder', [
    ('teachers', 'data', 'data'),
    ('ensembles', 'teachers', 'teachers/DNN/0'),
    ('logits', 'teachers', 'teachers/DNN/1'),
    ('students', 'teachers', 'teachers/DNN/0'),
    ('students', 'logits', 'logits/EDNN*'),
    ('curves', 'teachers', 'teachers/DNN/0'),
    ('curves', 'ensembles', 'ensembles/EDNN'),
    ('curves', 'students', 'students/search/SNN/width-3*'),
    ('curves', 'students', 'students/final/SNN-MIMIC/width-5,seed-1*'),
    ('curves', 'students', 'students/scores/SNN/width-3,seed-0*'),
])
def test_stage_before_the_one_it_needs(finished, tmp_path, stage, needed,
                                       folder):
  npz, workdir = copy_run(finished, tmp_path)
  gone = find(workdir, folder)
  shutil.rmtree(gone)
  with pytest.raises(errors.UserError) as error:
    pipeline.run(tiny_experiment.make_config(npz), workdir, stages=(stage,))
  assert re.fullmatch(
      f'{re.escape(str(gone))}(/train)? is not finished; run the stage'
      f' `{needed}` first', str(error.value))


def test_scores_need_the_ensembles_that_they_compare_to(finished, tmp_path):
  npz, workdir = copy_run(finished, tmp_path)
  config = tiny_experiment.make_config(npz)
  shutil.rmtree(workdir / 'students/scores')
  path = workdir / 'ensembles/EDNN/test.npy'
  flip_bit(path)
  with pytest.raises(errors.UserError) as error:
    pipeline.run(config, workdir, stages=('students',), say=lambda _: None)
  assert str(error.value).startswith(f'{path} is damaged')
  shutil.rmtree(workdir / 'ensembles')
  with pytest.raises(errors.UserError) as error:
    pipeline.run(config, workdir, stages=('students',), say=lambda _: None)
  assert str(error.value) == (f'{workdir}/ensembles/EDNN is not finished; run'
                              ' the stage `ensembles` first')


@pytest.mark.parametrize(('names', 'message'), [
    (('data', 'student'), "there is no stage 'student'; known: "),
    ((), 'no stage is named; name one or more of '),
    ('data', "there is no stage 'd'; known: ")])
def test_stages_that_are_none(tmp_path, names, message):
  with pytest.raises(errors.UserError) as error:
    pipeline.run(tiny_experiment.make_config(), tmp_path / 'run', stages=names)
  assert str(error.value) == message + (
      'data, teachers, ensembles, logits, students, latencies, curves')
  assert not (tmp_path / 'run').exists()


def test_stages_run_in_order_whatever_order_they_are_named_in(
    finished, tmp_path):
  npz, workdir = copy_run(finished, tmp_path)
  for folder in ('ensembles', 'logits', 'report'):
    shutil.rmtree(workdir / folder)
  said = []
  def run(*names):
    return pipeline.run(
        tiny_experiment.make_config(npz), workdir, stages=names,
        say=said.append)
  run('logits', 'ensembles', 'logits')
  assert said[0] == 'ensembles EDNN: done' and set(said[1:]) <= {
      f'logits EDNN{end}: done' for end in ('', ' train', ' transfer')}
  # What lies between two stages is verified as what comes before them is.
  flip_bit(find(workdir, 'students/scores/*/*/record.json'))
  with pytest.raises(errors.UserError, match=r'record\.json is damaged'):
    run('data', 'curves')
  run('data', 'logits')  # They need no students.


@pytest.mark.parametrize('stage', ['logits', 'students', 'curves'])
def test_a_stage_alone_verifies_those_before_it(finished, tmp_path, stage):
  npz, workdir = copy_run(finished, tmp_path)
  path = workdir / 'data/dev.x.npy'
  flip_bit(path)
  with pytest.raises(errors.UserError) as error:
    pipeline.run(tiny_experiment.make_config(npz), workdir, stages=(stage,))
  assert str(error.value).startswith(f'{path} is damaged')


def test_other_data_are_refused(finished, tmp_path):
  _, workdir = copy_run(finished, tmp_path)
  other = tmp_path / 'tiny.npz'
  x = tiny_experiment.make_arrays()['x_train']
  tiny_experiment.write_npz(other, x_train=np.roll(x, 1, axis=1))
  config = tiny_experiment.make_config(other)
  before = read_all(workdir)
  with pytest.raises(errors.UserError) as error:
    pipeline.run(config, workdir)
  # Two teachers, eight students of the search, and eight that are final.
  assert str(error.value) == (
      f'the content of the data source: 18 trained nets of {workdir}'
      ' (teachers/DNN/0, …) would be thrown away; set that back, choose another'
      f' --workdir, or say --redo=data: what no longer fits is moved into'
      f' {workdir}/old and made anew')
  assert read_all(workdir) == before
  # Data made anew: what was trained on the old ones is not used.
  shutil.rmtree(workdir / 'data')
  with pytest.raises(errors.UserError) as error:
    pipeline.run(config, workdir, say=lambda _: None)
  assert str(error.value).startswith(
      f'{workdir / "teachers/DNN/0"} was trained with another data;')


def test_equal_data_elsewhere_are_the_same_data(finished, tmp_path,
                                                monkeypatch):
  npz, workdir = copy_run(finished, tmp_path)
  before = read_all(workdir)
  shutil.copyfile(npz, tmp_path / 'moved.npz')
  monkeypatch.setattr(fit, 'fit', None)
  pipeline.run(tiny_experiment.make_config(tmp_path / 'moved.npz'), workdir,
               say=lambda _: None)
  after = read_all(workdir)
  assert [path.name for path in before if after[path] != before[path]] == [
      'config.json']


def test_data_that_are_gone_are_not_missed_once_they_were_read(
    finished, tmp_path, monkeypatch):
  _, workdir = copy_run(finished, tmp_path)
  monkeypatch.setattr(fit, 'fit', None)
  said = []
  config = tiny_experiment.make_config(tmp_path / 'none.npz')
  pipeline.run(config, workdir, say=said.append)
  assert 'none.npz' in said[0] and said[0].endswith(
      '; what was read from it before is used')
  config.data.seed += 1
  with pytest.raises(errors.UserError, match=r'none\.npz'):
    pipeline.run(config, workdir)


def test_deleted_stage_is_made_anew_alone(finished, tmp_path, monkeypatch):
  npz, workdir = copy_run(finished, tmp_path)
  shutil.rmtree(workdir / 'report')
  monkeypatch.setattr(fit, 'fit', None)
  said = []
  pipeline.run(tiny_experiment.make_config(npz), workdir, say=said.append)
  assert 'curves: done' in said
  name = 'report/results.csv'
  assert (workdir / name).read_bytes() == (finished[1] / name).read_bytes()


def test_a_configuration_may_have_been_read(finished):
  npz, workdir = finished
  said = []
  pipeline.run(configs.read_config(tiny_experiment.make_config(npz)), workdir,
               stages=('curves',), say=said.append)
  assert said[0] == 'curves: there already, verified'


def test_what_is_wrong_is_refused_before_a_folder_is_made(tmp_path):
  config = tiny_experiment.make_config(tmp_path / 'none.npz')
  config.teachers = {'/tmp/x': config.teachers.DNN}
  with pytest.raises(errors.UserError, match=(
      r"^config\.teachers is '/tmp/x'; it must be named as folders can be")):
    pipeline.run(config, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_a_report_is_made_of_ones_own_sections_too(finished, tmp_path):
  npz, workdir = copy_run(finished, tmp_path)
  def draw():
    return pipeline.run(
        tiny_experiment.make_config(npz), workdir, stages=('curves',),
        say=lambda line: None)
  mine = curves.Section(name='mine', version='1', title='Mine')
  for version in ('1', '2'):
    register(dataclasses.replace(mine, version=version))
    draw()
    page = (workdir / 'report/index.html').read_text(encoding='utf-8')
    assert '<h2>Mine</h2>' in page
    assert f'section mine (version {version})' in page


def test_a_directory_says_itself_how_it_was_made(finished, tmp_path):
  npz, workdir = copy_run(finished, tmp_path)
  run = pipeline.read_run(workdir)
  assert run.config == configs.read_config(tiny_experiment.make_config(npz))
  before = read_all(workdir)
  shutil.rmtree(workdir / 'report')
  assert pipeline.write_report(workdir) == workdir / 'report/index.html'
  assert read_all(workdir) == before


@pytest.mark.parametrize(('gone', 'missing'), [
    ('students/scores/SNN/width-3,seed-1*', 1),
    ('students/final/SNN/width-3,seed-1*', 1),
    ('students/search/SNN/width-3,seed-0,rate-0.05*', 2)])
def test_a_report_of_what_is_there_says_what_is_not(finished, tmp_path, gone,
                                                    missing):
  _, workdir = copy_run(finished, tmp_path)
  shutil.rmtree(find(workdir, gone))
  page = pipeline.write_report(workdir).read_text(encoding='utf-8')
  assert f'{missing} students are not trained yet.' in page
  finals = [row for row in read_results(workdir)[1:] if row[1:5] in (
      ['student', 'cross_entropy', '3', '0'],
      ['student', 'cross_entropy', '3', '1'])
      and row[8:10] == ['test', 'accuracy']]
  assert len(finals) == 2 - missing


def test_other_versions_are_told_and_not_refused(finished, tmp_path,
                                                 monkeypatch):
  npz, workdir = copy_run(finished, tmp_path)
  today = versions.find_versions()
  monkeypatch.setattr(versions, 'find_versions', lambda: today | {'jax': '9'})
  monkeypatch.setattr(fit, 'fit', None)
  said = []
  pipeline.run(tiny_experiment.make_config(npz), workdir, say=said.append)
  line = ("Made partly with other versions than today's, so that the last bits"
          f' may differ: jax {today["jax"]} (now 9).')
  assert said.count(line) == 1
  page = (workdir / 'report/index.html').read_text(encoding='utf-8')
  assert html.unescape(page).count(line) == 1


def test_unlabelled_inputs_are_no_use_to_labels(tmp_path):
  npz = tmp_path / 'tiny.npz'
  tiny_experiment.write_npz(npz)
  config = tiny_experiment.make_config(npz)
  config.students.curves.SNN.inputs = 'train+transfer'
  with pytest.raises(errors.UserError) as error:
    pipeline.run(config, tmp_path / 'run', say=lambda _: None)
  assert str(error.value) == (
      "config.students.curves.SNN.inputs is 'train+transfer', but 'transfer'"
      ' has no labels to train on')


def test_nets_that_cannot_be_are_refused_before_any_work(tmp_path):
  npz = tmp_path / 'tiny.npz'
  tiny_experiment.write_npz(npz)
  config = tiny_experiment.make_config(npz)
  config.students.curves.SNN.parameters = (1000, 10)
  for message in (
      'architecture "H" cannot be made as small as 10 parameters: it has 11 at'
      ' width 1', 'architecture "4c-p-p-3" on inputs of shape (4,): "p" needs'):
    with pytest.raises(errors.UserError) as error:
      pipeline.run(config, tmp_path / 'run', say=lambda _: None)
    assert str(error.value).startswith(message)
    assert not (tmp_path / 'run' / 'data' / 'done.json').exists()
    shutil.rmtree(tmp_path / 'run')
    config = tiny_experiment.make_config(npz)
    config.students.curves.SNN.architecture = '4c-p-p-H'
