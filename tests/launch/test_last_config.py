"""Scripts without --config: the configuration of the work directory."""

import json
import pathlib
import shutil

import pytest
import tiny_experiment
import tiny_speech
from absl import flags
from scripts import check_refused

from launch import app, export, folds, run
from shallow_mimic import configs, errors, pipeline
from shallow_mimic.runs import workdir

# The library that loads --config does so in an old way.
pytestmark = pytest.mark.filterwarnings(
    'ignore:the load_module:DeprecationWarning')
TINY = f'--config={tiny_experiment.__file__}'


def write_config(root, config, **more):
  """The folder of a run of which nothing but its configuration is left."""
  pathlib.Path(root).mkdir(parents=True)
  workdir.write_config(root, configs.to_json(config) | more)


@pytest.fixture(name='read')
def fixture_read(launch):
  """read(*words): the configuration, and where it is used."""
  def read(*words):
    seen = []

    def main():
      seen.append((configs.to_json(flags.FLAGS.config),
                   str(app.chosen_workdir())))

    status, stdout, stderr = launch(main, *words)
    assert status == 0, stderr
    return *seen[0], stdout

  return read


@pytest.mark.parametrize('words', [
    (),
    ('--config.students.widths=(3,5,7)',),
    ('--config.students.widths', '(3,5,7)'),
    ('--config.students.widths=3', '--config.data.preprocessing=()'),
    ('--config.students.curves["SNN-MIMIC"].inputs=train',),
    ('--config.students.curves["SNN-MIMIC"].inputs', 'train'),
    ('--config.teachers.DNN.learning_rate=1', '--config.seed=7'),
    ('--config.report.latency', '--config.title=A B = C'),
    ('--noconfig.report.latency', '--config.report.latency=true')])
def test_flags_change_it_as_they_change_a_file(read, words):
  write_config('here', tiny_experiment.make_config())
  of_file, place, told = read(TINY, '--workdir=here', *words)
  assert (place, told) == ('here', '')
  found = read('--workdir=here', *words)
  assert found == (of_file, 'here', 'configuration of here/config.json\n')
  assert (of_file == configs.to_json(tiny_experiment.make_config())) == (
      not words)


@pytest.mark.parametrize('words', [
    ('--config.students.widht=3',), ('--config.students.seeds=many',),
    ('--config.students.curves[SNN-MIMIC].inputs=train',),
    ('--config.students.widths=(3,)', '--config.students.widths=(5,)'),
    ('--config.students.seeds=True',), ('--config=none',), ('word',),
    ('--config.seed',), ('--confg=mnist1d',)])
def test_a_wrong_flag_is_refused_as_beside_a_file(launch, words):
  write_config('here', tiny_experiment.make_config())
  def main():
    pass

  of_file = launch(main, TINY, '--workdir=here', *words)
  check_refused(of_file)
  assert launch(main, '--workdir=here', *words)[::2] == of_file[::2]


def test_that_of_the_default_experiment_in_its_own_place(read):
  config = tiny_experiment.make_config()
  config.title = 'Mine'
  write_config('runs/mnist1d', config)
  found, place, told = read()
  assert (found['title'], place) == ('Mine', 'runs/mnist1d')
  assert told == 'configuration of runs/mnist1d/config.json\n'
  found, place, told = read('--config=mnist1d')
  assert (found['title'], place, told) == ('MNIST-1D', 'runs/mnist1d', '')


