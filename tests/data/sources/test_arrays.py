"""One's own `.npz`: what is read, and every way in which it can be wrong."""

import errno
import os
import pickle
import re
import zipfile

import numpy as np
import pytest

from shallow_mimic import errors
from shallow_mimic.data.sources.arrays import read_arrays
from shallow_mimic.data.sources.digests import digest_present, digest_readable
from shallow_mimic.runs import refusals

HOW = ('write it with np.savez(path, x_train=…, y_train=…, x_test=…,'
       ' y_test=…) and, if you like, x_dev, y_dev and x_transfer')


def contents(**changes):
  rng = np.random.default_rng(0)
  arrays = {}
  for split, rows in (('train', 8), ('test', 4)):
    arrays[f'x_{split}'] = rng.integers(256, size=(rows, 3, 3, 1),
                                        dtype=np.uint8)
    arrays[f'y_{split}'] = np.arange(rows, dtype=np.int16) % 3
  return arrays | changes


def save(tmp_path, arrays, compressed=False):
  path = tmp_path / 'mine.npz'
  (np.savez_compressed if compressed else np.savez)(path, **arrays)
  return path


@pytest.mark.parametrize('compressed', [False, True])
def test_reads_train_and_test(tmp_path, compressed):
  arrays = contents()
  read = read_arrays(save(tmp_path, arrays, compressed))
  assert list(read) == ['train', 'test']
  for split, examples in read.items():
    assert examples.x.dtype == np.uint8
    np.testing.assert_array_equal(examples.x, arrays[f'x_{split}'])
    np.testing.assert_array_equal(examples.y, arrays[f'y_{split}'])


@pytest.mark.parametrize('dtype', ['u1', 'u2', 'u4', 'u8', 'i1', 'i8'])
def test_labels_of_every_type_of_integer(tmp_path, dtype):
  labels = (np.arange(8) % 3).astype(dtype)
  read = read_arrays(save(tmp_path, contents(y_train=labels)))
  np.testing.assert_array_equal(read['train'].y, labels)
  assert read['train'].y.dtype == np.int64


def test_reads_dev_and_transfer(tmp_path):
  x = np.ones((5, 3, 3, 1))
  read = read_arrays(save(tmp_path, contents(
      x_dev=x, y_dev=np.zeros(5, np.uint8), x_transfer=x)))
  assert list(read) == ['train', 'test', 'dev', 'transfer']
  np.testing.assert_array_equal(read['transfer'].y, [-1] * 5)


def test_what_may_be_a_slip_is_told(tmp_path, caplog):
  read_arrays(save(tmp_path, contents()))
  assert not caplog.text
  slips = {'y_train': np.arange(8) % 3 + 2, 'X_dev': np.zeros(3)}
  read_arrays(save(tmp_path, contents(**slips)))
  assert f'not read: X_dev; {HOW}' in caplog.text
  assert ('y_train goes up to 4, and 2 of these classes have no example;'
          ' number them from 0') in caplog.text
  read_arrays(save(tmp_path, contents(y_train=np.zeros(8, int))))
  assert 'y_train is 0 everywhere: there is nothing to tell apart' in (
      caplog.text)


@pytest.mark.parametrize('missing', ['x_train', 'y_train', 'x_test', 'y_test'])
def test_missing_array(tmp_path, missing):
  arrays = contents()
  del arrays[missing]
  path = save(tmp_path, arrays)
  message = (f'{path} lacks the array {missing} (it has:'
             f' {", ".join(sorted(arrays))}); {HOW}')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    read_arrays(path)


def test_half_a_dev_split(tmp_path):
  path = save(tmp_path, contents(x_dev=np.ones((5, 3, 3, 1))))
  with pytest.raises(errors.UserError, match='lacks the array y_dev'):
    read_arrays(path)


class _Bomb:

  def __reduce__(self):
    return (exec, ('raise SystemExit("unpickled")',))


def test_pickled_array_is_never_loaded(tmp_path):
  path = save(tmp_path, contents(x_test=np.array([_Bomb()], object)))
  message = (f'{path} holds pickled objects, which are never loaded because'
             f' they can run code, or it is no .npz file; {HOW}, all of plain'
             ' numbers')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    read_arrays(path)


