"""Tests of work directories: held by one, nothing outside, parts made once."""

import errno
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from work_dirs import flip_bit, list_names, read_all

from shallow_mimic import errors
from shallow_mimic.runs import files, kept, refusals, workdir
from shallow_mimic.runs.workdir import Part

CONFIG = {'seed': 0, 'data': {'name': 'a', 'path': ''},
          'students': {'widths': (3, 5)}, 'teachers': {}}


def write_two(directory):
  (directory / 'sub').mkdir(parents=True, exist_ok=True)
  (directory / 'a.txt').write_text('one', encoding='utf-8')
  (directory / 'sub' / 'b.txt').write_text('two', encoding='utf-8')
  return {'digest': 7}


def write_two_resumed(directory):
  return write_two(directory), ['a.txt', 'sub/b.txt']


def refuse_work(directory):
  raise AssertionError('there was nothing to do')


def stop_work(directory):
  write_two(directory)
  raise KeyboardInterrupt


def make(root, made_from=(), work=write_two, name='part', **options):
  """Makes a part of a work directory; what was said."""
  said = []
  Part('it', root / name, dict(made_from), work, **options).make(
      root, said.append)
  return said


def refusal(root, *arguments, **options):
  """The line that making a part is refused with; no file has changed."""
  before = read_all(root)
  with pytest.raises(errors.UserError) as error:
    make(root, *arguments, **options)
  assert '\n' not in str(error.value)
  assert read_all(root) == before
  return str(error.value)


# One process at a time ------------------------------------------------------


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


def refuse_with(code):
  def refuse(*args):
    raise OSError(code, os.strerror(code))
  return refuse


