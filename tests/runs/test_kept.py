"""Tests of kept folders: the root covers all, and what it does not is told."""

import json
import os
import pathlib

import pytest
from work_dirs import flip_bit, list_names, read_all, reseal

from shallow_mimic import errors
from shallow_mimic.runs import files, kept, versions

MADE_FROM = {'data': {'train': 'ab'}, 'steps': 20}


def write_two(folder):
  (folder / 'sub').mkdir(parents=True, exist_ok=True)
  (folder / 'a.txt').write_text('one', encoding='utf-8')
  (folder / 'sub' / 'b.txt').write_text('two', encoding='utf-8')
  return {'identity': 7}


@pytest.fixture(name='folder')
def fixture_folder(tmp_path):
  """A finished folder of two files."""
  kept.write_whole(tmp_path / 'it', write_two, MADE_FROM, family='ab')
  return tmp_path / 'it'


def refused(call, *arguments):
  """The one line that a call is refused with."""
  with pytest.raises(errors.UserError) as error:
    call(*arguments)
  assert '\n' not in str(error.value)
  return str(error.value)


# What a root says -----------------------------------------------------------


def test_a_root_says_what_it_was_written_with(folder):
  root = kept.verify(folder)
  assert root == kept.read_root(folder) == kept.Root(
      made_from=MADE_FROM, identity={'identity': 7},
      files={name: files.digest_file(folder / name)
             for name in ('a.txt', 'sub/b.txt')},
      made_with=versions.find_versions(), family='ab')
  assert kept.is_intact(folder)


def test_an_unfinished_folder_has_no_root(tmp_path):
  assert kept.read_root(tmp_path / 'absent') is None
  assert kept.read_started(tmp_path / 'absent') is None
  write_two(tmp_path / 'it')
  kept.start(tmp_path / 'it', MADE_FROM)
  assert kept.read_started(tmp_path / 'it') == MADE_FROM
  assert kept.read_root(tmp_path / 'it') is None
  assert not kept.is_intact(tmp_path / 'it')
  assert refused(kept.verify, tmp_path / 'it') == (
      f'{tmp_path}/it is not finished')


def test_equal_results_have_equal_roots(tmp_path):
  for name in 'ab':
    kept.write_whole(tmp_path / name, write_two, MADE_FROM)
  assert (tmp_path / 'a/done.json').read_bytes() == (
      tmp_path / 'b/done.json').read_bytes()


def test_every_bit_of_a_root_is_covered_by_itself(folder):
  """Each byte in turn: no other value of any field is believed."""
  path = folder / 'done.json'
  whole = path.read_bytes()
  for place in range(0, len(whole), 3):
    path.write_bytes(
        whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1:])
    try:
      assert kept.read_root(folder) == kept.Root(**{
          name: value for name, value in json.loads(whole).items()
          if name != 'sha256'})  # White space is of no account.
    except errors.UserError as error:
      assert str(path) in str(error) and '\n' not in str(error)
  for cut in range(0, len(whole) - 2, 41):
    path.write_bytes(whole[:cut])
    assert str(path) in refused(kept.read_root, folder)


@pytest.mark.parametrize('field', [
    'made_from', 'identity', 'files', 'made_with', 'family'])
def test_no_field_of_a_root_can_be_exchanged(folder, field):
  path = folder / 'done.json'
  tree = files.read_json(path)
  files.write_json(path, tree | {field: {'a.txt': 'ab'}})
  assert refused(kept.verify, folder) == (
      f'{path} is damaged: it is not what was written; delete {folder} and run'
      ' again to make it anew')


SHAPES = ['', '{', '[]', '[1]', '3', 'null', '"done"', '{}', '{"sha256": 1}',
          '{"made_from": {}}', '{"files": {"../../x": "ab"}}', 'NaN', '1e999',
          '{"sha256": {"sha256": []}}', '[' * 200_000, '{"a":' * 100_000]


@pytest.mark.parametrize('name', ['done.json', 'started.json'])
@pytest.mark.parametrize('data', SHAPES, ids=range(len(SHAPES)))
def test_json_of_another_shape_is_one_line(folder, name, data):
  (folder / name).write_text(data, encoding='utf-8')
  read = kept.read_root if name == 'done.json' else kept.read_started
  assert str(folder / name) in refused(read, folder)
  if name == 'done.json':
    for call in (kept.verify, kept.is_intact, kept.clear):
      assert str(folder / name) in refused(call, folder)
  assert list_names(folder) == sorted({
      'a.txt', 'done.json', 'sub', 'sub/b.txt', name})


