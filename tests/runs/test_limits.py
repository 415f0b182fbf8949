"""Limits of a process are told before anything can die of them."""

import subprocess
import sys
import threading

import places
import pytest
import scripts

from shallow_mimic.runs import limits, refusals


def start_limited(flag, value, *words):
  """Runs Python in a process with a limit; status, stdout and stderr."""
  done = subprocess.run(
      ['bash', '-c', f'ulimit {flag} {value}; exec "$@"', 'bash',
       sys.executable, *words], check=False, capture_output=True, text=True,
      timeout=60, env=scripts.make_environment(), cwd=places.ROOT)
  return done.returncode, done.stdout, done.stderr


CHECK = '-c', 'from shallow_mimic.runs import limits; limits.check_start()'


@pytest.mark.parametrize(('flag', 'value', 'words'), [
    ('-v', 524288, 'the limit on address space (`ulimit -v`, now 524288) is'
     ' too low; a run needs at least '),
    ('-n', 20, 'the limit on open files (`ulimit -n`, now 20) is too low; a'
     ' run needs at least 30 here: raise it and run the same command again')])
def test_a_limit_that_is_too_low(flag, value, words):
  status, _, stderr = start_limited(flag, value, *CHECK)
  assert status == 1
  assert stderr.splitlines()[-1].startswith(
      f'shallow_mimic.runs.refusals.RefusedError: {words}')


@pytest.mark.parametrize(('flag', 'value'), [
    ('-v', 1 << 30), ('-n', 40), ('-s', 1024)])
def test_a_limit_that_suffices(flag, value):
  assert start_limited(flag, value, *CHECK) == (0, '', '')


def test_records_take_more_than_a_start(monkeypatch):
  """What is enough for a run is not for one that reads ArrayRecord."""
  monkeypatch.setattr(refusals, 'find_limit', {'AS': 1 << 42}.get)
  monkeypatch.setattr(limits, '_check_threads', lambda count: None)
  limits.check_start()
  least = _find_least(monkeypatch, limits.check_start)
  more = _find_least(monkeypatch, limits.check_records.__wrapped__)
  assert more - least >= 64 << 21


def _find_least(monkeypatch, check):
  """The lowest limit of address space, to 1 MiB, that is not refused."""
  low, high = 0, 1 << 42
  while high - low > 1 << 20:
    middle = (low + high) // 2
    monkeypatch.setattr(refusals, 'find_limit', {'AS': middle}.get)
    try:
      check()
    except refusals.RefusedError:
      low = middle
    else:
      high = middle
  return high


def test_threads_that_cannot_be_started(monkeypatch):
  """Told with how many there are; none of those that were is left."""
  start, before = threading.Thread.start, threading.active_count()

  def refuse(thread):
    if threading.active_count() - before >= 7:
      raise RuntimeError("can't start new thread")
    start(thread)

  monkeypatch.setattr(threading.Thread, 'start', refuse)
  with pytest.raises(refusals.RefusedError, match=(
      r'^only 7 of the \d+ threads that are needed at least can be started;'
      r' raise the limit on processes and threads \(`ulimit -u`, now')):
    limits.check_start()
  assert threading.active_count() == before


def test_records_are_asked_for_once(monkeypatch):
  """The first file's threads stay: there need not be as many again."""
  counts = []
  monkeypatch.setattr(limits, '_check_threads', counts.append)
  limits.check_records.cache_clear()
  limits.check_records()
  limits.check_records()
  assert counts == [64]
  limits.check_records.cache_clear()


@pytest.mark.parametrize('kib', [100_000, 600_000, 1_500_000])
def test_little_address_space_is_one_line_of_a_script(tmp_path, kib):
  """And soon: before JAX is loaded. It hung for ever, or dumped threads."""
  scripts.check_refused(start_limited(
      '-v', kib, '-m', 'launch.run', '--config=mnist1d_smoke',
      f'--workdir={tmp_path}/x'), f'now {kib}) is too low')
  assert not (tmp_path / 'x').exists()
