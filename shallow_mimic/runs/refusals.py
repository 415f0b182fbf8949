"""What the operating system refuses, in one line: what, why, and what to do.

A file that cannot be opened need not be damaged: the disk is full, too many
files are open, a permission is missing, the folder was deleted meanwhile. Only
what is damaged may a user be told to delete.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import re
from collections.abc import Iterator

from shallow_mimic import errors

_AGAIN = 'then run the same command again: what was finished is kept'
# Limits of a process, by the error of reaching them: their name in `resource`,
# what they count, the flag of `ulimit`, and its unit in bytes.
LIMITS = {
    errno.EMFILE: ('NOFILE', 'open files', '-n', 1),
    errno.EFBIG: ('FSIZE', 'the size of a file', '-f', 1024),
    errno.ENOMEM: ('AS', 'address space', '-v', 1024),
    errno.EAGAIN: ('NPROC', 'processes and threads', '-u', 1),
}
# What libraries tell of in words.
_TOLD = (
    *LIMITS, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EACCES,
    errno.EPERM, errno.EROFS, errno.ENOENT, errno.EIO)


class RefusedError(errors.UserError):
  """The machine refused to read or write: no fault of what lies there."""


def explain(doing: str, path: os.PathLike | str,
            error: OSError) -> errors.UserError:
  """What to say of an OSError: a RefusedError, or a file to read is not there.

  Args:
    doing: 'read' or 'write'.
    path: of what.
    error: what was raised.
  """
  kind = (errors.UserError if doing == 'read' and is_absence(error)
          else RefusedError)
  return kind(f'cannot {doing} {path}: {error.strerror or error};'
              f' {_advise(doing, pathlib.Path(os.path.abspath(path)), error)}')


def is_absence(error: BaseException) -> bool:
  """Whether it says that there is no such file."""
  return isinstance(
      error, FileNotFoundError | NotADirectoryError | IsADirectoryError)


def find_refusal(error: BaseException) -> BaseException | None:
  """The machine's refusal that a library's error stands for; None for none.

  Orbax, TensorStore, TFDS and array_record tell of one in errors of several
  types: which it is stands in the text, or in the error that theirs came from.
  """
  found = _read_refusal(error)
  cause = error.__cause__ or error.__context__
  if found or not cause:
    return found
  found = find_refusal(cause)
  # Who looks for a file in several places does not miss it in the first.
  return None if found is None or is_absence(found) else found


def _read_refusal(error: BaseException) -> BaseException | None:
  text = str(error)
  if isinstance(error, errors.UserError):  # It is told as what it is.
    return None
  if (isinstance(error, MemoryError) or is_thread_refused(error)
      or (isinstance(error, OSError) and error.errno)):
    return error
  if found := re.search(r"os_error_code='(\d+)'", text):
    number = int(found[1])
  elif text.startswith('NOT_FOUND'):  # As TensorStore begins.
    number = errno.ENOENT
  else:
    number = next((one for one in _TOLD if os.strerror(one) in text), 0)
  return OSError(number, os.strerror(number)) if number else None


def raise_refusal(path: os.PathLike | str, error: Exception) -> None:
  """Raises the refusal that an error of reading stands for, if it does.

  That there is no such file is none.
  """
  refusal = find_refusal(error)
  if refusal is None or is_absence(refusal):
    return
  if isinstance(refusal, OSError):
    raise explain('read', path, refusal) from error
  raise error


@contextlib.contextmanager
def uncovered() -> Iterator[None]:
  """Raises, in place of a library's error, the refusal that it stands for."""
  try:
    yield
  except Exception as error:
    refusal = find_refusal(error)
    if refusal in (None, error):
      raise
    raise refusal from error


def is_thread_refused(error: BaseException) -> bool:
  """Whether no thread could be started; Python has no type for that."""
  return isinstance(error, RuntimeError) and 'start new thread' in str(error)


def find_limit(name: str) -> int | None:
  """A limit of this process; None where there is none.

  Args:
    name: as in `resource`, without RLIMIT_.
  """
  try:
    import resource  # noqa: PLC0415
  except ImportError:  # Not on Windows.
    return None
  limit = resource.getrlimit(getattr(resource, f'RLIMIT_{name}'))[0]
  return None if limit == resource.RLIM_INFINITY else limit


def say_limit(number: int) -> str:
  """A limit and how much it is now, by the error of reaching it."""
  name, what, flag, unit = LIMITS[number]
  limit = find_limit(name)
  now = 'unlimited' if limit is None else limit // unit
  return f'the limit on {what} (`ulimit {flag}`, now {now})'


def tell(error: BaseException) -> str:
  """One line on what the machine refused a whole program; '' for nothing."""
  first = str(error).partition('\n')[0]
  if isinstance(error, MemoryError) or first.startswith('RESOURCE_EXHAUSTED'):
    limit = find_limit('AS')
    more = '' if limit is None else f', or raise {say_limit(errno.ENOMEM)}'
    return (f'out of memory{f" ({first})" if first else ""}; use smaller'
            f' widths, batch or data{more}')
  if is_thread_refused(error):
    return f'no more threads can be started; {advise_threads()}'
  if isinstance(error, OSError) and error.filename:
    return str(explain('use', str(error.filename), error))
  if isinstance(error, OSError) and error.errno in _TOLD:
    return f'{error.strerror}; {_advise("use", pathlib.Path.cwd(), error)}'
  return ''


def advise_threads() -> str:
  """What to do where no thread can be started."""
  return (f'raise {say_limit(errno.EAGAIN)}, that of the container, or'
          f' {say_limit(errno.ENOMEM)}, {_AGAIN}')


def _advise(doing: str, path: pathlib.Path, error: OSError) -> str:
  """What to do about it."""
  # The first that is no folder, on the way to the path.
  end = next((place for place in (*reversed(path.parents), path)
              if not os.path.isdir(place)), path)
  number = error.errno
  if number in (errno.ENOSPC, errno.EDQUOT):
    todo = 'free some space or choose another folder to write to'
  elif number in LIMITS:
    todo = f'raise {say_limit(number)}'
  elif number == errno.ENFILE:
    todo = 'have other programs close their files'
  elif number in (errno.EACCES, errno.EPERM):
    what = end.parent if doing == 'write' else path
    todo = f'get the right to {doing} {what}, or choose another folder'
  elif number == errno.EROFS:
    todo = 'choose another folder, on a file system that can be written'
  elif number in (errno.ENOENT, errno.ESTALE):
    return (f'{end} was deleted or moved: put it back, or run the same command'
            ' again to make it anew')
  elif number in (errno.ENOTDIR, errno.EISDIR) and doing == 'read':
    todo = 'have a file there'
  elif number in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
    kind = 'folder' if number == errno.EISDIR else 'file'
    todo = f'move the {kind} {end} away'
  else:
    todo = 'check that disk, or choose another folder'
  return f'{todo}, {_AGAIN}'
