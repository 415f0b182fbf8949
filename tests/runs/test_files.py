import errno
import hashlib
import json
import os
import subprocess

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from shallow_mimic import errors
from shallow_mimic.runs import files, refusals


def fail_with(code):
  def raise_it(*args, **kwargs):
    raise OSError(code, os.strerror(code))
  return raise_it


def names_in(folder):
  return sorted(path.name for path in folder.iterdir())


def test_write_bytes_makes_its_folder_and_leaves_nothing_else(tmp_path):
  path = tmp_path / 'a' / 'file'
  files.write_bytes(path, b'one')
  files.write_bytes(path, b'two')
  assert path.read_bytes() == b'two'
  assert names_in(path.parent) == ['file']


def test_write_text_is_utf8(tmp_path):
  files.write_text(tmp_path / 't', 'ε – é\n')
  assert (tmp_path / 't').read_bytes() == 'ε – é\n'.encode()


@pytest.mark.parametrize('call', ['fsync', 'replace'])
def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch, call):
  path = tmp_path / 'file'
  files.write_bytes(path, b'old')
  monkeypatch.setattr(os, call, fail_with(errno.ENOSPC))
  with pytest.raises(errors.UserError) as caught:
    files.write_bytes(path, b'new')
  assert str(caught.value) == (
      f'cannot write {path}: No space left on device; free some space or choose'
      ' another folder to write to, then run the same command again: what was'
      ' finished is kept'
  )
  assert path.read_bytes() == b'old'
  assert names_in(tmp_path) == ['file']


def test_a_reader_never_sees_half_a_file(tmp_path, monkeypatch):
  path = tmp_path / 'file'
  files.write_bytes(path, b'old')
  seen = []
  real = os.fsync
  monkeypatch.setattr(
      os, 'fsync', lambda fd: (seen.append(path.read_bytes()), real(fd))
  )
  files.write_bytes(path, b'new' * 100)
  assert seen == [b'old']


def test_full_disk(tmp_path):
  mount = subprocess.run(
      ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', tmp_path],
      capture_output=True, check=False,
  )
  if mount.returncode:
    pytest.skip(f'needs root to mount a small tmpfs: {mount.stderr.decode()}')
  try:
    files.write_bytes(tmp_path / 'small', b'x' * 1000)
    with pytest.raises(errors.UserError, match='No space left on device; free'):
      files.write_bytes(tmp_path / 'big', b'x' * 100_000)
    assert names_in(tmp_path) == ['small']
  finally:
    subprocess.run(['umount', tmp_path], check=True)


def test_folder_that_cannot_be_made(tmp_path):
  (tmp_path / 'file').write_text('', encoding='utf-8')
  with pytest.raises(errors.UserError, match=r'cannot write .*file/x: '):
    files.write_bytes(tmp_path / 'file' / 'x', b'')


def test_clear_disk_errors_lets_other_errors_through():
  with pytest.raises(ValueError, match=r'^mine$'), files.clear_disk_errors('x'):
    raise ValueError('mine')


def test_json_round_trip_and_equal_bytes_for_equal_trees(tmp_path):
  tree = {'b': [1, 2.5, None], 'a': {'d': 'é', 'c': True}}
  files.write_json(tmp_path / '1', tree)
  files.write_json(tmp_path / '2', dict(reversed(tree.items())))
  assert files.read_json(tmp_path / '1') == tree
  assert (tmp_path / '1').read_bytes() == (tmp_path / '2').read_bytes()


@pytest.mark.parametrize('data', [b'', b'{"a": 1', b'\xff{}'])
def test_read_json_of_a_damaged_file(tmp_path, data):
  (tmp_path / 'j').write_bytes(data)
  with pytest.raises(errors.UserError) as caught:
    files.read_json(tmp_path / 'j')
  assert str(caught.value).startswith(f'cannot read {tmp_path / "j"}: ')
  assert str(caught.value).endswith(
      '; delete it and run again to make it anew'
  )


def test_json_that_is_too_deep_is_one_line(tmp_path):
  (tmp_path / 'j').write_text('[' * 200_000, encoding='utf-8')
  with pytest.raises(errors.UserError, match=r'^cannot read .*/j: .*recursion'):
    files.read_json(tmp_path / 'j')