@pytest.mark.parametrize(('changes', 'said'), [
    ({'files': []}, 'done.json is damaged: it is not what'),
    ({'files': 'a.txt'}, 'done.json is damaged: it is not what'),
    ({'made_from': None}, 'done.json is damaged: it is not what'),
    ({'made_with': []}, 'done.json is damaged: it is not what'),
    ({'family': {}}, 'done.json is damaged: it is not what'),
    ({'more': {}}, 'done.json is damaged: it is not what'),
    ({'files': {}}, 'a.txt is not a file that'),
    ({'files': {'a.txt': ['ab'], 'sub/b.txt': 3}}, 'a.txt is damaged: its SHA'),
], ids=str)
def test_sealed_json_of_another_shape_is_one_line(folder, changes, said):
  """Even of someone who computed its digest."""
  reseal(folder / 'done.json', lambda tree: tree | changes)
  assert refused(kept.verify, folder).startswith(f'{folder}/{said}')


def test_a_sealed_nothing_is_no_root(folder):
  reseal(folder / 'done.json', lambda _: {})
  assert 'done.json is damaged: ' in refused(kept.verify, folder)


@pytest.mark.parametrize('name', ['../outside.txt', '/etc/hosts',
                                  'sub/../../outside.txt'])
def test_a_root_that_lists_files_elsewhere_is_none_of_ours(
    folder, tmp_path, name):
  """Even where they are as it says, and it is sealed."""
  (tmp_path / 'outside.txt').write_text('mine', encoding='utf-8')
  digest = files.digest_file(folder / name)
  reseal(folder / 'done.json',
         lambda tree: tree | {'files': tree['files'] | {name: digest}})
  before = read_all(tmp_path)
  for call in (kept.verify, kept.is_intact, kept.clear):
    assert refused(call, folder).startswith(f'{folder}/done.json is damaged: ')
  assert read_all(tmp_path) == before


@pytest.mark.parametrize('name', ['done.json', 'started.json'])
def test_a_root_that_is_a_folder_or_leads_nowhere_is_one_line(folder, name):
  read = kept.read_root if name == 'done.json' else kept.read_started
  (folder / name).unlink(missing_ok=True)
  (folder / name).symlink_to('nowhere')
  assert str(folder / name) in refused(read, folder)
  (folder / name).unlink()
  (folder / name).mkdir()
  assert str(folder / name) in refused(read, folder)


# What it does not say -------------------------------------------------------


@pytest.mark.parametrize('name', ['c.txt', 'sub/c.txt', 'new/c.txt', '.hidden',
                                  'sub/done.json', 'sub/started.json'])
def test_an_unlisted_file_is_refused(folder, name):
  (folder / name).parent.mkdir(exist_ok=True)
  (folder / name).write_text('mine', encoding='utf-8')
  message = (f'{folder / name} is not a file that {folder} was written with;'
             ' move it away')
  before = read_all(folder)
  assert refused(kept.verify, folder) == message
  assert not kept.is_intact(folder)
  assert refused(kept.clear, folder) == message
  assert read_all(folder) == before


@pytest.mark.parametrize('name', ['link', 'a.txt', 'sub', 'sub/b.txt'])
def test_a_link_is_refused(folder, tmp_path, name):
  """Even one to the right bytes."""
  outside = tmp_path / 'outside'
  write_two(outside)
  path = folder / name
  if path.is_dir():
    (path / 'b.txt').unlink()
    path.rmdir()
  path.unlink(missing_ok=True)
  path.symlink_to(outside / name)
  for call in (kept.verify, kept.is_intact, kept.clear):
    assert refused(call, folder) == (
        f'{path} is a link; put what it points to in its place')
  assert list_names(outside) == ['a.txt', 'sub', 'sub/b.txt']


@pytest.mark.parametrize('name', ['a.txt', 'sub/b.txt'])
@pytest.mark.parametrize('how', ['missing', 'flipped', 'empty', 'cut',
                                 'another', 'folder'])
def test_a_spoilt_file_is_named(folder, name, how):
  path = folder / name
  if how == 'flipped':
    flip_bit(path)
  elif how in ('missing', 'folder'):
    path.unlink()
  else:
    path.write_bytes({'empty': b'', 'cut': path.read_bytes()[:-1],
                      'another': b'six'}[how])
  if how == 'folder':
    path.mkdir()
  what = ('missing' if how == 'missing' else
          'damaged: its SHA-256 is not the one it was written with')
  assert refused(kept.verify, folder) == (
      f'{path} is {what}; delete {folder} and run again to make it anew')
  assert not kept.is_intact(folder)


def test_files_exchanged_with_each_other_are_damaged(folder):
  one, two = folder / 'a.txt', folder / 'sub/b.txt'
  ours, theirs = one.read_bytes(), two.read_bytes()
  one.write_bytes(theirs)
  two.write_bytes(ours)
  assert refused(kept.verify, folder).startswith(f'{one} is damaged')


# Finishing, deleting, writing whole -----------------------------------------


def test_a_folder_is_not_finished_with_a_file_of_another_name(tmp_path):
  write_two(tmp_path)
  (tmp_path / 'mine.txt').write_text('mine', encoding='utf-8')
  assert refused(
      kept.finish, tmp_path, MADE_FROM, 1, ['a.txt', 'sub/b.txt']) == (
          f'{tmp_path}/mine.txt is not a file that {tmp_path} was written with;'
          ' move it away')
  assert not (tmp_path / 'done.json').exists()
  (tmp_path / 'mine.txt').unlink()
  kept.finish(tmp_path, MADE_FROM, 1, ['a.txt', 'sub/b.txt', 'optional'])
  assert sorted(kept.verify(tmp_path).files) == ['a.txt', 'sub/b.txt']


