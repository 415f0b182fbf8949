"""Tests of all stages in a row: what they leave, resuming, refusing."""

import csv
import dataclasses
import io
import shutil

import numpy as np
import pytest
import tiny_experiment

from shallow_mimic import configs, curves, errors, pipeline, register
from shallow_mimic.pipeline import stages
from shallow_mimic.training import fit

COLUMNS = ['model', 'role', 'objective', 'width', 'seed', 'learning_rate',
           'parameters', 'multiply_adds', 'split', 'metric', 'value',
           'selected']
# One file of each stage, put in place in the midst of its work.
FATAL = [
    ('teachers/DNN/checkpoints/0/15', 'teachers DNN 1-2 from 14 of 20'),
    ('logits/EDNN/train/part-00002.npy', 'logits EDNN train from 50 of 60'),
    ('students/search/checkpoints/10', 'students search from 9 of 10'),
    ('students/final/checkpoints/15', 'students from 14 of 20'),
    ('report/index.html', None),
]


def read_results(workdir):
  text = (workdir / 'report' / 'results.csv').read_text(encoding='utf-8')
  return list(csv.reader(io.StringIO(text)))


def read_all(workdir):
  return {path.relative_to(workdir): path.read_bytes()
          for path in sorted(workdir.rglob('*')) if path.is_file()}


def copy_run(finished, tmp_path):
  """A copy of the finished run that a test may spoil."""
  npz, workdir = finished
  copy = tmp_path / 'run'
  shutil.copytree(workdir, copy)
  return npz, copy