@pytest.mark.parametrize('tree', [
    {}, {'b': [1, (2, 3)], 'a': {'d': 'é', 'c': None}}])
def test_sealed_round_trip(tmp_path, tree):
  files.write_sealed(tmp_path / 's', tree)
  assert files.read_sealed(tmp_path / 's') == json.loads(json.dumps(tree))
  assert files.read_json(tmp_path / 's')['sha256'] == files.digest_json(tree)
  # Order and white space are of no account; what it says is.
  text = json.dumps(dict(reversed(files.read_json(tmp_path / 's').items())))
  (tmp_path / 's').write_text(text, encoding='utf-8')
  assert files.read_sealed(tmp_path / 's') == json.loads(json.dumps(tree))


@pytest.mark.parametrize('change', [
    lambda tree: tree | {'a': 2}, lambda tree: tree | {'b': 1},
    lambda tree: {'sha256': tree['sha256']}, lambda tree: {'a': 1},
    lambda tree: tree | {'sha256': None}, lambda tree: [tree], lambda tree: 3,
    lambda tree: tree | {'a': 1.0}, lambda tree: tree | {'a': True}])
def test_a_sealed_file_that_was_changed_is_damaged(tmp_path, change):
  path = tmp_path / 's'
  files.write_sealed(path, {'a': 1})
  files.write_json(path, change(files.read_json(path)))
  with pytest.raises(errors.UserError) as caught:
    files.read_sealed(path)
  tree = files.read_json(path)
  sealed = isinstance(tree, dict) and 'sha256' in tree
  perhaps = '' if sealed else ', or another version of shallow_mimic wrote it'
  assert str(caught.value) == (
      f'{path} is damaged{perhaps}: it is not what was written; delete'
      f' {tmp_path} and run again to make it anew')


@pytest.mark.parametrize('read', [files.read_json, files.read_array])
def test_read_of_an_absent_file(tmp_path, read):
  with pytest.raises(errors.UserError, match='No such file'):
    read(tmp_path / 'absent')


@pytest.mark.parametrize('mmap', [False, True])
@pytest.mark.parametrize('array', [
    np.arange(6.0).reshape(2, 3), np.asfortranarray(np.ones((2, 3), np.int8)),
    np.asarray(3), np.ones(5)[::2], np.array(['a', 'bc']), np.array([True]),
])
def test_array_round_trip(tmp_path, array, mmap):
  files.write_array(tmp_path / 'a.npy', array)
  back = files.read_array(tmp_path / 'a.npy', mmap=mmap)
  assert (back.dtype, back.shape) == (array.dtype, array.shape)
  np.testing.assert_array_equal(back, array)
  assert isinstance(back, np.memmap) == mmap


@pytest.mark.parametrize('array, dtype', [
    (np.ones(2, ml_dtypes.bfloat16), 'bfloat16'),
    (np.array([None]), 'object'),
])
def test_write_array_refuses_what_npy_cannot_hold(tmp_path, array, dtype):
  with pytest.raises(TypeError, match=f'^cannot write {dtype} as .npy; cast'):
    files.write_array(tmp_path / 'a.npy', array)
  assert names_in(tmp_path) == []


def test_read_array_of_damaged_files(tmp_path):
  """Cut or with a flipped bit: an array or a UserError, nothing else."""
  path = tmp_path / 'a.npy'
  files.write_array(path, np.arange(4.0))
  whole = path.read_bytes()
  outcomes = set()
  flips = [(i, 1 << bit) for i in range(0, 80) for bit in (0, 3, 6)]
  cuts = [whole[:n] for n in range(0, len(whole), 7)]
  flipped = [whole[:i] + bytes([whole[i] ^ mask]) + whole[i + 1:]
             for i, mask in flips]
  for data in cuts + flipped:
    path.write_bytes(data)
    try:
      files.read_array(path)
      outcomes.add('read')
    except errors.UserError as error:
      assert str(path) in str(error)
      outcomes.add(type(error.__cause__).__name__)
  # Those that NumPy documents and those that leak from Python's parser.
  assert outcomes >= {'EOFError', 'ValueError', 'TokenError'}


