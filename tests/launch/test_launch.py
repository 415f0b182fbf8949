"""Tests of the scripts: --config, one line and status 2 for every mistake."""

import os
import pathlib
import pickle
import shutil
import subprocess
import sys

import jax
import numpy as np
import places
import pytest
import tiny_experiment
from absl import flags
from scripts import check_refused, start_script

from launch import app, plan, report, run, usage

# The library that loads --config does so in an old way.
pytestmark = pytest.mark.filterwarnings(
    'ignore:the load_module:DeprecationWarning')
TINY = f'--config={tiny_experiment.__file__}'


@pytest.fixture(name='npz')
def make_npz(tmp_path):
  path = tmp_path / 'tiny.npz'
  tiny_experiment.write_npz(path)
  return path


def test_unknown_flag_of_the_real_script(tmp_path):
  check_refused(start_script('launch.run', '--confg=mnist1d', cwd=tmp_path),
                "Unknown command line flag 'confg'")


def test_unknown_config_of_the_real_script(tmp_path):
  check_refused(
      start_script('launch.run', '--config=mnist2d', cwd=tmp_path),
      'there is no config mnist2d; a path to a file, or one of', 'mnist1d')


def test_stage_too_early_of_the_real_script(npz, tmp_path):
  check_refused(
      start_script('launch.run', TINY, f'--config.data.path={npz}',
                   '--stages=students', cwd=tmp_path),
      'runs/tiny_experiment/data is not finished; run the stage `data` first')


def test_export_of_the_real_script(finished, tmp_path):
  npz, workdir = finished
  arguments = ['launch.export', TINY, f'--config.data.path={npz}',
               f'--workdir={workdir}', '--model=SNN-MIMIC', '--to=out']
  check_refused(start_script(*arguments, '--width=9', cwd=tmp_path),
                f'no student in {workdir} is SNN-MIMIC, width 9; known: SNN'
                ' (widths 3, 5, seeds 0, 1); SNN-MIMIC (widths 3, 5, seeds'
                ' 0, 1)')
  status, stdout, stderr = start_script(
      *arguments, '--width=5', '--seed=1', cwd=tmp_path)
  assert (status, stdout) == (0, 'SNN-MIMIC, width 5, seed 1: out\n'), stderr
  assert (tmp_path / 'out' / 'load.py').exists()


@pytest.mark.parametrize('argument, words', [
    ('--config.students.widht=3', ('unknown config field', 'widht')),
    ('--config.students.seeds=many', ('seeds',)),
    ('--config.students.widths=(3,0)', ('config.students.widths is 0',)),
    ('--config.students.widths=(3,3)', ('without repeats',)),
    ('--config.students.learning_rates=(0.1,float("nan"))', ()),
    ('--config.teachers.DNN.learning_rate=nan',
     ('config.teachers.DNN.learning_rate is nan; it must be finite',)),
    ('--config.data.path=none.npz', ('none.npz',)),
    ('--config.data.source=tape', ("unknown data source 'tape'",)),
    ('--config=none.py', ('there is no config none.py',)),
    ('--config.students.curves[SNN-MIMIC].inputs=train',
     ('put the whole flag in single quotes',)),
    ('--workdir=/proc/1/fdinfo/x', ('cannot write /proc/1/fdinfo/x/.lock: ',)),
    ('--flag', ("Unknown command line flag 'flag'",)),
    ('word', ("unknown argument 'word'; flags begin with --",)),
])
def test_wrong_arguments(launch, npz, argument, words):
  check_refused(
      launch(run.main, TINY, f'--config.data.path={npz}', argument), *words)


def nan_inputs():
  x = tiny_experiment.make_arrays()['x_train']
  x[3, 1] = np.nan
  return {'x_train': x}