def test_a_folder_is_not_finished_with_a_link(tmp_path):
  write_two(tmp_path / 'it')
  (tmp_path / 'it/link').symlink_to(tmp_path)
  assert 'is a link' in refused(kept.finish, tmp_path / 'it', MADE_FROM, 1)
  assert not (tmp_path / 'it/done.json').exists()


def test_clear_deletes_a_folder_and_nothing_beside_it(folder, tmp_path):
  (tmp_path / 'mine.txt').write_text('mine', encoding='utf-8')
  (folder / 'a.txt').unlink()  # A missing file is no hindrance.
  kept.clear(folder)
  assert list_names(tmp_path) == ['mine.txt']


def test_clear_deletes_nothing_that_no_root_lists(tmp_path):
  write_two(tmp_path)
  assert refused(kept.clear, tmp_path) == (
      f'{tmp_path}/a.txt is not a file that {tmp_path} was written with; move'
      ' it away')
  assert list_names(tmp_path) == ['a.txt', 'sub', 'sub/b.txt']


@pytest.mark.parametrize('there', [False, True])
def test_write_whole_leaves_nothing_half(tmp_path, there):
  folder = tmp_path / 'it'
  if there:
    kept.write_whole(folder, write_two, {'old': 1})
  before = read_all(folder) if there else {}

  def fail(target):
    write_two(target)
    (target / 'a.txt').write_text('new', encoding='utf-8')
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    kept.write_whole(folder, fail, MADE_FROM)
  assert folder.exists() == there
  assert not there or read_all(folder) == before

  def write(target):
    assert list_names(target) == []  # Not even of the one that failed.
    (target / 'c.txt').write_text('new', encoding='utf-8')
    return 8

  kept.write_whole(folder, write, MADE_FROM)
  assert list_names(tmp_path) == ['it', 'it/c.txt', 'it/done.json']
  assert kept.verify(folder).identity == 8


@pytest.mark.parametrize(('owner', 'call'), [
    (os, 'replace'), (os, 'fsync'), (pathlib.Path, 'mkdir')])
def test_a_write_that_the_machine_refuses_keeps_what_was_there(
    folder, monkeypatch, owner, call):
  def refuse(*_, **__):
    raise OSError(28, 'No space left on device')

  before = read_all(folder)
  monkeypatch.setattr(owner, call, refuse)
  line = refused(kept.write_whole, folder, write_two, {'new': 1})
  assert line.startswith('cannot write ')
  assert 'No space left on device' in line
  monkeypatch.undo()
  assert read_all(folder) == before
  kept.write_whole(folder, write_two, {'new': 1})
  assert kept.verify(folder).made_from == {'new': 1}


def test_write_whole_does_not_replace_a_folder_with_a_file_of_someone_else(
    folder):
  (folder / 'mine.txt').write_text('mine', encoding='utf-8')
  before = read_all(folder)
  assert 'mine.txt is not a file that' in refused(
      kept.write_whole, folder, write_two, {'new': 1})
  assert read_all(folder) == before


def test_a_temporary_that_is_a_link_is_not_followed(tmp_path):
  outside = tmp_path / 'outside'
  write_two(outside)
  (tmp_path / '.it.tmp').symlink_to(outside)
  refused(kept.write_whole, tmp_path / 'it', write_two, MADE_FROM)
  assert list_names(outside) == ['a.txt', 'sub', 'sub/b.txt']


# Differences ----------------------------------------------------------------


@pytest.mark.parametrize(('theirs', 'ours', 'found'), [
    ({'a': 1}, {'a': 1}, {}), ({'a': [1, 2]}, {'a': (1, 2)}, {}),
    ({'a': 1}, {'a': 2}, {'a': (1, 2)}), ({}, {'a': 2}, {'a': (None, 2)}),
    ({'a': 1}, {}, {'a': (1, None)}),
    ({'a': {'b': 1, 'c': 2}}, {'a': {'b': 1, 'c': 3}}, {'a.c': (2, 3)}),
    ({'a': {'b': 1}}, {'a': 1}, {'a': ({'b': 1}, 1)}),
    ({'a': {}}, {'a': {'b': 1}}, {'a.b': (None, 1)}),
    ([1], {}, {'': ([1], {})})])
def test_differences_are_named_with_both_sides(theirs, ours, found):
  assert kept.find_differences(theirs, ours) == found


@pytest.mark.parametrize(('theirs', 'ours'), [
    ({'a': None}, {}), ({}, {'a': None}), ({'a': 1}, {'a': True}),
    ({'a': 1}, {'a': 1.0})])
def test_trees_that_read_alike_are_no_difference_of_results(theirs, ours):
  """None says nothing, and 1 trains as 1.0 does."""
  assert kept.find_differences(theirs, ours) == {}
