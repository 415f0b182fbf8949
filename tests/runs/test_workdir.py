"""Tests of work directories: claimed once, run once, verified, named."""

import json
import re
import subprocess
import sys

import pytest

from shallow_mimic import errors
from shallow_mimic.runs import workdir

CONFIG = {'seed': 0, 'data': {'name': 'a', 'path': ''},
          'students': {'widths': (3, 5)}, 'teachers': {}}


def write_two(directory):
  (directory / 'sub').mkdir(parents=True, exist_ok=True)
  (directory / 'a.txt').write_text('one', encoding='utf-8')
  (directory / 'sub' / 'b.txt').write_text('two', encoding='utf-8')


def refuse_work(directory):
  raise AssertionError('there was nothing to do')


def claim_with_data(root, config):
  workdir.claim(root, config)
  workdir.run_once(root / 'data', {}, write_two)


def test_two_processes_do_not_share_a_work_directory(tmp_path):
  root = tmp_path / 'run'
  code = ('import sys, time; from shallow_mimic.runs import workdir\n'
          'with workdir.hold(sys.argv[1]): print("held", flush=True);'
          ' time.sleep(60)')
  other = subprocess.Popen([sys.executable, '-c', code, root],
                           stdout=subprocess.PIPE, text=True)
  message = (f'another process is at work in {root}; wait for it to end, or'
             ' choose another --workdir')
  try:
    assert other.stdout.readline() == 'held\n'
    with (pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'),
          workdir.hold(root)):
      pass
  finally:
    other.kill()  # Not even a killed one leaves it locked.
    other.wait()
    other.stdout.close()
  with workdir.hold(root):
    pass
  with workdir.hold(root):
    pass


def test_a_directory_that_cannot_be_written_can_be_read(tmp_path):
  (tmp_path / '.lock').mkdir()  # Stands for a file system that is read-only.
  with workdir.hold(tmp_path):
    pass


def test_claim_takes_the_same_config_again(tmp_path):
  workdir.claim(tmp_path / 'run', CONFIG)
  # JSON knows no tuples.
  workdir.claim(tmp_path / 'run', json.loads(json.dumps(CONFIG)))


def test_claim_is_not_final_until_the_data_are_there(tmp_path):
  workdir.claim(tmp_path, {'seed': 0})
  workdir.claim(tmp_path, {'seed': 1})

  def fail(directory):
    write_two(directory)
    raise errors.UserError('the second file is bad')

  with pytest.raises(errors.UserError, match='second file'):
    workdir.run_once(tmp_path / 'data', {'source': 'a'}, fail)
  workdir.claim(tmp_path, {'seed': 2})
  assert (tmp_path / 'data' / 'a.txt').exists()  # Nobody's to delete.
  workdir.run_once(tmp_path / 'data', {'source': 'a'}, write_two)
  with pytest.raises(errors.UserError, match=r'seed: there 2, now 3'):
    workdir.claim(tmp_path, {'seed': 3})


@pytest.mark.parametrize('theirs', [{'model': 'x'}, [1], 3])
def test_the_config_of_another_program_is_not_taken_over(tmp_path, theirs):
  (tmp_path / 'data').mkdir()
  (tmp_path / 'data' / 'mine.npz').write_text('mine', encoding='utf-8')
  text = json.dumps(theirs)
  (tmp_path / 'config.json').write_text(text, encoding='utf-8')
  with pytest.raises(errors.UserError, match='belongs to another config'):
    workdir.claim(tmp_path, {'seed': 0})
  assert (tmp_path / 'config.json').read_text(encoding='utf-8') == text
  assert (tmp_path / 'data' / 'mine.npz').exists()


def test_a_check_takes_nothing_over(tmp_path):
  workdir.claim(tmp_path, {'seed': 0})
  workdir.check_config(tmp_path, {'seed': 0})
  for _ in range(2):
    with pytest.raises(errors.UserError, match=r'seed: there 0, now 1'):
      workdir.check_config(tmp_path, {'seed': 1})


def test_unfinished_work_with_other_things_is_begun_anew_where_asked(tmp_path):
  def discard(directory):
    return (directory / 'a.txt').unlink()

  def fail(directory):
    write_two(directory)
    raise errors.UserError('bad')

  with pytest.raises(errors.UserError, match='bad'):
    workdir.run_once(tmp_path / 's', {'source': 'a'}, fail)
  with pytest.raises(errors.UserError, match='made from another source'):
    workdir.run_once(tmp_path / 's', {'source': 'b'}, refuse_work)

  def write(directory):
    assert not (directory / 'a.txt').exists()
    write_two(directory)

  assert workdir.run_once(
      tmp_path / 's', {'source': 'b'}, write, discard=discard)
  # What is finished is never deleted.
  with pytest.raises(errors.UserError, match='made from another source'):
    workdir.run_once(
        tmp_path / 's', {'source': 'a'}, refuse_work, discard=discard)
  assert (tmp_path / 's' / 'a.txt').exists()


def test_a_stage_that_was_begun_binds_although_the_data_are_gone(tmp_path):
  workdir.claim(tmp_path, {'seed': 0})

  def stop(directory):
    write_two(directory)
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    workdir.run_once(tmp_path / 'teachers' / 'CNN', {}, stop)
  with pytest.raises(errors.UserError, match=r'seed: there 0, now 1'):
    workdir.claim(tmp_path, {'seed': 1})
  assert (tmp_path / 'teachers' / 'CNN' / 'a.txt').exists()


