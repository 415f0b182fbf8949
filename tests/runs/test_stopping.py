"""Signals: heard deep in C, answered once, left as they were afterwards."""

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
import textwrap
import threading

import moments
import pytest
from scripts import make_environment

from shallow_mimic import errors
from shallow_mimic.runs import stopping

LINE = 'stopped by {}; start the same command again to go on\n'
ENDS = [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)]
SOON = 10  # Seconds; in truth it is a tenth of one.


def write_script(code, tmp_path):
  path = tmp_path / 'script.py'
  path.write_text(
      'import os, signal, sys, time\n'
      'from moments import sleep_deep, wait_here\n'
      'from shallow_mimic.runs import progress, stopping\n'
      + textwrap.dedent(code), encoding='utf-8')
  return str(path)


def start(code, tmp_path, **changes):
  """A process that runs some code, once it has said that it is here."""
  return moments.start([write_script(code, tmp_path)], tmp_path,
                       env=make_environment(**changes))


def check_ended(answer, signum, status):
  found, stderr, seconds = answer
  assert (found, stderr) == (status, LINE.format(signum.name))
  assert seconds < SOON


# At once ---------------------------------------------------------------------


@pytest.mark.parametrize(('signum', 'status'), ENDS)
def test_at_once_deep_in_c(tmp_path, signum, status):
  with start('''
      with stopping.end_at_once():
        wait_here(60)
      ''', tmp_path) as process:
    check_ended(moments.answer(process, signum), signum, status)


def test_at_once_in_a_compilation(tmp_path):
  """What is compiled here takes half a minute."""
  with start('''
      import jax, jax.numpy as jnp

      def long(x):
        for i in range(600):
          x = jnp.sort(x * (i + 1.5), axis=i % 2) @ x
        return x

      with stopping.end_at_once():
        lowered = jax.jit(long).lower(jnp.ones((17, 17)))
        wait_here(0)
        lowered.compile()
        print('not stopped', file=sys.stderr)
      ''', tmp_path) as process:
    check_ended(moments.answer(process, signal.SIGTERM), signal.SIGTERM, 75)


def test_what_was_printed_is_not_lost(tmp_path):
  with start('''
      with stopping.end_at_once():
        print('here', flush=True)
        sys.stdout.write('half a line')
        print('there', file=sys.stderr, flush=True)
        sleep_deep(60)
      ''', tmp_path, PYTHONUNBUFFERED='') as process:
    assert process.stderr.readline() == 'there\n'
    process.terminate()
    assert process.communicate(timeout=SOON) == (
        'half a line', LINE.format('SIGTERM'))


def test_nobody_reads_what_is_said(tmp_path):
  """The main thread is stuck in a full pipe; so would be the line."""
  with start('''
      with stopping.end_at_once():
        print('here', flush=True)
        os.write(2, bytes(10 ** 6))
      ''', tmp_path) as process:
    process.terminate()
    assert process.wait(timeout=SOON) == 75


def test_signals_of_a_forked_child_are_its_own(tmp_path):
  with start('''
      print('here', flush=True)
      with stopping.end_at_once():
        for signum in stopping.SIGNALS:
          child = os.fork()
          if not child:
            try:
              time.sleep(60)
            finally:  # Of KeyboardInterrupt.
              os._exit(3)
          time.sleep(0.3)
          os.kill(child, signum)
          status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
          print(status, flush=True)
        time.sleep(0.5)
      ''', tmp_path) as process:
    stdout, _ = process.communicate(timeout=SOON)
  assert stdout.split() == [
      str(-signal.SIGTERM), str(-signal.SIGUSR1), '3']
  assert process.returncode == 0


def read_screen(screen, until=''):
  """What a terminal is sent, to its end or to some text."""
  text = ''
  while not until or until not in text:
    try:
      text += os.read(screen, 1 << 16).decode()
    except OSError:  # Nobody has it open any more.
      break
  return text