def test_read_array_refuses_archives_and_pickles(tmp_path):
  np.savez(tmp_path / 'a.npz', x=1)
  with pytest.raises(errors.UserError, match='an archive, not one array'):
    files.read_array(tmp_path / 'a.npz')
  np.save(tmp_path / 'b.npy', np.array([None]), allow_pickle=True)
  with pytest.raises(errors.UserError, match='Python objects'):
    files.read_array(tmp_path / 'b.npy')


def test_read_array_of_a_damaged_shape_is_not_out_of_memory(tmp_path):
  path = tmp_path / 'a.npy'
  files.write_array(path, np.arange(4.0))
  data = path.read_bytes()
  path.write_bytes(data.replace(b'(4,), }', b'(' + b'9' * 14 + b',), }')[:192])
  with pytest.raises(errors.UserError, match='; delete it and run again'):
    files.read_array(path)


def test_no_folder_above_its_own_is_made(tmp_path):
  """A work directory that a user deletes during a run stays deleted."""
  with pytest.raises(refusals.RefusedError) as caught:
    files.write_bytes(tmp_path / 'run' / 'data' / 'x', b'x')
  assert str(caught.value) == (
      f'cannot write {tmp_path}/run/data/x: No such file or directory;'
      f' {tmp_path}/run was deleted or moved: put it back, or run the same'
      ' command again to make it anew')
  assert names_in(tmp_path) == []


READERS = [files.read_json, files.read_array,
           lambda path: files.read_arrays(path, {}),
           lambda path: files.find_damaged(path.parent, {path.name: ''})]


@pytest.mark.parametrize('read', READERS)
@pytest.mark.parametrize('code', [
    errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.EIO,
    errno.ENOMEM, errno.ESTALE])
def test_what_cannot_be_opened_is_not_damaged(
    tmp_path, monkeypatch, read, code):
  path = tmp_path / 'file'
  path.write_bytes(b'')
  monkeypatch.setattr('builtins.open', fail_with(code))
  monkeypatch.setattr('io.open', fail_with(code))
  with pytest.raises(refusals.RefusedError) as caught:
    read(path)
  assert str(caught.value).startswith(
      f'cannot read {path}: {os.strerror(code)}; ')
  assert 'delete' not in str(caught.value).replace('was deleted', '')


@pytest.mark.parametrize('read', READERS)
def test_what_is_out_of_memory_is_not_damaged(tmp_path, monkeypatch, read):
  def refuse(*args, **kwargs):
    raise MemoryError('no')

  monkeypatch.setattr('builtins.open', refuse)
  monkeypatch.setattr('io.open', refuse)
  with pytest.raises(MemoryError, match=r'^no$'):
    read(tmp_path / 'file')


TREE = {'hidden': {'w': np.arange(6, dtype=np.float32).reshape(2, 3),
                   'b': np.ones(3, ml_dtypes.bfloat16)},
        'output': [np.array(-0.0), np.zeros((0, 2), ml_dtypes.float8_e4m3fn)]}


def to_shapes(tree):
  return jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


@pytest.mark.parametrize('to_template', [lambda tree: tree, to_shapes])
def test_arrays_round_trip_to_the_bit(tmp_path, to_template):
  files.write_arrays(tmp_path / 'a.npz', TREE)
  back = files.read_arrays(tmp_path / 'a.npz', to_template(TREE))
  assert jax.tree.structure(back) == jax.tree.structure(TREE)
  assert files.digest_tree(back) == files.digest_tree(TREE)


def test_equal_arrays_make_equal_bytes(tmp_path):
  for name in ('a.npz', 'b.npz'):
    files.write_arrays(tmp_path / name, TREE)
  assert (tmp_path / 'a.npz').read_bytes() == (tmp_path / 'b.npz').read_bytes()
  assert names_in(tmp_path) == ['a.npz', 'b.npz']


@pytest.mark.parametrize(('template', 'said'), [
    ({'w': np.zeros((2, 2))}, 'w is float64[2, 3]'),
    ({'w': np.zeros((2, 3), np.float32)}, 'w is float64[2, 3]'),
    ({'w': np.zeros((2, 3), np.int64)}, 'w is float64[2, 3]'),
    ({'v': np.zeros((2, 3))}, 'it holds other arrays than the net has'),
    ({}, 'it holds other arrays than the net has')], ids=str)