@pytest.mark.parametrize('code', [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_directory_that_cannot_be_written_can_be_read(
    tmp_path, monkeypatch, code):
  monkeypatch.setattr('builtins.open', refuse_with(code))
  with workdir.hold(tmp_path, refuse_work):
    pass


@pytest.mark.parametrize('code', [errno.EMFILE, errno.ENOSPC])
def test_a_lock_that_cannot_be_had_now_is_refused(tmp_path, monkeypatch, code):
  monkeypatch.setattr('builtins.open', refuse_with(code))
  line = f'^cannot write {tmp_path}/.lock'
  with pytest.raises(errors.UserError, match=line), workdir.hold(tmp_path):
    pass


@pytest.mark.parametrize('code', [
    errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_of(tmp_path, monkeypatch, code):
  monkeypatch.setattr(fcntl, 'flock', refuse_with(code))
  said = []
  with workdir.hold(tmp_path, said.append):
    assert said == [f'{tmp_path} cannot be locked ({os.strerror(code)}); let no'
                    ' other run work there']


def test_a_system_without_locks_is_told_of(tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'fcntl', None)
  with workdir.hold(tmp_path):
    assert capsys.readouterr().out == (
        f'{tmp_path} cannot be locked (this system has no such locks); let no'
        ' other run work there\n')


def test_a_lock_that_another_process_left_is_nothing(tmp_path):
  (tmp_path / '.lock').write_text('4711', encoding='utf-8')
  with workdir.hold(tmp_path, refuse_work):
    pass


@pytest.mark.parametrize('error', [
    errors.UserError('x is missing; delete it'), ValueError('Orbax'),
    OSError(errno.ENOENT, 'No such file')])
def test_a_directory_that_is_deleted_is_told_as_that(tmp_path, error):
  root = tmp_path / 'run'
  with pytest.raises(refusals.RefusedError) as caught, workdir.hold(root):
    shutil.rmtree(root)
    raise error
  assert str(caught.value) == (
      f'{root} was deleted or moved while a run was at work in it; put it back,'
      ' or run the same command again to begin anew')
  assert not root.exists()
  with pytest.raises(type(error)), workdir.hold(root):
    raise error


@pytest.mark.parametrize('read', [
    workdir.read_config, workdir.check_ours,
    lambda root: workdir.write_config(root, CONFIG)])
def test_a_configuration_that_cannot_be_opened_is_not_damaged(
    tmp_path, monkeypatch, read):
  workdir.write_config(tmp_path, CONFIG)
  monkeypatch.setattr('io.open', refuse_with(errno.EACCES))
  with pytest.raises(refusals.RefusedError, match='Permission denied; get'):
    read(tmp_path)


def test_a_path_that_is_a_file_is_no_work_directory(tmp_path):
  (tmp_path / 'file').write_text('', encoding='utf-8')
  with (pytest.raises(errors.UserError, match=r'^cannot write .*file/\.lock: '),
        workdir.hold(tmp_path / 'file')):
    pass
  with pytest.raises(errors.UserError, match=r'^cannot write .*config\.json: '):
    workdir.write_config(tmp_path / 'file', CONFIG)


# config.json ----------------------------------------------------------------


def test_the_configuration_of_the_last_run_is_read_back(tmp_path):
  for config in (CONFIG, {**CONFIG, 'seed': 1}):
    workdir.write_config(tmp_path, config)
    # JSON knows no tuples.
    assert workdir.read_config(tmp_path) == json.loads(json.dumps(config))


def test_an_equal_configuration_is_not_written_again(tmp_path):
  config = json.loads(json.dumps(CONFIG))
  workdir.write_config(tmp_path, config)
  os.chmod(tmp_path / 'config.json', 0o444)
  inode = os.stat(tmp_path / 'config.json').st_ino
  workdir.write_config(tmp_path, dict(reversed(config.items())))
  assert os.stat(tmp_path / 'config.json').st_ino == inode


@pytest.mark.parametrize('data', [
    '', '{', '[]', '3', 'null', '{}', '{"sha256": 1}', '{"seed": 0}',
    json.dumps({**CONFIG, 'sha256': 'ab'}), '[' * 200_000])
def test_a_damaged_configuration_is_named(tmp_path, data):
  path = tmp_path / 'config.json'
  path.write_text(data, encoding='utf-8')
  with pytest.raises(errors.UserError) as error:
    workdir.read_config(tmp_path)
  assert str(error.value) == (
      f'{path} is damaged; run `launch.run` with the --config and --workdir of'
      ' that run to write it anew')
  # A run writes it anew.
  workdir.write_config(tmp_path, CONFIG)
  assert workdir.read_config(tmp_path)['seed'] == 0


def test_a_flipped_bit_of_the_configuration_is_seen(tmp_path):
  workdir.write_config(tmp_path, CONFIG)
  flip_bit(tmp_path / 'config.json')
  with pytest.raises(errors.UserError, match=r'config\.json is damaged; run'):
    workdir.read_config(tmp_path)


def test_a_directory_without_a_configuration(tmp_path):
  with pytest.raises(errors.UserError) as error:
    workdir.read_config(tmp_path / 'none')
  assert str(error.value) == (
      f'{tmp_path}/none is no work directory: it has no config.json; name that'
      ' of a run, or run `launch.run` with it first')
  assert not (tmp_path / 'none').exists()


@pytest.mark.parametrize('theirs', [{'model': 'x'}, [1], 3, {'data': 'x.csv'}])
def test_the_config_of_another_program_is_not_taken_over(tmp_path, theirs):
  text = json.dumps(theirs)
  (tmp_path / 'config.json').write_text(text, encoding='utf-8')
  with pytest.raises(errors.UserError) as error:
    workdir.check_ours(tmp_path)
  assert str(error.value) == (
      f'{tmp_path}/config.json is of some other program, or damaged; choose'
      ' another --workdir, or delete it if the directory is one of ours')
  assert (tmp_path / 'config.json').read_text(encoding='utf-8') == text


@pytest.mark.parametrize('data', [None, '{', json.dumps(CONFIG)])
def test_what_may_be_ours_is_written_over(tmp_path, data):
  if data:
    (tmp_path / 'config.json').write_text(data, encoding='utf-8')
  workdir.check_ours(tmp_path)


# Places ---------------------------------------------------------------------


def test_a_link_on_the_way_is_refused(tmp_path):
  root, outside = tmp_path / 'run', tmp_path / 'outside'
  root.mkdir()
  outside.mkdir()
  (root / 'report').symlink_to(outside)
  (root / 'loose').symlink_to(tmp_path / 'none')
  for link, folder in (('report', 'report'), ('report', 'report/figures/a'),
                       ('loose', 'loose')):
    target = outside if link == 'report' else tmp_path / 'none'
    for call in (workdir.check_place, workdir.make_folder):
      with pytest.raises(errors.UserError) as error:
        call(root, root / folder)
      assert str(error.value) == (
          f'{root / link} is a link to {target}, outside of the work directory:'
          ' nothing is written through it; put the folder itself in its place')
  assert list_names(outside) == [] and not (tmp_path / 'none').exists()


def test_a_folder_that_is_elsewhere_is_no_part(tmp_path):
  with pytest.raises(ValueError, match='is not below'):
    workdir.check_place(tmp_path / 'run', tmp_path / 'other')


def test_a_file_in_a_folders_place_is_refused(tmp_path):
  (tmp_path / 'teachers').write_text('mine', encoding='utf-8')
  for name in ('teachers', 'teachers/CNN'):
    with pytest.raises(errors.UserError) as error:
      workdir.check_place(tmp_path, tmp_path / name)
    assert str(error.value) == (
        f'{tmp_path}/teachers is a file where a folder belongs; move it away')


def test_folders_are_made_one_by_one_below_the_root(tmp_path):
  made = workdir.make_folder(tmp_path, tmp_path / 'a' / 'b' / 'c')
  assert made == tmp_path / 'a/b/c' and made.is_dir()
  assert workdir.make_folder(tmp_path, made) == made
  assert workdir.make_folder(tmp_path, tmp_path) == tmp_path


def test_a_root_that_was_deleted_is_not_made_again(tmp_path):
  root = tmp_path / 'run'
  with pytest.raises(errors.UserError, match=f'^cannot write {root}/a/b: No '):
    workdir.make_folder(root, root / 'a' / 'b')
  with pytest.raises(errors.UserError, match=r'^cannot write .*: No such file'):
    make(root)
  assert not root.exists()


def test_what_is_moved_aside_is_all_there(tmp_path):
  for number in (1, 2, 3):
    write_two(tmp_path / 'teachers' / 'CNN' / '0')
    target = workdir.move_aside(tmp_path, tmp_path / 'teachers/CNN/0')
    assert target == tmp_path / f'old/{number}/teachers/CNN/0'
    assert list_names(target) == ['a.txt', 'sub', 'sub/b.txt']
    assert not (tmp_path / 'teachers/CNN/0').exists()
  # Another folder still has room in the first.
  write_two(tmp_path / 'teachers' / 'CNN' / '1')
  assert workdir.move_aside(tmp_path, tmp_path / 'teachers/CNN/1') == (
      tmp_path / 'old/1/teachers/CNN/1')


def test_nothing_is_moved_through_a_link(tmp_path):
  root, outside = tmp_path / 'run', tmp_path / 'outside'
  outside.mkdir()
  write_two(root / 'part')
  (root / 'old').symlink_to(outside)
  with pytest.raises(errors.UserError, match='/old is a link to '):
    workdir.move_aside(root, root / 'part')
  assert list_names(outside) == []
  assert (root / 'part/a.txt').exists()


# Parts ----------------------------------------------------------------------


@pytest.mark.parametrize(('work', 'options'), [
    (write_two, {}), (write_two, {'redrawn': True}),
    (write_two_resumed, {'resumed': True})])
def test_a_part_is_made_once(tmp_path, work, options):
  made_from = {'data': 'abc', 'sets': [('train', 3)]}
  assert make(tmp_path, made_from, work, **options) == ['it: done']
  before = read_all(tmp_path)
  assert make(tmp_path, made_from, refuse_work, **options) == [
      'it: there already, verified']
  assert read_all(tmp_path) == before
  root = workdir.require(tmp_path / 'part', 'stage', made_from)
  assert root.identity == {'digest': 7}
  assert sorted(set(root.files) - {'started.json'}) == ['a.txt', 'sub/b.txt']


def test_failed_work_that_can_be_resumed_goes_on_where_it_stood(tmp_path):
  with pytest.raises(KeyboardInterrupt):
    make(tmp_path, {'data': 'abc'}, stop_work, resumed=True)
  seen = []

  def work(directory):
    seen.append((directory / 'a.txt').read_text(encoding='utf-8'))
    return write_two_resumed(directory)

  make(tmp_path, {'data': 'abc'}, work, resumed=True)
  assert seen == ['one']


def test_other_failed_work_leaves_nothing_and_is_begun_anew(tmp_path):
  with pytest.raises(KeyboardInterrupt):
    make(tmp_path, {'data': 'abc'}, stop_work)
  assert not (tmp_path / 'part').exists()

  def work(directory):
    assert list_names(directory) == []
    return write_two(directory)

  make(tmp_path, {'data': 'abc'}, work)
  assert list_names(tmp_path) == [
      'part', 'part/a.txt', 'part/done.json', 'part/sub', 'part/sub/b.txt']


@pytest.mark.parametrize('finished', [True, False])
def test_what_was_made_from_other_things_is_moved_aside(tmp_path, finished):
  try:
    make(tmp_path, {'data': 'a'}, write_two_resumed if finished else stop_work,
         resumed=True)
  except KeyboardInterrupt:
    assert not finished
  before = read_all(tmp_path / 'part')
  said = make(tmp_path, {'data': 'b'}, write_two_resumed, resumed=True)
  assert said == [f'it: made from other things before; that is now'
                  f' {tmp_path}/old/1/part', 'it: done']
  assert read_all(tmp_path / 'old/1/part') == before
  assert workdir.require(tmp_path / 'part', 's').made_from == {'data': 'b'}


def test_unfinished_work_with_other_things_is_begun_anew_where_asked(tmp_path):
  def discard(directory):
    (directory / 'a.txt').unlink()

  with pytest.raises(KeyboardInterrupt):
    make(tmp_path, {'source': 'a'}, stop_work, resumed=True)

  def write(directory):
    assert not (directory / 'a.txt').exists()
    return write_two_resumed(directory)

  assert make(tmp_path, {'source': 'b'}, write, resumed=True,
              discard=discard) == ['it: done']
  # What is finished is never deleted.
  said = make(tmp_path, {'source': 'c'}, write_two_resumed, resumed=True,
              discard=discard)
  assert said[0].endswith('/old/1/part')
  assert (tmp_path / 'old/1/part/a.txt').exists()


@pytest.mark.parametrize('change', ['made_from', 'damaged', 'missing'])
def test_what_is_redrawn_is_replaced_where_it_does_not_fit(tmp_path, change):
  make(tmp_path, {'title': 'a'}, redrawn=True)
  path = tmp_path / 'part/a.txt'
  if change != 'made_from':
    flip_bit(path) if change == 'damaged' else path.unlink()
  title = 'b' if change == 'made_from' else 'a'
  assert make(tmp_path, {'title': title}, redrawn=True) == ['it: done']
  assert path.read_text(encoding='utf-8') == 'one'
  assert not (tmp_path / 'old').exists()


@pytest.mark.parametrize('options', [{}, {'redrawn': True}, {'resumed': True}])
def test_a_file_of_someone_else_is_not_deleted(tmp_path, options):
  work = write_two_resumed if 'resumed' in options else write_two
  make(tmp_path, {'title': 'a'}, work, **options)
  (tmp_path / 'part/mine.txt').write_text('mine', encoding='utf-8')
  title = 'b' if 'redrawn' in options else 'a'
  with pytest.raises(errors.UserError) as error:
    make(tmp_path, {'title': title}, work, **options)
  assert str(error.value) == (
      f'{tmp_path}/part/mine.txt is not a file that {tmp_path}/part was written'
      ' with; move it away')
  assert (tmp_path / 'part/mine.txt').read_text(encoding='utf-8') == 'mine'
  assert (tmp_path / 'part/a.txt').read_text(encoding='utf-8') == 'one'


@pytest.mark.parametrize('name', ['a.txt', 'sub/b.txt'])
@pytest.mark.parametrize('missing', [True, False])
def test_a_spoilt_file_is_named(tmp_path, name, missing):
  make(tmp_path)
  path = tmp_path / 'part' / name
  path.unlink() if missing else flip_bit(path)
  what = ('missing' if missing else
          'damaged: its SHA-256 is not the one it was written with')
  message = (f'{path} is {what}; delete {tmp_path}/part and run again to make'
             ' it anew')
  assert refusal(tmp_path, (), refuse_work) == message
  with pytest.raises(errors.UserError) as error:
    workdir.require(tmp_path / 'part', 'stage')
  assert str(error.value) == message


@pytest.mark.parametrize('name', ['started.json', 'done.json'])
def test_a_damaged_root_is_named(tmp_path, name):
  if name == 'done.json':
    make(tmp_path, {'data': 'a'})
  else:
    with pytest.raises(KeyboardInterrupt):
      make(tmp_path, {'data': 'a'}, stop_work, resumed=True)
  path = tmp_path / 'part' / name
  for data in (b'{"', b'{}', b'[1]', b'{"made_from": {"data": "a"}}'):
    path.write_bytes(data)
    line = refusal(tmp_path, {'data': 'a'}, refuse_work, resumed=True)
    assert str(path) in line and 'run again to make it anew' in line


@pytest.mark.parametrize('begun', [True, False])
def test_files_of_nobody_knows_what_are_refused(tmp_path, begun):
  if begun:
    with pytest.raises(KeyboardInterrupt):
      make(tmp_path, {}, stop_work, resumed=True)
    (tmp_path / 'part/started.json').unlink()
  else:
    write_two(tmp_path / 'part')
  for options in ({}, {'resumed': True}, {'redrawn': True}):
    assert refusal(tmp_path, (), refuse_work, **options) == (
        f'{tmp_path}/part holds files, but nothing that says what they were'
        ' made from; move it away')


def test_an_empty_folder_is_no_part_yet(tmp_path):
  (tmp_path / 'part').mkdir()
  assert make(tmp_path) == ['it: done']


def test_a_part_is_not_written_through_a_link(tmp_path):
  root, outside = tmp_path / 'run', tmp_path / 'outside'
  root.mkdir()
  outside.mkdir()
  make(outside)
  before = read_all(outside)
  (root / 'part').symlink_to(outside / 'part')
  assert refusal(root, (), refuse_work).startswith(
      f'{root}/part is a link to {outside}/part, outside of the work')
  assert read_all(outside) == before


def test_what_a_killed_write_left_is_removed(tmp_path):
  (tmp_path / 'part').mkdir()
  kept.start(tmp_path / 'part', {})
  (tmp_path / 'part' / '.a.npy.1.tmp').write_text('half', encoding='utf-8')
  make(tmp_path, (), write_two_resumed, resumed=True)
  assert not (tmp_path / 'part' / '.a.npy.1.tmp').exists()
  workdir.require(tmp_path / 'part', 'stage')


# What later stages ask for --------------------------------------------------


def test_what_is_not_finished_is_told_with_its_stage(tmp_path):
  message = f'{tmp_path}/part is not finished; run the stage `logits` first'
  for begun in (False, True):
    if begun:
      with pytest.raises(KeyboardInterrupt):
        make(tmp_path, {}, stop_work, resumed=True)
    with pytest.raises(workdir.UnfinishedError) as error:
      workdir.require(tmp_path / 'part', 'logits')
    assert str(error.value) == message


def test_what_was_made_from_something_else_is_not_read(tmp_path):
  make(tmp_path, {'data': 'abc', 'teacher': 'd', 'same': 1})
  with pytest.raises(workdir.UnfinishedError) as error:
    workdir.require(tmp_path / 'part', 'logits',
                    {'data': 'x', 'same': 1, 'new': 2})
  assert str(error.value) == (
      f'{tmp_path}/part was made from another data, new, teacher; run the stage'
      ' `logits` first')
  # Where it does not matter it is read.
  assert workdir.require(tmp_path / 'part', 'logits').made_from['same'] == 1
  assert files.read_json(tmp_path / 'part/done.json')['made_from'] == {
      'data': 'abc', 'teacher': 'd', 'same': 1}