def flip_bit(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 4
  path.write_bytes(data)


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
  assert said[:-1] == [f'{stage}: there already, verified' for stage in (
      'data', 'teachers DNN', 'ensembles EDNN', 'logits EDNN train',
      'logits EDNN transfer', 'students search', 'students', 'curves')]
  assert 'SNN-MIMIC' in said[-1]
  assert read_all(workdir) == before


def test_killed_in_every_stage_ends_with_the_same_bits(finished, tmp_path):
  npz, reference = finished
  workdir, began = tmp_path / 'run', []
  for fatal, begins in FATAL:
    killed = tiny_experiment.start(npz, workdir, fatal)
    assert killed.returncode == -9, killed.stderr
    assert not (workdir / fatal).exists()
    if began and began[-1]:
      assert began[-1] in killed.stdout
    began.append(begins)
  ended = tiny_experiment.start(npz, workdir)
  assert ended.returncode == 0, ended.stderr
  assert ended.stdout.count('there already, verified') == 7
  ours, theirs = read_all(workdir), read_all(reference)
  compared = [path for path in theirs if path.name in (
      'identity.json', 'records.json', 'results.csv', 'table.txt', 'done.json')
      or path.parts[0] in ('data', 'ensembles', 'logits')]
  compared = [path for path in compared
              # Orbax names the files of its checkpoints at random.
              if path.name != 'done.json'
              or path.parts[0] not in ('teachers', 'students')]
  assert len(compared) > 25
  assert {path: ours.get(path) for path in compared} == {
      path: theirs[path] for path in compared}
  assert not [path for path in ours if '.tmp' in str(path)]


@pytest.mark.parametrize('stage, needed, folder', [
    ('teachers', 'data', 'data'),
    ('ensembles', 'teachers', 'teachers/DNN'),
    ('logits', 'ensembles', 'ensembles/EDNN'),
    ('students', 'logits', 'logits/EDNN/train'),
    ('curves', 'students', 'students/search'),
])
def test_stage_before_the_one_it_needs(finished, tmp_path, stage, needed,
                                       folder):
  npz, workdir = copy_run(finished, tmp_path)
  shutil.rmtree(workdir / folder)
  with pytest.raises(errors.UserError) as error:
    pipeline.run(tiny_experiment.make_config(npz), workdir, stages=(stage,))
  assert str(error.value) == (
      f'{workdir / folder} is not finished; run the stage `{needed}` first')


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
  assert said == ['ensembles EDNN: done', 'logits EDNN train: done',
                  'logits EDNN transfer: done']
  # What lies between two stages is verified as what comes before them is.
  flip_bit(workdir / 'students/final/records.json')
  with pytest.raises(errors.UserError, match=r'records\.json is damaged'):
    run('data', 'curves')
  run('data', 'logits')  # They need no students.


def test_every_stage_needs_stages_before_it():
  for place, stage in enumerate(stages._STAGES):
    assert set(stage.needs) <= set(pipeline.STAGES[:place])


@pytest.mark.parametrize('name', [
    'data/train.x.npy', 'teachers/DNN/records.json', 'ensembles/EDNN/dev.npy',
    'logits/EDNN/train/part-00001.npy', 'students/search/records.json',
    'students/final/identity.json', 'report/results.csv',
])
@pytest.mark.parametrize('missing', [False, True])
def test_damage_in_a_finished_stage_is_named(finished, tmp_path, name, missing):
  npz, workdir = copy_run(finished, tmp_path)
  path = workdir / name
  if missing:
    path.unlink()
  else:
    flip_bit(path)
  with pytest.raises(errors.UserError) as error:
    pipeline.run(tiny_experiment.make_config(npz), workdir)
  what = 'missing' if missing else 'damaged'
  assert str(error.value).startswith(f'{path} is {what}')
  assert '\n' not in str(error.value)


def test_damaged_checkpoint_of_a_teacher_is_named(finished, tmp_path):
  npz, workdir = copy_run(finished, tmp_path)
  shutil.rmtree(workdir / 'logits')
  path = max((workdir / 'teachers/DNN/params').rglob('d/*'),
             key=lambda path: path.stat().st_size)
  flip_bit(path)
  with pytest.raises(errors.UserError) as error:
    pipeline.run(tiny_experiment.make_config(npz), workdir, stages=('logits',))
  assert str(error.value).startswith(f'{path} is damaged')


@pytest.mark.parametrize('stage', ['logits', 'students', 'curves'])
def test_a_stage_alone_verifies_those_before_it(finished, tmp_path, stage):
  npz, workdir = copy_run(finished, tmp_path)
  path = workdir / 'data/dev.x.npy'
  flip_bit(path)
  with pytest.raises(errors.UserError) as error:
    pipeline.run(tiny_experiment.make_config(npz), workdir, stages=(stage,))
  assert str(error.value).startswith(f'{path} is damaged')


def test_other_data_under_the_same_name_are_refused(finished, tmp_path):
  npz, workdir = copy_run(finished, tmp_path)
  other = tmp_path / 'tiny.npz'
  x = tiny_experiment.make_arrays()['x_train']
  tiny_experiment.write_npz(other, x_train=np.roll(x, 1, axis=1))
  config = tiny_experiment.make_config(other)
  with pytest.raises(errors.UserError, match='belongs to another config'):
    pipeline.run(config, workdir)
  # As if the file itself had been exchanged.
  text = (workdir / 'config.json').read_text(encoding='utf-8')
  (workdir / 'config.json').write_text(
      text.replace(str(npz), str(other)), encoding='utf-8')
  with pytest.raises(errors.UserError) as error:
    pipeline.run(config, workdir)
  assert str(error.value).startswith(
      f'{workdir / "data"} was made from another source;')
  # Data made anew: what was trained on the old ones is not used.
  shutil.rmtree(workdir / 'data')
  with pytest.raises(errors.UserError) as error:
    pipeline.run(config, workdir, say=lambda _: None)
  assert str(error.value).startswith(
      f'{workdir / "teachers/DNN"} was made from another data;')


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
    with pytest.raises(errors.UserError) as error:
      draw()
    assert str(error.value).startswith(
        f'{workdir}/report was made from another sections; delete it')
    shutil.rmtree(workdir / 'report')
    draw()
    page = (workdir / 'report/index.html').read_text(encoding='utf-8')
    assert '<h2>Mine</h2>' in page


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
