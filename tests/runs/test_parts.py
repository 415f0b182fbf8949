"""Arrays written in parts: whole, resumed, damaged, cut off."""

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from machines import few_files

from shallow_mimic import errors
from shallow_mimic.runs import files, refusals
from shallow_mimic.runs.parts import read_record, write_parts

X = np.random.default_rng(0).normal(size=(12, 3, 2))


class KilledError(Exception):
  """What stands for a kill."""


def makers(log, fail_in=None):
  """Three parts of four rows, two at a time; a note of each that is made."""
  def make(part):
    log.append(part)
    for start in range(4 * part, 4 * part + 4, 2):
      if part == fail_in and start % 4:
        raise KilledError
      yield X[start:start + 2]

  return [lambda part=part: make(part) for part in range(3)]


def write(folder, log, *, origin=None, **changes):
  return write_parts(folder / 'x.npy', X.shape, np.float32,
                     makers(log, **changes), origin)


def check(folder, got):
  np.testing.assert_array_equal(got, X.astype(np.float32))
  assert isinstance(got, np.memmap)
  np.testing.assert_array_equal(np.load(folder / 'x.npy'), got)
  assert sorted(os.listdir(folder)) == ['x.npy', 'x.npy.parts.json']


def test_is_what_numpy_saves(tmp_path):
  check(tmp_path, write(tmp_path, []))
  np.save(tmp_path / 'want.npy', X.astype(np.float32))
  assert (tmp_path / 'want.npy').read_bytes() == (
      tmp_path / 'x.npy').read_bytes()


@pytest.mark.parametrize('part', range(3))
def test_killed_in_a_part_makes_the_rest(tmp_path, part):
  with pytest.raises(KilledError):
    write(tmp_path, [], fail_in=part)
  assert not (tmp_path / 'x.npy').exists()
  log = []
  check(tmp_path, write(tmp_path, log))
  assert log == list(range(part, 3))


def test_killed_after_the_last_part_makes_none(tmp_path):
  write(tmp_path, [])
  log = []
  check(tmp_path, write(tmp_path, log))
  assert log == []


@pytest.mark.parametrize('part', range(3))
def test_a_damaged_part_is_made_anew_with_those_after_it(tmp_path, part):
  write(tmp_path, [])
  data = bytearray((tmp_path / 'x.npy').read_bytes())
  data[-96 * (3 - part)] ^= 1  # 96 bytes a part.
  (tmp_path / 'x.npy').write_bytes(data)
  log = []
  check(tmp_path, write(tmp_path, log))
  assert log == list(range(part, 3))


@pytest.mark.parametrize('size', [0, 60, 130, 230])
def test_a_file_cut_off(tmp_path, size):
  write(tmp_path, [])
  data = (tmp_path / 'x.npy').read_bytes()
  (tmp_path / 'x.npy').write_bytes(data[:size])
  check(tmp_path, write(tmp_path, []))


def test_parts_of_another_array_are_not_used(tmp_path):
  with pytest.raises(KilledError):
    write(tmp_path, [], fail_in=2)
  log = []
  got = write_parts(tmp_path / 'x.npy', X.shape, np.float64, makers(log))
  np.testing.assert_array_equal(got, X)
  assert log == [0, 1, 2]
  record = json.loads((tmp_path / 'x.npy.parts.json').read_text('utf-8'))
  assert record['complete'] and record['parts'] == [
      hashlib.sha256(X[start:start + 4].tobytes()).hexdigest()
      for start in (0, 4, 8)]


@pytest.mark.parametrize('rows', [11, 13, 15])
def test_parts_that_do_not_add_up(tmp_path, rows):
  with pytest.raises(ValueError, match='do not make up'):
    write_parts(tmp_path / 'x.npy', (rows, 3, 2), np.float32, makers([]))
  assert not (tmp_path / 'x.npy').exists()


@pytest.mark.parametrize(('said', 'kept'), [
    (['a', 'b', 'c'], 3), (['a', 'x', 'c'], 1), (['x', 'b'], 0),
    (['a', 'b', 'c', 'absent'], 3), ([], 0)])
def test_a_record_counts_the_leading_parts_that_agree(tmp_path, said, kept):
  def digest(part):
    if part == 3:
      raise FileNotFoundError
    return 'abc'[part]

  path = tmp_path / 'record.json'
  files.write_sealed(path, {'origin': {'of': 1}, 'parts': said})
  record = read_record(path, {'of': 1}, digest)
  assert record.digests == said[:kept]
  assert read_record(path, {'of': 2}, digest).digests == []
  record.add('d', complete=False)
  assert files.read_sealed(path) == {
      'origin': {'of': 1}, 'parts': [*said[:kept], 'd'], 'complete': False}