def test_claim_names_the_fields_that_differ(tmp_path):
  claim_with_data(tmp_path, CONFIG)
  other = {**CONFIG, 'seed': 1, 'students': {'widths': (3, 7)},
           'teachers': {'CNN': {'steps': 5}}}
  with pytest.raises(errors.UserError) as error:
    workdir.claim(tmp_path, other)
  assert str(error.value) == (
      f'{tmp_path} belongs to another configuration (seed: there 0, now 1;'
      ' students.widths: there [3, 5], now [3, 7]; teachers: there {}, now'
      ' None; teachers.CNN.steps: there None, now 5); choose another'
      ' --workdir, or set these fields back')
  # A refusal changes nothing.
  workdir.claim(tmp_path, CONFIG)


def test_claim_counts_what_it_does_not_name(tmp_path):
  claim_with_data(tmp_path, {f'field{i}': 0 for i in range(8)})
  with pytest.raises(errors.UserError) as error:
    workdir.claim(tmp_path, {f'field{i}': 1 for i in range(8)})
  assert 'field5: there 0, now 1 and 2 more); choose' in str(error.value)
  assert 'field6' not in str(error.value)


@pytest.mark.parametrize('damaged', [False, True])
def test_claim_of_stages_of_nobody_knows_what(tmp_path, damaged):
  workdir.claim(tmp_path, {'seed': 0})
  workdir.run_once(tmp_path / 'students' / 'final', {}, write_two)
  path = tmp_path / 'config.json'
  path.unlink()
  if damaged:
    path.write_text('{', encoding='utf-8')
  with pytest.raises(errors.UserError) as error:
    workdir.claim(tmp_path, {'seed': 0})
  start = f'{path} is damaged: ' if damaged else ''
  assert str(error.value) == (
      f'{start}{tmp_path} holds finished work, but no config.json that says of'
      ' which configuration; put it back, or choose another --workdir')


def test_claim_of_a_path_that_is_a_file(tmp_path):
  (tmp_path / 'file').write_text('', encoding='utf-8')
  with pytest.raises(errors.UserError, match=r'^cannot write .*config\.json: '):
    workdir.claim(tmp_path / 'file', CONFIG)


def test_run_once_runs_once(tmp_path):
  made_from = {'data': 'abc', 'sets': [['train', 3]]}
  assert workdir.run_once(tmp_path / 's', made_from, write_two)
  assert not workdir.run_once(tmp_path / 's', made_from, refuse_work)


def test_failed_work_is_done_again_where_it_stood(tmp_path):
  def fail(directory):
    write_two(directory)
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    workdir.run_once(tmp_path, {'data': 'abc'}, fail)
  seen = []
  def work(directory):
    return seen.append((directory / 'a.txt').read_text(encoding='utf-8'))
  assert workdir.run_once(tmp_path, {'data': 'abc'}, work)
  assert seen == ['one']


@pytest.mark.parametrize('finish', [True, False])
def test_made_from_something_else_is_refused(tmp_path, finish):
  def work(directory):
    if not finish:
      raise KeyboardInterrupt

  made_from = {'data': 'abc', 'teacher': 'd', 'same': 1}
  try:
    workdir.run_once(tmp_path, made_from, work)
  except KeyboardInterrupt:
    pass
  with pytest.raises(errors.UserError) as error:
    workdir.run_once(tmp_path, {'data': 'x', 'same': 1, 'new': 2}, refuse_work)
  assert str(error.value) == (
      f'{tmp_path} was made from another data, new, teacher; delete it and run'
      ' again to make it anew, or choose another --workdir')


@pytest.mark.parametrize('name', ['a.txt', 'sub/b.txt'])
def test_a_missing_file_is_named(tmp_path, name):
  workdir.run_once(tmp_path, {}, write_two)
  (tmp_path / name).unlink()
  with pytest.raises(errors.UserError) as error:
    workdir.run_once(tmp_path, {}, refuse_work)
  assert str(error.value) == (
      f'{tmp_path / name} is missing; delete {tmp_path} and run again to make'
      ' it anew')


@pytest.mark.parametrize('name', ['a.txt', 'sub/b.txt'])
def test_a_damaged_file_is_named(tmp_path, name):
  workdir.run_once(tmp_path, {}, write_two)
  data = bytearray((tmp_path / name).read_bytes())
  data[1] ^= 1
  (tmp_path / name).write_bytes(data)
  with pytest.raises(errors.UserError) as error:
    workdir.verify(tmp_path)
  assert str(error.value) == (
      f'{tmp_path / name} is damaged: its SHA-256 is not the one it was written'
      f' with; delete {tmp_path} and run again to make it anew')


@pytest.mark.parametrize('name', ['started.json', 'done.json'])
def test_a_damaged_record_is_named(tmp_path, name):
  workdir.run_once(tmp_path, {'data': 'a'}, write_two)
  (tmp_path / name).write_bytes(b'{"')
  with pytest.raises(errors.UserError, match=f'cannot read {tmp_path / name}'):
    workdir.run_once(tmp_path, {'data': 'a'}, refuse_work)


def test_what_a_killed_write_left_is_removed(tmp_path):
  (tmp_path / '.a.npy.1.tmp').write_text('half', encoding='utf-8')
  workdir.run_once(tmp_path, {}, write_two)
  assert not (tmp_path / '.a.npy.1.tmp').exists()
  workdir.verify(tmp_path)


def test_identity_is_read_back(tmp_path):
  workdir.write_identity(tmp_path, {'b': [1, 'x'], 'a': {'c': 0.5}})
  assert workdir.read_identity(tmp_path) == {'a': {'c': 0.5}, 'b': [1, 'x']}