def test_arrays_of_another_net_are_refused(tmp_path, template, said):
  path = tmp_path / 'a.npz'
  files.write_arrays(path, {'w': np.zeros((2, 3))})
  with pytest.raises(errors.UserError) as caught:
    files.read_arrays(path, template)
  assert str(caught.value).startswith(f'cannot read {path}: {said}')


def test_read_arrays_of_damaged_files(tmp_path):
  """Every cut is seen; a flipped bit is, or it is of no account."""
  path = tmp_path / 'a.npz'
  tree = {'w': np.arange(4.0)}
  files.write_arrays(path, tree)
  whole = path.read_bytes()
  for size in range(0, len(whole), 9):
    path.write_bytes(whole[:size])
    with pytest.raises(errors.UserError, match=f'^cannot read {path}: '):
      files.read_arrays(path, tree)
  for place in range(len(whole)):
    path.write_bytes(
        whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1:])
    try:
      np.testing.assert_array_equal(
          files.read_arrays(path, tree)['w'], tree['w'])
    except errors.UserError as error:
      assert str(error).startswith(f'cannot read {path}: ')


def test_read_arrays_unpickles_nothing(tmp_path):
  np.savez(tmp_path / 'a.npz', w=np.array([None]))
  with pytest.raises(errors.UserError, match='allow_pickle=False'):
    files.read_arrays(tmp_path / 'a.npz', {'w': np.zeros(1)})


@pytest.mark.parametrize('size', [0, 5, (1 << 22) + 1])
def test_digest_file_is_sha256(tmp_path, size):
  data = bytes(range(256)) * (size // 256 + 1)
  (tmp_path / 'f').write_bytes(data[:size])
  assert files.digest_file(tmp_path / 'f') == (
      hashlib.sha256(data[:size]).hexdigest()
  )


def test_digest_array_is_sha256_of_header_and_bytes():
  array = np.arange(3, dtype=np.float32)
  expected = hashlib.sha256(b'float32 <f4 (3,)' + array.tobytes()).hexdigest()
  assert files.digest_array(array) == expected
  assert files.digest_array(jnp.arange(3.0)) == expected


def test_digest_array_ignores_layout_and_writes_nothing():
  array = np.arange(6.0).reshape(2, 3)
  array.flags.writeable = False
  assert files.digest_array(np.asfortranarray(array)) == (
      files.digest_array(array)
  )
  assert files.digest_array(np.arange(10)[::2]) == (
      files.digest_array(np.arange(0, 10, 2))
  )


def test_digest_array_tells_all_of_these_apart():
  """Equal bytes of other dtype, order or shape, signs of zero, one bit."""
  zero = np.zeros(4, np.float32)
  narrow = np.zeros(4, np.uint8)
  arrays = [
      zero, -zero, zero.astype('>f4'), zero.view(np.int32), zero.reshape(2, 2),
      zero.reshape(1, 4), np.float32(0), np.zeros(1, np.float32),
      np.zeros((1, 1), np.float32), np.zeros(0, np.float32),
      np.zeros((0, 2), np.float32), np.zeros(0, np.int32), narrow,
      narrow.view(np.bool_), narrow.view(np.int8),
      narrow.view(ml_dtypes.float8_e4m3fn), narrow.view(ml_dtypes.float8_e5m2),
      zero.view(np.float16), zero.view(ml_dtypes.bfloat16),
      np.array([0, 0, 0, 1e-45], np.float32),
  ]
  assert len({files.digest_array(array) for array in arrays}) == len(arrays)


def test_digest_tree_names_leaves_by_path():
  tree = {'w': np.ones(2), 'b': [jax.numpy.zeros(3), 1]}
  assert files.digest_tree(tree) == {
      "['w']": files.digest_array(np.ones(2)),
      "['b'][0]": files.digest_array(np.zeros(3, np.float32)),
      "['b'][1]": files.digest_array(1),
  }


def test_digest_json_knows_values_not_key_order():
  one = files.digest_json({'a': 1, 'b': [1, 2]})
  assert one == files.digest_json({'b': [1, 2], 'a': 1})
  assert one == hashlib.sha256(b'{"a": 1, "b": [1, 2]}').hexdigest()
  assert one != files.digest_json({'a': 1, 'b': [2, 1]})