def test_a_bar_is_cleared_for_the_line(tmp_path):
  screen, end = pty.openpty()
  termios.tcsetwinsize(end, (24, 80))
  script = write_script('''
      with stopping.end_at_once(), progress.Progress('students', 100) as told:
        told._bar.mininterval = 0
        told.update(40)
        sleep_deep(60)
      ''', tmp_path)
  with subprocess.Popen(
      [sys.executable, script], stdin=end, stdout=end, stderr=end,
      env=make_environment()) as process:
    os.close(end)
    assert '40/100' in read_screen(screen, '40/100')
    process.terminate()
    text = read_screen(screen)
    assert process.wait(timeout=SOON) == 75
  *_, blank, shown = text.replace('\r\n', '\n').split('\r')
  assert (blank.strip(), shown) == ('', LINE.format('SIGTERM'))
  assert len(blank) > 60


# Saved first -----------------------------------------------------------------


def test_before_the_first_work_it_is_left_to_who_listened_before(tmp_path):
  with start('''
      with stopping.end_at_once(), stopping.save_first() as saver:
        with saver.waiting('the first work'):
          wait_here(60)
      ''', tmp_path) as process:
    check_ended(moments.answer(process, signal.SIGTERM), signal.SIGTERM, 75)


SAVER = '''
    with stopping.end_at_once(), stopping.save_first() as saver:
      for seconds in {before}:
        with saver.waiting('the work of {{}} step(s)'):
          time.sleep(seconds)
      with saver.waiting('the work of {{}} step(s)', {count}):
        wait_here({seconds})
      print('saved', flush=True)
      saver.check('stopped')
    '''


@pytest.mark.parametrize(('signum', 'status'), ENDS)
def test_after_the_first_work_it_is_noted(tmp_path, signum, status):
  code = SAVER.format(before=[0], count=1, seconds=1)
  with start(code, tmp_path) as process:
    process.send_signal(signum)
    stdout, stderr = process.communicate(timeout=SOON)
  assert stdout == 'saved\n'
  assert stderr.endswith('shallow_mimic.errors.Stopped: stopped\n')
  assert 'stopping: ' not in stderr


def test_a_second_ctrl_c_ends_at_once(tmp_path):
  code = SAVER.format(before=[0], count=1, seconds=60)
  for first in (signal.SIGINT, signal.SIGTERM):
    with start(code, tmp_path) as process:
      check_ended(moments.answer(process, first, signal.SIGINT),
                  signal.SIGINT, 130)


def test_other_signals_do_not_end_what_is_stopping(tmp_path):
  code = SAVER.format(before=[0], count=1, seconds=2)
  with start(code, tmp_path) as process:
    process.send_signal(signal.SIGUSR1)
    process.terminate()
    assert process.communicate(timeout=SOON)[0] == 'saved\n'


def test_how_long_it_takes_is_said_at_once(tmp_path):
  code = SAVER.format(before=[2, 0.5], count=100, seconds=2)
  with start(code, tmp_path) as process:
    process.terminate()
    stdout, stderr = process.communicate(timeout=SOON)
  assert stdout == 'saved\n'
  line = re.match(r'stopping: the work of 100 step\(s\) ends in about (\d+) s'
                  r' \(Ctrl-C ends it at once\)\nTraceback', stderr)
  assert 40 < int(line[1]) < 100


@pytest.mark.parametrize('before', [[4], [4, 0]])
def test_of_what_takes_longer_than_expected_the_longest_is_said(
    tmp_path, before):
  """The first time is no measure, as it compiles; nor is one that was short."""
  code = SAVER.format(before=before, count=1, seconds=6)
  with start(code, tmp_path) as process:
    process.terminate()
    stderr = process.communicate(timeout=30)[1]
  assert stderr.startswith(
      'stopping: the work of 1 step(s) takes a while; the longest work so far'
      ' took 4 s (Ctrl-C ends it at once)\nTraceback')


@pytest.mark.parametrize(('signum', 'status'), ENDS)
def test_without_a_script_it_is_noted_as_well(tmp_path, signum, status):
  """Our thread has read the signal long before Python handles it."""
  with start('''
      from shallow_mimic import errors
      try:
        with stopping.save_first() as saver:
          with saver.waiting('the first work'):
            wait_here(1)
          saver.check('saved')
      except errors.Stopped as stop:
        print(stop, stop.status)
      ''', tmp_path) as process:
    process.send_signal(signum)
    assert process.communicate(timeout=SOON) == (f'saved {status}\n', '')


