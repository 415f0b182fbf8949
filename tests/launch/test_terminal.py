"""Terminals without our letters, pipes without readers, ASCII locales."""

import os
import shutil
import subprocess
import sys

import pytest
import tiny_experiment
from scripts import make_environment, start_script

from launch import terminal

ASCII = {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0',
         'PYTHONIOENCODING': ''}


@pytest.mark.parametrize(('text', 'spelled'), [
    ('93.1 ± 0.8 %', '93.1 +- 0.8 %'), ('−0.6 → 2³ × 4…', '-0.6 -> 2^3 x 4...'),
    ('Σ width, 0.2 µs', 'sum width, 0.2 us'), ('naïve', 'naive'),
    ('灯', '\\u706f'), ('a\udcffb', 'a\\udcffb')])
def test_spelling(text, spelled):
  assert terminal.spell(text) == spelled


@pytest.mark.parametrize(('encoding', 'shown'), [
    ('ascii', '+- -> x'), ('latin-1', '± -> ×'), ('utf-8', '± → ×')])
def test_letters_that_a_terminal_lacks(tmp_path, encoding, shown):
  for name in ('stdout', 'stderr'):
    code = tmp_path / 'script.py'
    code.write_text(
        'import sys\nfrom launch import terminal\n'
        f'with terminal.readable():\n  print("± → ×", file=sys.{name})\n',
        encoding='utf-8')
    done = subprocess.run(
        [sys.executable, code], capture_output=True, check=True,
        env=make_environment(PYTHONIOENCODING=encoding))
    assert getattr(done, name).decode(encoding) == shown + '\n'


@pytest.mark.parametrize('environment', [
    ASCII, {'PYTHONIOENCODING': 'latin-1'}, {'PYTHONIOENCODING': 'ascii'}])
def test_the_plan_on_a_terminal_without_our_letters(tmp_path, environment):
  words = ('launch.plan', '--config=mnist1d_smoke')
  status, plain, stderr = start_script(*words, cwd=tmp_path)
  assert status == 0, stderr
  assert not plain.isascii()  # Else this test would see nothing.
  done = subprocess.run(
      [sys.executable, '-m', *words], cwd=tmp_path, capture_output=True,
      check=False, env=make_environment(**environment))
  assert (done.returncode, done.stderr) == (0, b'')
  shown = done.stdout.decode('latin-1')
  assert len(shown.splitlines()) == len(plain.splitlines())
  assert '?' not in shown and '\\u' not in shown


def start_and_leave(*words, cwd, **streams):
  """The status of a script whose reader leaves before it writes."""
  read, write = os.pipe()
  os.close(read)
  try:
    done = subprocess.run(
        [sys.executable, '-m', *words], cwd=cwd, check=False, text=True,
        encoding='utf-8', env=make_environment(),
        **{'stdout': write, 'stderr': subprocess.PIPE} | {
            name: write for name in streams})
  finally:
    os.close(write)
  return done.returncode, done.stderr


@pytest.mark.parametrize('words', [
    ('launch.plan', '--config=mnist1d_smoke'), ('launch.run', '--helpfull'),
    ('launch',)])
def test_a_closed_pipe(tmp_path, words):
  assert start_and_leave(*words, cwd=tmp_path) == (0, '')


def test_a_refusal_into_a_closed_pipe(tmp_path):
  assert start_and_leave('launch.run', '--config=none', cwd=tmp_path,
                         stderr=True) == (2, None)


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='no /dev/full')
def test_a_full_disk_behind_the_output_is_one_line(tmp_path):
  with open('/dev/full', 'w', encoding='utf-8') as full:
    done = subprocess.run(
        [sys.executable, '-m', 'launch.run', '--help'], cwd=tmp_path,
        check=False, text=True, encoding='utf-8', env=make_environment(),
        stdout=full, stderr=subprocess.PIPE)
  assert (done.returncode, done.stderr) == (
      2, 'error: cannot write the output: No space left on device\n')


def test_a_closed_pipe_stops_no_run(tmp_path):
  npz = tmp_path / 'tiny.npz'
  tiny_experiment.write_npz(npz)
  assert start_and_leave(
      'launch.run', f'--config={tiny_experiment.__file__}', '--stages=data',
      f'--config.data.path={npz}', '--workdir=here', cwd=tmp_path) == (0, '')
  assert (tmp_path / 'here/data/done.json').exists()


CODE = """
import sys, warnings

warnings.filterwarnings(
    'error', category=EncodingWarning, module='shallow_mimic|launch')
from launch import report

sys.argv = ['report', *sys.argv[1:]]
report.start()
"""


def test_text_is_utf_8_whatever_the_locale(finished, tmp_path):
  npz, workdir = finished[0], tmp_path / 'run'
  shutil.copytree(finished[1], workdir)
  shutil.rmtree(workdir / 'report')
  done = subprocess.run(
      [sys.executable, '-X', 'warn_default_encoding', '-c', CODE,
       f'--config={tiny_experiment.__file__}', f'--config.data.path={npz}',
       f'--workdir={workdir}'],
      capture_output=True, check=False, env=make_environment(**ASCII))
  assert done.returncode == 0, done.stderr.decode()
  assert b' +- ' in done.stdout
  for name in ('table.txt', 'index.html', 'results.csv'):
    data = (workdir / 'report' / name).read_bytes()
    assert data == (finished[1] / 'report' / name).read_bytes()
    assert name == 'results.csv' or not data.isascii()