@pytest.mark.parametrize('changes, words', [
    ({'y_test': np.full(24, 7)}, ('test', '7')),
    ({'y_train': np.arange(60) - 1}, ('train', '-1')),
    (nan_inputs(), ('train', 'row 3')),
    ({'y_train': np.arange(59) % 3}, ('60', '59')),
    ({'y_dev': np.arange(23) % 3}, ('24', '23')),
    ({'x_test': np.zeros((24, 5), np.float32)}, ('test', '5')),
])
def test_wrong_data(launch, tmp_path, changes, words):
  path = tmp_path / 'wrong.npz'
  tiny_experiment.write_npz(path, **changes)
  check_refused(launch(run.main, TINY, f'--config.data.path={path}'), *words)


class Trap:
  """Unpickled, it would leave a file behind."""

  def __reduce__(self):
    return (pathlib.Path('unpickled').touch, ())


def test_pickles_are_not_loaded(launch, tmp_path):
  path = tmp_path / 'trap.npz'
  arrays = tiny_experiment.make_arrays()
  arrays['y_train'] = np.array([Trap()], object)
  np.savez(path, **arrays)
  check_refused(launch(run.main, TINY, f'--config.data.path={path}'),
                'pickled objects')
  path.write_bytes(pickle.dumps(Trap()))
  check_refused(launch(run.main, TINY, f'--config.data.path={path}'))
  assert not pathlib.Path('unpickled').exists()


@pytest.mark.parametrize(('error', 'words'), [
    (jax.errors.JaxRuntimeError(
        'RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes\n'
        'and more'),
     'out of memory (RESOURCE_EXHAUSTED: Out of memory while trying to allocate'
     ' 9 bytes); use smaller widths, batch or data'),
    (MemoryError('of NumPy'), 'out of memory (of NumPy); use smaller widths'),
    (PermissionError(13, 'Permission denied', '/a/b'),
     'cannot use /a/b: Permission denied')])
def test_what_the_machine_refuses(launch, error, words):
  def main():
    raise error

  check_refused(launch(main), words)


def test_ctrl_c(launch):
  def main():
    raise KeyboardInterrupt

  status, _, stderr = launch(main)
  assert status == 130
  assert stderr == 'stopped; start the same command again to go on\n'


def test_faults_of_our_own_are_not_hidden():
  code = ('from launch import app\n'
          'def main(): raise RuntimeError("a bug")\n'
          'app.start(main)')
  done = subprocess.run(
      [sys.executable, '-c', code], check=False, capture_output=True, text=True,
      env={**os.environ, 'PYTHONPATH': str(places.ROOT)})
  assert done.returncode == 1
  assert 'RuntimeError: a bug' in done.stderr


def test_a_mistake_that_is_mended_is_no_other_configuration(
    launch, npz, tmp_path):
  here = f'--workdir={tmp_path}/run'
  check_refused(launch(run.main, TINY, here), 'config.data.path is not set')
  check_refused(
      launch(run.main, TINY, here, f'--config.data.path={npz}',
             '--config.data.limit_train=999'), 'cannot choose 999')
  check_refused(
      launch(run.main, TINY, here, f'--config.data.path={npz}',
             '--config.students.curves.SNN.inputs=train!4'),
      "'train!4', but the data have 0 folds")
  check_refused(
      launch(run.main, TINY, here, f'--config.data.path={npz}',
             '--config.parallel.split=batch', '--config.parallel.devices=4',
             '--config.students.batch=15'),
      'a batch of 15 cannot be split over 4 devices')
  status, stdout, stderr = launch(
      run.main, '--stages=data', TINY, here, f'--config.data.path={npz}')
  assert status == 0, stderr
  assert 'data: done' in stdout


