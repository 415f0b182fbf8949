"""What the system refuses: each as what it is, and what to do about it."""

import errno
import os

import pytest

from shallow_mimic import errors
from shallow_mimic.runs import refusals

AGAIN = ', then run the same command again: what was finished is kept'


def fault(code):
  return OSError(code, os.strerror(code))


@pytest.mark.parametrize(('code', 'advice'), [
    (errno.ENOSPC, f'free some space or choose another folder to write to'
     f'{AGAIN}'),
    (errno.EDQUOT, f'free some space or choose another folder to write to'
     f'{AGAIN}'),
    (errno.EMFILE, 'raise the limit on open files (`ulimit -n`, now 64)'
     f'{AGAIN}'),
    (errno.ENFILE, f'have other programs close their files{AGAIN}'),
    (errno.EFBIG, f'raise the limit on the size of a file (`ulimit -f`, now 2)'
     f'{AGAIN}'),
    (errno.EACCES, f'get the right to write PLACE, or choose another folder'
     f'{AGAIN}'),
    (errno.EPERM, f'get the right to write PLACE, or choose another folder'
     f'{AGAIN}'),
    (errno.EROFS, 'choose another folder, on a file system that can be written'
     f'{AGAIN}'),
    (errno.ENOENT, 'PLACE/run was deleted or moved: put it back, or run the'
     ' same command again to make it anew'),
    (errno.ENOTDIR, f'move the file PLACE/run away{AGAIN}'),
    (errno.EIO, f'check that disk, or choose another folder{AGAIN}'),
    (errno.ENODEV, f'check that disk, or choose another folder{AGAIN}'),
])
def test_each_is_told_as_what_it_is(tmp_path, monkeypatch, code, advice):
  monkeypatch.setattr(refusals, 'find_limit',
                      {'NOFILE': 64, 'FSIZE': 2048}.get)
  path = tmp_path / 'run' / 'x'
  told = refusals.explain('write', path, fault(code))
  assert isinstance(told, refusals.RefusedError)
  assert str(told) == (f'cannot write {path}: {os.strerror(code)}; '
                       + advice.replace('PLACE', str(tmp_path)))
  # Space is what a full disk lacks, and nothing else.
  assert ('space' in str(told)) == (code in (errno.ENOSPC, errno.EDQUOT))


@pytest.mark.parametrize(('code', 'refused'), [
    (errno.ENOENT, False), (errno.ENOTDIR, False), (errno.EISDIR, False),
    (errno.EACCES, True), (errno.EMFILE, True), (errno.EIO, True)])
def test_a_file_to_read_that_is_not_there_is_no_refusal(code, refused):
  told = refusals.explain('read', '/there/x', fault(code))
  assert isinstance(told, refusals.RefusedError) is refused
  assert isinstance(told, errors.UserError)


@pytest.mark.parametrize('code', [errno.ENOTDIR, errno.EISDIR])
def test_a_folder_in_place_of_a_file_to_read_is_not_ours_to_move(code):
  assert str(refusals.explain('read', '/there', fault(code))) == (
      f'cannot read /there: {os.strerror(code)}; have a file there{AGAIN}')


def test_a_right_to_read_is_that_of_the_file():
  assert 'get the right to read /there/x, or' in str(
      refusals.explain('read', '/there/x', fault(errno.EACCES)))


@pytest.mark.parametrize(('error', 'code'), [
    (ValueError('RESOURCE_EXHAUSTED: Error writing "a/0" in OCDBT database'
                " [os_error_code='28'] [tensorstore_spec='{}']"), errno.ENOSPC),
    (ValueError('Failed to open: "/a" Too many open files [source=…]'),
     errno.EMFILE),
    (RuntimeError('write() failed: No space left on device; writing /a'),
     errno.ENOSPC),
    (RuntimeError('open() failed: Permission denied; reading /a'),
     errno.EACCES),
    (ValueError('NOT_FOUND: Error writing "x" in OCDBT database'),
     errno.ENOENT),
    (OSError('Disk quota exceeded'), errno.EDQUOT),
    (ValueError('the shapes differ'), None), (KeyError('x'), None),
    (RuntimeError('a bug'), None), (OSError('Orbax cannot'), None)])
