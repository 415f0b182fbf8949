"""Damages and kills of tests/helpers/damages.py: some of them, and its judge.

The whole is run by hand: python tests/helpers/damages.py --kills=20
"""

import argparse
import dataclasses
import itertools
import random

import damages
import damages_ends
import damages_kills
import damages_kinds
import damages_server
import damages_templates
import damages_trials
import pytest
from places import ROOT

DAMAGES, KILLS = 25, 2  # And as many aimed kills.


@pytest.fixture(scope='module', name='pool')
def fixture_pool(tmp_path_factory):
  pool = damages_templates.Pool(ROOT, tmp_path_factory.mktemp('servers'), 2)
  yield pool
  pool.close()


@pytest.fixture(scope='module', name='templates')
def fixture_templates(pool, tmp_path_factory):
  return damages_templates.make_templates(
      pool, tmp_path_factory.mktemp('templates'), others=['recipe'])


def test_no_damage_is_taken_for_a_result(pool, templates, tmp_path):
  chosen = argparse.Namespace(
      count=DAMAGES, seed=0, only='', file='', keep=False)
  outcomes = damages.try_damages(pool, templates, tmp_path, chosen)
  assert len(outcomes) == DAMAGES
  assert damages.format_outcomes(outcomes, damages_trials.FAULTS) == ''


def test_killed_anywhere_ends_with_the_same_bytes(pool, templates, tmp_path):
  kills = damages_kills.try_kills(
      pool, templates, tmp_path, KILLS, aimed=KILLS, seed=1)
  assert len(kills) == 2 * KILLS
  assert sum(kill.killed for kill in kills) >= KILLS
  assert [kill for kill in kills if kill.wrong] == []
  assert not any('results.csv' in path or path.endswith('/arrays')
                 for path in templates.reference.loose)


# The judge, of programs that are at fault ------------------------------------


class Program:
  """A made-up program in place of the servers: what it does, run by run."""

  def __init__(self, *runs):
    self._runs = list(runs)

  def run(self, arguments, run):
    del arguments
    work = self._runs.pop(0)
    return work(run) or _result(0)


def _result(status, stderr=''):
  return damages_server.Result(status, 0.0, '', stderr)


def _refuse(line, status=2):
  def work(run):
    return _result(status, f'error: {line.format(run=run)}\n')
  return work


def _write(name, text='made\n'):
  def work(run):
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text(text, encoding='utf-8')
  return work


def _nothing(run):
  del run


def _make_small(folder):
  """A finished work directory of one result, and another run's."""
  for name, text in (('ours', 'made\n'), ('other', 'foreign\n')):
    _write('net/done.json', '{"result": 1}\n')(_made(folder / name / 'run'))
    _write('net/result', text)(folder / name / 'run')
    _write('lock', '')(folder / name / 'run')
  ours, other = folder / 'ours/run', folder / 'other/run'
  return damages_templates.Templates(
      (), {'finished': ours}, {'other': {'finished': other}},
      damages_ends.Reference(damages_ends.read_end(ours), frozenset()), [], 1.0)


def _made(folder):
  folder.mkdir(parents=True)
  return folder


@pytest.mark.parametrize(('work', 'path', 'runs', 'verdict'), [
    (damages_kinds.flip_middle, 'net/result',
     [_refuse('{run}/net/result is damaged; delete {run}/net and run again'),
      _write('net/result')], 'silent'),  # done.json is not made again.
    (damages_kinds.flip_middle, 'net/result',
     [_refuse('{run}/net/result is damaged; delete it and run again'),
      _write('net/result')], 'refused'),
    (damages_kinds.flip_middle, 'net/result', [_write('net/result')],
     'repaired'),
    (damages_kinds.put_other_run, 'net/result', [_nothing], 'silent'),
    (damages_kinds.put_other_folder, 'net', [_nothing], 'silent'),
    (damages_kinds.delete, 'net/result', [_nothing], 'silent'),
    (damages_kinds.add_unknown, 'net', [_nothing], 'silent'),
    (damages_kinds.shape_whole, 'net/done.json', [_nothing], 'silent'),
    (damages_kinds.shape_name, 'net/done.json', [_nothing], 'silent'),
    (damages_kinds.add_unknown, 'lock', [_nothing], 'harmless'),
    (damages_kinds.delete, 'net/result',
     [_refuse('no; choose another --workdir')], 'stands'),
    (damages_kinds.delete, 'net/result', [_refuse('no')], 'stuck'),
    (damages_kinds.delete, 'net/result',
     [_refuse('delete {run}/x')] * 2, 'stuck'),
    (damages_kinds.delete, 'net/result',
     [_refuse('delete {run}/../outside and run again')], 'outside'),
    (damages_kinds.link_strange, 'net', [_write('net/3/keep.txt')], 'outside'),
    (damages_kinds.link_nowhere, 'net/result', [_write('net/result')],
     'outside'),
    (damages_kinds.delete, 'net', [lambda run: _result(1, 'Traceback')],
     'traceback'),
    (damages_kinds.delete, 'net', [lambda run: _result(-11)], 'traceback'),
    (damages_kinds.delete, 'net',
     [lambda run: _result(2, 'error: a\nerror: b\n')], 'traceback'),
    (damages_kinds.delete, 'net', [lambda run: _result(None)], 'hang'),
])
def test_what_a_damage_comes_to(tmp_path, work, path, runs, verdict):
  templates = _make_small(tmp_path)
  folder = templates.ours['finished'] / path
  damage = damages_trials.Damage(
      work, 'folder' if folder.is_dir() else 'file', 'finished', path)
  trials = damages_trials.Trials(
      Program(*runs), templates, tmp_path / 'trials', seed=0)
  outcome = trials.judge((0, damage))
  assert outcome.verdict == verdict, outcome.why
  assert not any((tmp_path / 'trials').iterdir())


def test_a_flag_that_a_refusal_names_is_given(tmp_path):
  line = 'net was made from another rate; --redo=teachers moves it aside'
  assert damages_trials.find_advice(line, tmp_path) == '--redo=teachers'
  line = f'cannot read {tmp_path}/a: x; delete it and run again'
  assert damages_trials.find_advice(line, tmp_path) == tmp_path / 'a'
  assert damages_trials.find_advice('put it back', tmp_path) is None


def test_every_kind_of_damage_is_drawn_alike(tmp_path):
  templates = _make_small(tmp_path)
  drawn = [*itertools.islice(damages_trials.list_damages(
      templates, random.Random(0)), 25)]
  assert len({damage.kind for damage in drawn}) == 25  # Not of steps.
  whole = [*damages_trials.list_damages(templates, random.Random(0))]
  assert len(whole) == len({dataclasses.astuple(d) for d in whole})


def test_moments_are_the_ends_and_the_middle_of_every_stage():
  moves = [('replace config.json', 1), ('replace a/b/x', 1),
           ('rmdir a/b/3', 1), ('replace a/b/#', 1), ('rename a/b/#', 1),
           ('replace a/b/done.json', 1), ('replace c/x', 1)]
  chosen = damages_templates.choose_moments(moves)
  assert [*chosen.values()] == [
      moves[0], moves[1], moves[4], moves[5], moves[6]]
  assert [*chosen][:2] == ['01  first', '02 a b first']