def test_without_a_script_a_second_ctrl_c_is_that_of_python(tmp_path):
  with start('''
      with stopping.save_first() as saver:
        print('here', flush=True)
        time.sleep(60)
      ''', tmp_path) as process:
    status, stderr, seconds = moments.answer(
        process, signal.SIGINT, signal.SIGINT)
  assert status == -signal.SIGINT and seconds < SOON
  assert stderr.endswith('KeyboardInterrupt\n')


# In this process -------------------------------------------------------------


@pytest.fixture(name='got')
def fixture_got():
  """The signals that came to a handler of SIGUSR1 and SIGUSR2, in order."""
  got, signums = [], (signal.SIGUSR1, signal.SIGUSR2)
  old = [signal.signal(s, lambda signum, _: got.append(signum))
         for s in signums]
  yield got
  for signum, handler in zip(signums, old, strict=True):
    signal.signal(signum, handler)


def test_a_stop_that_came_too_late_is_sent_again(got):
  with stopping.save_first() as saver:
    with saver.waiting('the work'):
      pass
    signal.raise_signal(signal.SIGUSR1)
    assert saver.signum == signal.SIGUSR1 and not got
  assert got == [signal.SIGUSR1]


def test_a_stop_that_was_heeded_is_not(got):
  with pytest.raises(errors.Stopped, match='so it is') as error:
    with stopping.save_first() as saver:
      saver.check('not yet')
      signal.raise_signal(signal.SIGUSR1)
      saver.check('so it is')
  assert error.value.status == 75
  assert not isinstance(error.value, Exception)
  assert not got


@pytest.mark.parametrize('listen', [stopping.save_first, stopping.end_at_once])
def test_everything_is_as_it_was_afterwards(listen):
  ours, theirs = socket.socketpair()
  with ours, theirs:
    theirs.setblocking(False)
    before = signal.set_wakeup_fd(theirs.fileno())
    threads = threading.active_count()
    try:
      handlers = [signal.getsignal(s) for s in stopping.SIGNALS]
      with listen(), listen():
        assert all(signal.getsignal(s) not in handlers
                   for s in stopping.SIGNALS)
      assert [signal.getsignal(s) for s in stopping.SIGNALS] == handlers
      assert threading.active_count() == threads
    finally:
      assert signal.set_wakeup_fd(before) == theirs.fileno()


@pytest.mark.parametrize('listen', [stopping.save_first, stopping.end_at_once])
def test_signals_for_others_reach_them(listen, got):
  ours, theirs = socket.socketpair()
  with ours, theirs:
    ours.settimeout(SOON)
    theirs.setblocking(False)
    before = signal.set_wakeup_fd(theirs.fileno())
    try:
      with listen():
        signal.raise_signal(signal.SIGUSR2)
        assert ours.recv(1) == bytes([signal.SIGUSR2])
    finally:
      signal.set_wakeup_fd(before)
  assert got == [signal.SIGUSR2]


def test_outside_the_main_thread_nothing_changes():
  answers = []

  def work():
    before = [signal.getsignal(s) for s in stopping.SIGNALS]
    with stopping.end_at_once(), stopping.save_first() as saver:
      with saver.waiting('the work'):
        answers.append(
            [signal.getsignal(s) for s in stopping.SIGNALS] == before)
      saver.check('not stopped')
    answers.append(saver.signum)

  thread = threading.Thread(target=work)
  thread.start()
  thread.join()
  assert answers == [True, 0]


def test_without_one_more_thread_signals_are_those_of_python(monkeypatch):
  def start_none(_):
    raise RuntimeError("can't start new thread")

  monkeypatch.setattr(threading.Thread, 'start', start_none)
  before = [signal.getsignal(s) for s in stopping.SIGNALS]
  with stopping.end_at_once():
    assert [signal.getsignal(s) for s in stopping.SIGNALS] == before