def test_libraries_tell_of_it_in_words(error, code):
  found = refusals.find_refusal(error)
  assert (found and found.errno) == code
  if code is None:
    with pytest.raises(type(error)), refusals.uncovered():
      raise error
  else:
    with pytest.raises(OSError) as caught, refusals.uncovered():
      raise error
    assert caught.value.errno == code


def test_the_error_that_one_came_from_tells_it():
  try:
    try:
      raise fault(errno.EMFILE)
    except OSError as error:
      raise ValueError('Failed to construct a dataset') from error
  except ValueError as error:
    assert refusals.find_refusal(error).errno == errno.EMFILE
  try:
    try:
      raise fault(errno.ENOENT)  # Looked for here first.
    except OSError:
      raise ValueError('the file is damaged') from None
  except ValueError as error:
    assert refusals.find_refusal(error) is None


def test_what_is_told_already_stays_as_it_is():
  told = errors.UserError('cannot read x: Input/output error')
  assert refusals.find_refusal(told) is None


@pytest.mark.parametrize('error', [
    MemoryError(), RuntimeError("can't start new thread"),
    fault(errno.EMFILE), fault(errno.ENOENT)])
def test_what_is_a_refusal_stays_itself(error):
  assert refusals.find_refusal(error) is error
  with pytest.raises(type(error)) as caught, refusals.uncovered():
    raise error
  assert caught.value is error


def test_raise_refusal_leaves_what_is_damaged_or_absent():
  for error in (ValueError('damaged'), fault(errno.ENOENT)):
    refusals.raise_refusal('/x', error)
  with pytest.raises(refusals.RefusedError, match=r'^cannot read /x: Input'):
    refusals.raise_refusal('/x', fault(errno.EIO))
  with pytest.raises(MemoryError):
    refusals.raise_refusal('/x', MemoryError())


@pytest.mark.parametrize(('error', 'line'), [
    (MemoryError(), 'out of memory; use smaller widths, batch or data'),
    (MemoryError('of NumPy'),
     'out of memory (of NumPy); use smaller widths, batch or data'),
    (RuntimeError('RESOURCE_EXHAUSTED: 9 bytes\nmore'),
     'out of memory (RESOURCE_EXHAUSTED: 9 bytes); use smaller widths, batch or'
     ' data'),
    (RuntimeError("can't start new thread"),
     'no more threads can be started; raise the limit on processes and threads'
     ' (`ulimit -u`, now unlimited), that of the container, or the limit on'
     f' address space (`ulimit -v`, now unlimited){AGAIN}'),
    (fault(errno.ENFILE), 'Too many open files in system; have other programs'
     f' close their files{AGAIN}'),
    (OSError(errno.EIO, 'Input/output error', '/a'), 'cannot use /a:'
     f' Input/output error; check that disk, or choose another folder{AGAIN}'),
    (RuntimeError('a bug'), ''), (OSError('a bug'), ''),
    (ConnectionResetError(errno.ECONNRESET, 'reset'), '')])
def test_a_program_ends_with_one_line(monkeypatch, error, line):
  monkeypatch.setattr(refusals, 'find_limit', {}.get)
  assert refusals.tell(error) == line


def test_a_limit_of_address_space_is_named_with_what_it_caused(monkeypatch):
  monkeypatch.setattr(refusals, 'find_limit', {'AS': 1 << 21}.get)
  assert refusals.tell(MemoryError()) == (
      'out of memory; use smaller widths, batch or data, or raise the limit on'
      ' address space (`ulimit -v`, now 2048)')