def test_a_home_folder_is_found(launch, npz, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  status, _, stderr = launch(
      run.main, '--stages=data', TINY, '--workdir=~/there',
      f'--config.data.path=~/{npz.name}')
  assert status == 0, stderr
  assert (tmp_path / 'there' / 'config.json').exists()


def test_what_would_throw_nets_away(launch, finished):
  npz, workdir = finished
  check_refused(
      launch(run.main, TINY, f'--config.data.path={npz}',
             f'--workdir={workdir}', '--config.seed=3'),
      f'config.seed: there 0, now 3: 18 trained nets of {workdir} (',
      'would be thrown away; set that back, choose another --workdir, or say'
      ' --redo=teachers: what no longer fits is moved into')


@pytest.mark.parametrize('name', [
    'teachers/DNN/0/params.npz', 'logits/EDNN/train/part-00002.npy'])
def test_flipped_bits(launch, finished, tmp_path, name):
  npz, workdir = finished[0], tmp_path / 'run'
  shutil.copytree(finished[1], workdir)
  path = workdir / name
  data = bytearray(path.read_bytes())
  data[-3] ^= 16
  path.write_bytes(data)
  check_refused(
      launch(run.main, TINY, f'--config.data.path={npz}',
             f'--workdir={workdir}'), f'{path} is damaged')


def test_full_disk(launch, npz, tmp_path):
  folder = tmp_path / 'small'
  folder.mkdir()
  mounted = subprocess.run(
      ['mount', '-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', str(folder)],
      check=False, capture_output=True, text=True)
  if mounted.returncode:
    pytest.skip(f'no small disk to fill: {mounted.stderr.strip()}')
  try:
    check_refused(
        launch(run.main, TINY, f'--config.data.path={npz}',
               f'--workdir={folder}/run'),
        f'cannot write {folder}/run/', 'No space left on device')
  finally:
    subprocess.run(['umount', str(folder)], check=True)


@pytest.mark.parametrize('value', [
    'mnist1d_smoke', f'{usage.CONFIGS}/mnist1d_smoke.py',
    'launch/configs/mnist1d_smoke.py',
])
def test_config_as_name_path_and_path_in_a_clone(launch, value):
  assert not pathlib.Path('launch').exists()  # We are elsewhere.
  seen = []

  def main():
    seen.append((flags.FLAGS.config.title, flags.FLAGS.config.seed,
                 str(app.chosen_workdir())))

  status, _, stderr = launch(main, f'--config={value}', '--config.seed=3')
  assert status == 0, stderr
  assert seen == [('MNIST-1D, smoke test', 3, 'runs/mnist1d_smoke')]


def test_config_of_ones_own(launch, tmp_path):
  (tmp_path / 'mine.py').write_text(
      'from shallow_mimic import configs\n'
      'def get_config():\n'
      '  config = configs.default_config()\n'
      '  config.title = "mine"\n'
      '  return config\n', encoding='utf-8')
  seen = []
  launch(lambda: seen.append(flags.FLAGS.config.title), '--config=mine.py')
  assert seen == ['mine']


@pytest.mark.parametrize(('text', 'words'), [
    ('def get_config()\n  return 3\n', ()),
    ('def get_config():\n  return 3\n', ('needs a function get_config()',)),
    ('x = 3\n', ('needs a function get_config()',)),
    ('def get_config():\n  raise ValueError("not so")\n', ('not so',)),
    ('def get_config():\n  return unknown\n',
     ("the config file: name 'unknown' is not defined",)),
    ('from shallow_mimic import configs\n'
     'def get_config():\n  return configs.make_techer()\n',
     ("the config file: module 'shallow_mimic.configs' has no attribute"
      " 'make_techer'",)),
    ('import nothing_of_this_name\n',
     ("the config file: No module named 'nothing_of_this_name'",)),
])
def test_config_of_ones_own_with_a_mistake(launch, tmp_path, text, words):
  (tmp_path / 'mine.py').write_text(text, encoding='utf-8')
  check_refused(launch(run.main, '--config=mine.py'), *words)


def test_a_folder_is_no_config(launch, tmp_path):
  check_refused(launch(run.main, f'--config={tmp_path}'),
                f'there is no config {tmp_path}')


def test_the_unlabelled_inputs_of_ones_own_arrays(launch):
  seen = []

  def main():
    seen.append((
        flags.FLAGS.config.students.curves['SNN-MIMIC'].inputs,
        flags.FLAGS.config.data.transfer.transfer.kind,
        str(app.chosen_workdir())))

  status, _, stderr = launch(main, '--config', 'arrays:transfer')
  assert status == 0, stderr
  assert seen == [('train+views+transfer', 'arrays', 'runs/arrays')]
  check_refused(launch(main, '--config=arrays:more'),
                'arrays:more is not known')


def test_no_arguments_mean_the_default(launch):
  seen = []
  status, _, _ = launch(lambda: seen.append(flags.FLAGS.config.title))
  assert (status, seen) == (0, ['MNIST-1D'])


def test_plan_prints_the_papers_size(launch):
  status, stdout, stderr = launch(plan.main, '--config=cifar10_paper')
  assert status == 0, stderr
  assert ' 70.9M ' in stdout


def test_flags_in_a_file(launch, npz, tmp_path):
  (tmp_path / 'flags').write_text(
      f'# mine\n{TINY}\n--workdir=there\n--config.data.path={npz}\n'
      '--config.seed=3\n', encoding='utf-8')
  seen = []

  def main():
    seen.append((flags.FLAGS.config.seed, flags.FLAGS.config.data.path,
                 str(app.chosen_workdir())))

  for words in (['--flagfile=flags'], ['--flagfile', 'flags'],
                ['--flagfile=flags', '--config.seed=4']):
    status, _, stderr = launch(main, *words)
    assert status == 0, stderr
  assert seen == [(seed, str(npz), 'there') for seed in (3, 3, 4)]
  check_refused(launch(main, '--flagfile=none'),
                'Unable to open flagfile: [Errno 2] No such file')


def test_a_tuple_given_twice(launch, npz):
  assert launch(run.main, TINY, f'--config.data.path={npz}',
                '--config.students.widths=(3,)',
                '--config.students.widths=(5,)')[::2] == (
      2, 'error: --config.students.widths is given twice; give all values at'
      " once, as in '--config.students.widths=(1, 2)'\n")


@pytest.mark.parametrize(('words', 'line'), [
    ('teachers,learners', "--stages has 'learners'; known: data, teachers,"
     ' ensembles, logits, students, latencies, curves'),
    ('', "--stages has ''; known: data, teachers, ensembles, logits, students,"
     ' latencies, curves'),
    ('latencies', 'config.report.latency is False; say'
     ' --config.report.latency=True')])
def test_stages_that_cannot_run(launch, npz, words, line):
  assert launch(run.main, TINY, f'--config.data.path={npz}',
                f'--stages={words}')[::2] == (2, f'error: {line}\n')


def test_stages_run_in_their_own_order(launch, npz, tmp_path):
  status, stdout, stderr = launch(
      run.main, TINY, f'--config.data.path={npz}',
      '--stages=ensembles,teachers,data', '--workdir=here')
  assert status == 0, stderr
  assert [line for line in stdout.splitlines() if line.endswith(': done')] == [
      'data: done', 'teachers DNN: done', 'ensembles EDNN: done']
  assert 'report: ' not in stdout
  assert not (tmp_path / 'here/logits').exists()


def test_the_report_alone(launch, finished, tmp_path):
  npz, workdir = finished[0], tmp_path / 'run'
  shutil.copytree(finished[1], workdir)
  shutil.rmtree(workdir / 'report')
  status, stdout, stderr = launch(
      report.main, TINY, f'--config.data.path={npz}', f'--workdir={workdir}')
  assert status == 0, stderr
  assert stdout.endswith(f'report: {workdir}/report/index.html\n')
  for name in ('results.csv', 'index.html'):
    assert ((workdir / 'report' / name).read_bytes()
            == (finished[1] / 'report' / name).read_bytes())


def test_one_stage(launch, npz, tmp_path):
  status, stdout, stderr = launch(
      run.main, '--stages=data', TINY, f'--config.data.path={npz}',
      '--workdir=here')
  assert status == 0, stderr
  assert stdout.endswith('data: done\n')
  assert sorted(p.name for p in (tmp_path / 'here').iterdir()) == [
      '.lock', 'config.json', 'data']
