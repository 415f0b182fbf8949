"""Signals at every moment of a run: the line, the status, the same end."""

import os
import re
import signal
import subprocess

import moments
import pytest
import tiny_experiment
from places import ROOT
from scripts import make_environment

AT_ONCE = 'stopped by {}; start the same command again to go on\n'
SAVED = ('stopped at step {} of 20 (teachers DNN); the same command, or'
         ' call, goes on from there\n')
STATUS = {signal.SIGTERM: 75, signal.SIGUSR1: 75, signal.SIGINT: 130}
FIT = 'shallow_mimic.training.fit'
SOON = 10  # Seconds; in truth it is a tenth of one.


class Runs:
  """Runs of the tiny experiment in one work directory, one after another."""

  def __init__(self, npz, workdir):
    self._flags = [f'--config={tiny_experiment.__file__}',
                   f'--config.data.path={npz}', f'--workdir={workdir}']
    self._cwd = workdir.parent
    self._environment = make_environment(
        JAX_COMPILATION_CACHE_DIR=str(npz.parent / 'compiled'),
        JAX_DISABLE_MOST_OPTIMIZATIONS='1',
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS='0',
        JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES='-1')

  def start(self, moment, call, seconds, *, script='run'):
    return moments.start(
        [moments.__file__, moment, str(call), str(seconds), script,
         *self._flags], self._cwd, env=self._environment)

  def stop(self, signums, moment, call=1, seconds=60, said='', **options):
    """Checks the status and what is said, to a pattern; the seconds."""
    with self.start(moment, call, seconds, **options) as process:
      status, stderr, passed = moments.answer(process, *signums)
    said = said or re.escape(AT_ONCE.format(signums[-1].name))
    assert re.fullmatch(said, stderr), stderr
    assert status == STATUS[signums[-1]]
    return passed


def read_results(workdir):
  return {path.relative_to(workdir): path.read_bytes()
          for path in workdir.rglob('*')
          if path.name in ('results.csv', 'record.json', 'index.html')}


def test_stopped_at_every_moment_ends_with_the_same_bits(finished, tmp_path):
  """Each run goes on from where the one before was stopped."""
  runs = Runs(finished[0], tmp_path / 'run')
  term, usr1, sigint = signal.SIGTERM, signal.SIGUSR1, signal.SIGINT
  assert runs.stop([term], moments.IMPORT) < SOON
  assert runs.stop([sigint], 'shallow_mimic.data:read_source') < SOON
  # The first dispatch, which compiles: nothing to save yet.
  assert runs.stop([usr1], f'{FIT}:_record_loss') < SOON
  # A later one, which takes a while longer.
  runs.stop([term], f'{FIT}:_record_loss', 3, 1,
            said=re.escape(SAVED.format(3)))
  # The first look at dev, which compiles.
  runs.stop([sigint], f'{FIT}:_record_accuracy', 1, 6, said=(
      r'stopping: the look at dev takes a while; the longest work so far took'
      r' \d+ s \(Ctrl-C ends it at once\)\n'
      + re.escape(SAVED.format(5))))
  assert runs.stop([sigint, sigint], f'{FIT}:_record_accuracy') < SOON
  runs.stop([usr1], 'shallow_mimic.runs.checkpoints:write_checkpoint', 2, 1,
            said=re.escape(SAVED.format(11)))
  # The last step of all: what comes next has to stop as well.
  runs.stop([term], f'{FIT}:_record_loss', 9, 1,
            said=re.escape(SAVED.format(20)))
  assert runs.stop([term], 'shallow_mimic.evaluation:evaluate') < SOON
  assert runs.stop([sigint], 'shallow_mimic.evaluation:predict', 3) < SOON
  assert runs.stop([usr1], 'shallow_mimic.curves:write_report') < SOON
  with runs.start('shallow_mimic.curves:write_report', 1, 0) as process:
    _, stderr = process.communicate(timeout=60)
  assert (process.returncode, stderr) == (0, '')
  results = read_results(tmp_path / 'run')
  assert len(results) > 5 and results == read_results(finished[1])


def test_other_scripts(finished, tmp_path):
  runs = Runs(finished[0], finished[1])
  assert runs.stop([signal.SIGTERM], moments.IMPORT, script='plan') < SOON
  assert runs.stop([signal.SIGINT], moments.IMPORT, script='report') < SOON


def start_slow(tmp_path, **options):
  """A script that never comes to an end of reading its flags."""
  (tmp_path / 'slow.py').write_text(
      'import moments\n\n\ndef get_config():\n  moments.wait_here(60)\n',
      encoding='utf-8')
  return moments.start(
      ['-m', 'launch.run', '--config=slow.py'], tmp_path, **options)


def test_while_the_flags_are_read(tmp_path):
  with start_slow(tmp_path) as process:
    status, stderr, seconds = moments.answer(process, signal.SIGTERM)
  assert (status, stderr) == (75, AT_ONCE.format('SIGTERM'))
  assert seconds < SOON


def test_nobody_is_there_to_read_the_line(tmp_path):
  read, write = os.pipe()
  with start_slow(tmp_path, stderr=write) as process:
    for end in (read, write):
      os.close(end)
    process.terminate()
    assert process.wait(timeout=SOON) == 75


def read_batch_script():
  text = (ROOT / 'docs' / 'running.md').read_text(encoding='utf-8')
  script, = re.findall(r'```bash\n(#!.*?)```', text, re.S)
  return script


@pytest.mark.parametrize('status', [0, 1, 2, 75, 130])
def test_the_batch_script_of_the_docs(tmp_path, status):
  """It asks for another turn after 75 alone, and keeps every status."""
  for name, code in {'srun': f'exit {status}',
                     'scontrol': 'exit 0'}.items():
    (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n{code}\n',
                                 encoding='utf-8')
    (tmp_path / name).chmod(0o755)
  (tmp_path / 'job').write_text(read_batch_script(), encoding='utf-8')
  done = subprocess.run(
      ['bash', 'job'], cwd=tmp_path, check=False, text=True,
      capture_output=True, env={
          'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'SLURM_JOB_ID': '7'})
  assert (done.returncode, done.stderr) == (status, '')
  first, *rest = done.stdout.splitlines()
  assert first.startswith('srun python -m launch.run ')
  assert rest == ['scontrol requeue 7'] * (status == 75)