def test_pickle_file_is_never_loaded(tmp_path):
  path = tmp_path / 'mine.npz'
  path.write_bytes(pickle.dumps(_Bomb()))
  with pytest.raises(errors.UserError, match='which are never loaded'):
    read_arrays(path)


def test_absent(tmp_path):
  path = tmp_path / 'none.npz'
  message = f'{path} does not exist; {HOW}'
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    read_arrays(path)


@pytest.mark.parametrize('path', ['', '.'])
def test_no_path_or_a_folder(path):
  with pytest.raises(errors.UserError):
    read_arrays(path)


def test_lone_npy(tmp_path):
  path = tmp_path / 'mine.npy'
  np.save(path, np.ones(3))
  message = f'{path} is no .npz file; {HOW}'
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    read_arrays(path)


@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('size', [0, 1, 100, 600, -1, -30])
def test_cut_off(tmp_path, size, compressed):
  path = save(tmp_path, contents(), compressed)
  path.write_bytes(path.read_bytes()[:size])
  with pytest.raises(errors.UserError, match=re.escape(str(path))):
    read_arrays(path)


@pytest.mark.parametrize('compressed', [False, True])
def test_no_flipped_byte_goes_unseen_or_untold(tmp_path, compressed):
  path = save(tmp_path, contents(x_dev=np.ones((2, 3, 3, 1)),
                                 y_dev=np.zeros(2, int)), compressed)
  whole, good = path.read_bytes(), read_arrays(path)
  found = 0
  # Uncompressed, the header of the first array is what differs.
  positions = range(len(whole) if compressed else 250)
  for position in positions:
    data = bytearray(whole)
    data[position] ^= 255
    path.write_bytes(data)
    try:
      read = read_arrays(path)
    except errors.UserError as error:
      assert str(path) in str(error)
      found += 1
      continue
    # What may change unseen is a time stamp, or half of the dev split's name.
    for split, examples in read.items():
      np.testing.assert_array_equal(examples.x, good[split].x)
      np.testing.assert_array_equal(examples.y, good[split].y)
  assert found > len(positions) / 2


@pytest.mark.parametrize('code', [
    errno.EMFILE, errno.EACCES, errno.EIO])
def test_what_cannot_be_opened_is_not_damaged(tmp_path, monkeypatch, code):
  path = save(tmp_path, contents())

  def refuse(*args, **kwargs):
    raise OSError(code, os.strerror(code))

  monkeypatch.setattr('builtins.open', refuse)
  for read in (read_arrays, digest_present, digest_readable):
    with pytest.raises(refusals.RefusedError) as caught:
      read(path)
    assert str(caught.value).startswith(
        f'cannot read {path}: {os.strerror(code)}; ')


@pytest.mark.parametrize('header', [
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (8\n", b'0\n', b"'\n"])
def test_array_with_a_broken_header(tmp_path, header):
  path = tmp_path / 'mine.npz'
  with zipfile.ZipFile(path, 'w') as file:
    file.writestr('x_train.npy', b'\x93NUMPY\x01\x00' + bytes(
        [len(header), 0]) + header)
  with pytest.raises(errors.UserError, match=re.escape(f'cannot read {path}')):
    read_arrays(path)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'x_train': np.ones((8, 2), complex)},
     'x_train has type complex128 and shape (8, 2); it must hold real numbers,'
     ' one row per example'),
    ({'x_test': np.array(['a', 'b'])},
     'x_test has type <U1 and shape (2,); it must hold real numbers, one row'
     ' per example'),
    ({'x_transfer': np.ones(5)},
     'x_transfer has type float64 and shape (5,); it must hold real numbers,'
     ' one row per example'),
    ({'y_train': np.ones(8)},
     'y_train has type float64 and shape (8,); it must hold integers from 0,'
     ' one per example'),
    ({'y_test': np.array([0, 1, 2, 2 ** 31])},
     'y_test has the label 2147483648; number the classes from 0'),
    ({'y_test': np.ones((4, 1), int)},
     'y_test has type int64 and shape (4, 1); it must hold integers from 0,'
     ' one per example'),
])
def test_wrong_types(tmp_path, changes, message):
  path = save(tmp_path, contents(**changes))
  with pytest.raises(
      errors.UserError, match=f'^{re.escape(f"{path}: {message}")}$'):
    read_arrays(path)
