"""--help, --version and the subcommands, in processes as users have them."""

import pytest
from scripts import check_refused, start_script

from launch import usage
from launch.__main__ import COMMANDS
from shallow_mimic import __version__, pipeline

OWN = {'run': '--stages=', 'plan': '', 'report': '', 'export': '--model=',
       'folds': '--train_speakers=', 'benchmark': '--only='}


def check_help(result, script):
  status, stdout, stderr = result
  assert (status, stderr) == (0, '')
  assert stdout.startswith(usage.read_summary(
      usage.CONFIGS.parent / f'{script}.py'))
  assert OWN[script] in stdout and '--flagfile=' in stdout
  if script != 'benchmark':
    assert '--workdir=' in stdout and '--config.students.seeds=5' in stdout
    for name in usage.config_names():
      assert f'\n          {name} ' in stdout


@pytest.mark.parametrize('script', COMMANDS)
def test_help_of_every_script(script, tmp_path):
  check_help(start_script(f'launch.{script}', '--help', cwd=tmp_path), script)


@pytest.mark.parametrize('script', COMMANDS)
def test_help_of_every_subcommand(script, tmp_path):
  result = start_script('launch', script, '--help', cwd=tmp_path)
  check_help(result, script)
  assert 'python -m' not in result[1]
  assert f'    shallow-mimic {script}' in result[1]


@pytest.mark.parametrize('word', ['-h', '-help', '--helpshort', '--helpfull'])
def test_words_for_help(word, tmp_path):
  # Whatever else is there: no config is loaded.
  result = start_script(
      'launch.run', '--config=no_such', word, '--more', cwd=tmp_path)
  check_help(result, 'run')
  assert ('--verbosity=' in result[1]) == (word == '--helpfull')


def test_help_does_not_load_jax(tmp_path):
  code = tmp_path / 'script.py'
  code.write_text(
      'import atexit, sys\n'
      'from launch import run\n'
      "sys.argv = ['script', '--help']\n"
      'atexit.register(lambda: print(sorted('
      "{'jax', 'numpy', 'ml_collections'} & set(sys.modules))))\n"
      'run.start()\n', encoding='utf-8')
  status, stdout, stderr = start_script('script', cwd=tmp_path)
  assert (status, stderr) == (0, '')
  assert stdout.endswith('\n[]\n')


def test_help_after_the_end_of_flags_is_none(tmp_path):
  check_refused(start_script('launch.run', '--', '--help', cwd=tmp_path),
                "unknown argument '--help'; flags begin with --")


def test_help_knows_the_stages(tmp_path):
  _, stdout, _ = start_script('launch.run', '--help', cwd=tmp_path)
  assert ', '.join(pipeline.STAGES) in ' '.join(stdout.split())


@pytest.mark.parametrize('script', [
    ('launch',), ('launch', 'run'), ('launch.plan',)])
def test_version(script, tmp_path):
  assert start_script(*script, '--version', cwd=tmp_path) == (
      0, f'shallow-mimic {__version__}\n', '')


@pytest.mark.parametrize('words', [(), ('--help',), ('-h',)])
def test_subcommands_are_listed(words, tmp_path):
  status, stdout, stderr = start_script('launch', *words, cwd=tmp_path)
  assert (status, stderr) == (0, '')
  listed = stdout.splitlines()[2:]
  assert [line.split()[0] for line in listed] == list(COMMANDS)
  assert 'Runs an experiment, from data to report: the main job.' in listed[0]


def test_unknown_subcommand(tmp_path):
  assert start_script('launch', 'train', cwd=tmp_path) == (
      2, '', "error: there is no command 'train'; known: run, plan, report,"
      ' export, folds, benchmark (as in `shallow-mimic run --help`)\n')


def test_a_subcommand_does_as_its_script(tmp_path):
  words = ('--config=mnist1d_smoke', '--config.students.widths=(3,0)')
  script = start_script('launch.plan', *words, cwd=tmp_path)
  check_refused(script, 'config.students.widths is 0')
  assert start_script('launch', 'plan', *words, cwd=tmp_path) == script