def test_a_home_folder_and_flags_in_a_file(read, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  write_config('there', tiny_experiment.make_config())
  (tmp_path / 'flags').write_text('--workdir=~/there\n--config.seed=3\n',
                                  encoding='utf-8')
  found, place, _ = read('--flagfile=flags')
  assert (found['seed'], place) == (3, f'{tmp_path}/there')


@pytest.mark.parametrize('names', [
    {'loss huber': '2'}, {'layer gate': '1'}, {'source rings': '1'},
    {'loss huber': '2', 'layer gate': '1'}, {'planet mars': '1'}])
def test_what_nobody_has_registered_is_told(launch, names):
  write_config('here', tiny_experiment.make_config(), registered=names)
  line = (f'here/config.json uses the {" and the ".join(sorted(names))}, which'
          ' nobody has registered; name the file that does so with'
          ' --config=FILE')
  assert launch(run.main, '--workdir=here') == (2, '', f'error: {line}\n')
  with pytest.raises(errors.UserError) as refused:
    pipeline.read_run('here')
  assert str(refused.value).endswith(line)


@pytest.mark.parametrize(('text', 'line'), [
    ('{', 'here/config.json is damaged; run `launch.run` with the --config'),
    ('{}', 'here/config.json is of some other program, or'),
    ('[]', 'here/config.json is of some other program, or')])
def test_a_file_that_is_none(launch, text, line):
  pathlib.Path('here').mkdir()
  pathlib.Path('here/config.json').write_text(text, encoding='utf-8')
  check_refused(launch(run.main, '--workdir=here'), line)


@pytest.mark.parametrize('change', [
    {'registered': 3}, {'students': 3}, {'seed': None}, {'more': 1},
    {'data': {}}])
def test_a_well_formed_file_of_another_shape(launch, change):
  write_config('here', tiny_experiment.make_config(), **change)
  check_refused(launch(run.main, '--workdir=here'))
  with pytest.raises(errors.UserError):
    pipeline.read_run('here')


def test_another_title_of_a_finished_run(launch, finished, tmp_path):
  shutil.copytree(finished[1], tmp_path / 'run')
  status, stdout, stderr = launch(
      run.main, '--workdir=run', '--config.title=Mine')
  assert status == 0, stderr
  lines = stdout.splitlines()
  assert lines[0] == 'configuration of run/config.json'
  assert 'students: there already, verified' in lines
  assert 'Mine: Accuracy (%): mean ± sd over seeds' in lines
  tree = json.loads((tmp_path / 'run/config.json').read_text(encoding='utf-8'))
  assert tree['title'] == 'Mine'


def test_a_stage_that_the_run_is_not_made_for(launch, finished, tmp_path):
  shutil.copytree(finished[1], tmp_path / 'run')
  words = '--workdir=run', '--stages=latencies'
  check_refused(launch(run.main, *words), 'config.report.latency is False')
  status, stdout, stderr = launch(
      run.main, *words, '--config.report.latency')
  assert status == 0, stderr
  assert stdout.splitlines()[1:] == ['latencies: done']


def test_a_student_leaves_a_run(launch, finished, tmp_path):
  words = f'--workdir={finished[1]}', '--width=5', '--seed=1'
  status, stdout, stderr = launch(export.main, *words, '--to=out')
  assert status == 0, stderr
  assert stdout.splitlines()[1:] == ['SNN-MIMIC, width 5, seed 1: out']
  assert (tmp_path / 'out' / 'load.py').exists()
  check_refused(
      launch(export.main, *words, '--to=more',
             '--config.students.widths=(3,)'),
      f'no student in {finished[1]} is plain mimic, width 5, seed 1')


# Folds -----------------------------------------------------------------------


@pytest.fixture(name='begin')
def fixture_begin(launch, monkeypatch):
  """begin(*words): the first folder that is run, and its configuration."""
  def begin(*words):
    seen = []

    def stop(config, place):
      seen.append((str(place), config))
      raise errors.UserError('enough')

    monkeypatch.setattr(pipeline, 'run', stop)
    check_refused(launch(folds.main, *words), 'enough')
    return seen[0]

  return begin


def write_fold(root, fold, train_speakers=0):
  if not pathlib.Path('corpus').exists():
    tiny_speech.write_corpus(pathlib.Path('corpus'))
  config = tiny_speech.make_config('corpus')
  config.data.speech.fold = fold
  config.data.speech.train_speakers = train_speakers
  write_config(root, config)


def test_folds_go_on_with_that_of_the_first(begin):
  write_fold('here/fold-2', 2)
  place, config = begin('--workdir=here', '--config.students.seeds=5')
  assert (place, config.title, config.students.seeds) == (
      'here/fold-0', 'Tones', 5)
  assert config.data.speech.fold == 0


def test_folds_go_on_with_the_numbers_of_speakers(begin):
  for size in (3, 12):
    write_fold(f'here/speakers-{size}/fold-1', 1, size)
  place, config = begin('--workdir=here')
  assert (place, config.title) == ('here/speakers-3/fold-0', 'Tones')
  assert config.data.speech.train_speakers == 3
  place, config = begin('--workdir=here', '--train_speakers=12')
  assert place == 'here/speakers-12/fold-0'
  assert config.data.speech.train_speakers == 12
  place, config = begin(
      '--workdir=here', f'--config={tiny_speech.__file__}',
      '--config.data.path=corpus')
  assert place == 'here/fold-0' and not config.data.speech.train_speakers


def test_folds_without_any_are_those_of_their_own_experiment(begin):
  write_fold('here', 0)  # A work directory, but none of folds.
  place, config = begin('--workdir=here', '--config.data.path=corpus')
  assert (place, config.title) == (
      'here/fold-0',
      'NLTK TIMIT sample, 16 speakers (not the TIMIT corpus)')