SHAPES = ('', '{"or', '[]', '{}', '3', 'null', '"parts"', '[{"parts": []}]',
          '{"origin": {}, "parts": ["0"]}')


@pytest.mark.parametrize('text', SHAPES)
def test_a_damaged_record_counts_as_none(tmp_path, text):
  (tmp_path / 'r.json').write_text(text, encoding='utf-8')
  assert read_record(tmp_path / 'r.json', {}, str).digests == []
  with pytest.raises(KilledError):
    write(tmp_path, [], fail_in=2)
  (tmp_path / 'x.npy.parts.json').write_text(text, encoding='utf-8')
  log = []
  got = write(tmp_path, log)
  (tmp_path / 'r.json').unlink()
  check(tmp_path, got)
  assert log == [0, 1, 2]


@pytest.mark.parametrize('parts', [None, 3, 'ab', {'0': 'a'}, [None, 3]])
def test_a_record_of_a_stranger(tmp_path, parts):
  files.write_sealed(tmp_path / 'r.json', {'origin': {}, 'parts': parts})
  assert read_record(tmp_path / 'r.json', {}, str).digests == []


def test_a_changed_record_counts_as_none(tmp_path):
  """It covers itself: no part of it can be exchanged."""
  with pytest.raises(KilledError):
    write(tmp_path, [], fail_in=2, origin='a')
  path = tmp_path / 'x.npy.parts.json'
  said = json.loads(path.read_text(encoding='utf-8'))
  assert len(said['parts']) == 2
  said['origin']['of'] = 'b'
  path.write_text(json.dumps(said), encoding='utf-8')
  log = []
  check(tmp_path, write(tmp_path, log, origin='b'))
  assert log == [0, 1, 2]


@pytest.mark.parametrize('origin', [
    None, 'a', {'source': 'a', 'settings': {'steps': [['gcn', {'scale': 2.0}]]}}
])
def test_parts_of_another_origin_are_made_anew(tmp_path, origin):
  ours = {'source': 'a', 'settings': {'steps': [['gcn', {'scale': 1.0}]]}}
  with pytest.raises(KilledError):
    write(tmp_path, [], fail_in=2, origin=ours)
  kept, anew = [], []
  for folder, log, told in ((tmp_path / 'copy', kept, ours),
                            (tmp_path, anew, origin)):
    if folder != tmp_path:
      shutil.copytree(tmp_path, folder)
    got = write(folder, log, origin=told)
  assert (kept, anew) == ([2], [0, 1, 2])
  shutil.rmtree(tmp_path / 'copy')
  check(tmp_path, got)


@pytest.mark.parametrize('name', ['x.npy', 'x.npy.partial'])
def test_nothing_is_written_through_a_link(tmp_path, name):
  """Neither cut off nor replaced: it is another's."""
  foreign = tmp_path / 'foreign'
  foreign.write_bytes(b'mine')
  folder = tmp_path / 'data'
  folder.mkdir()
  (folder / name).symlink_to(foreign)
  with pytest.raises(errors.UserError, match=f'^{folder / name} is a link'):
    write(folder, [])
  assert foreign.read_bytes() == b'mine'


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / 'file').write_text('', encoding='utf-8')
  with pytest.raises(errors.UserError, match=r'^cannot write .*/file/x\.npy'):
    write(tmp_path / 'file', [])


def test_parts_that_cannot_be_opened_now_stay(tmp_path):
  """They are not made again, and nothing is cut off."""
  with pytest.raises(KilledError):
    write(tmp_path, [], fail_in=2)
  log, refused = [], 0
  for count in range(9):
    try:
      with few_files(count):
        got = write(tmp_path, log)
    except refusals.RefusedError as error:
      assert 'Too many open files; raise the limit' in str(error)
      refused += 1
    else:
      break
  assert refused
  check(tmp_path, got)
  assert set(log) == {2}


def test_a_part_that_cannot_be_opened_now_is_not_counted_out(tmp_path):
  def refuse(part):
    raise refusals.RefusedError(f'cannot read part {part}')

  files.write_sealed(
      tmp_path / 'r.json', {'origin': {}, 'parts': ['a'], 'complete': False})
  with pytest.raises(refusals.RefusedError, match=r'^cannot read part 0$'):
    read_record(tmp_path / 'r.json', {}, refuse)


def test_a_folder_that_was_deleted_is_not_made_again(tmp_path):
  with pytest.raises(errors.UserError, match=f'{tmp_path}/run was deleted'):
    write(tmp_path / 'run' / 'data', [])
  assert not (tmp_path / 'run').exists()
