"""What progress says, to the letter, and when."""

import io
import types

import pytest

from shallow_mimic.runs import progress


@pytest.fixture
def clock(monkeypatch):
  now = types.SimpleNamespace(value=100.0)
  monkeypatch.setattr(
      progress, 'time', types.SimpleNamespace(monotonic=lambda: now.value))
  return now


def test_lines(clock):
  lines = []
  with progress.Progress('students', 1000, write=lines.append) as told:
    for elapsed, done in ((4, 40), (9.9, 99), (10, 100), (15, 300), (20, 400)):
      clock.value = 100 + elapsed
      told.update(done, f'best dev accuracy {done} %' if done > 100 else '')
  assert lines == [
      'students: 100/1000, 10.0/s, 90 s left',
      'students: 400/1000, 20.0/s, 30 s left, best dev accuracy 400 %',
  ]


def test_the_rate_is_that_of_this_run(clock):
  lines = []
  told = progress.Progress('logits', 100, done=80, write=lines.append)
  clock.value += 20
  told.update(90)
  assert lines == ['logits: 90/100, 0.5/s, 20 s left']


def test_interval(clock):
  lines = []
  told = progress.Progress('x', 9, interval=2.0, write=lines.append)
  for done in range(1, 6):
    clock.value += 1
    told.update(done)
  assert [line.split(',')[0] for line in lines] == ['x: 2/9', 'x: 4/9']


def test_prints_lines_where_there_is_no_terminal(clock, capsys):
  told = progress.Progress('students', 10)
  clock.value += 10
  told.update(5)
  assert capsys.readouterr().out == 'students: 5/10, 0.5/s, 10 s left\n'


def test_a_bar_on_a_terminal(monkeypatch):
  screen = io.StringIO()
  screen.isatty = lambda: True
  monkeypatch.setattr(progress.sys, 'stdout', screen)
  with progress.Progress('students', 10, done=2) as told:
    told._bar.mininterval = 0
    told.update(7, 'well')
    told._bar.refresh()
    assert told._bar.n == 7
  text = screen.getvalue()
  assert 'students' in text and '7/10' in text and 'well' in text
  assert '\n' not in text
