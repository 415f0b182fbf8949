"""Arrays on disk in parts, each digested as it is finished.

A run that was killed goes on: a record in JSON says what the parts are made
from, and the SHA-256 of each that is finished, in order. The leading parts
that agree with it are kept, and what comes after them is made again. The
record covers itself: a damaged one counts as none.

`write_parts` joins the parts to one `.npy` file; the logit cache keeps a file
a part, and the same record.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from shallow_mimic import errors
from shallow_mimic.runs import files, refusals


@dataclasses.dataclass(frozen=True)
class Record:
  """What parts are made from, and the SHA-256 of the finished ones, in order.

  On disk at `path` from the first part on, as `origin`, `parts`, `complete`.
  """

  path: pathlib.Path
  origin: Mapping[str, Any]
  digests: list[str]

  def add(self, digest: str, *, complete: bool) -> None:
    """Counts one part more, which is on the disk by now."""
    self.digests.append(digest)
    files.write_sealed(self.path, {
        'origin': dict(self.origin), 'parts': self.digests,
        'complete': complete})


def read_record(path: pathlib.Path, origin: Mapping[str, Any],
                digest: Callable[[int], str]) -> Record:
  """The record of the leading parts that an earlier run left intact.

  Args:
    path: of the record; it may be absent or damaged.
    origin: what the parts are made from, as JSON; parts of another origin are
      not intact.
    digest: the SHA-256 of a part, by its number, as it lies on the disk; it
      may raise an OSError or a UserError where there is none.

  Raises:
    RefusedError: something is there, and cannot be opened.
  """
  record = Record(path, origin, [])
  try:
    said = files.read_sealed(path)
  except refusals.RefusedError:
    raise
  except errors.UserError:  # Absent or damaged.
    return record
  told = said.get('parts')
  if said.get('origin') != origin or not isinstance(told, list):
    return record
  for part, expected in enumerate(told):
    try:
      if digest(part) != expected:
        break
    except refusals.RefusedError:
      raise
    except (OSError, errors.UserError):
      break
    record.digests.append(expected)
  return record


def write_parts(path: os.PathLike | str, shape: tuple[int, ...],
                dtype: np.typing.DTypeLike,
                parts: Sequence[Callable[[], Iterable[np.ndarray]]],
                origin: Any = None) -> np.ndarray:
  """Writes an array whose rows `parts` make; intact parts are not made again.

  Beside `NAME.npy` lies its record, `NAME.npy.parts.json`; until the last part
  the array is called `NAME.npy.partial`. No more than some rows are in memory
  at a time.

  Args:
    path: of the `.npy` file.
    shape: [N, …], of the whole.
    dtype: of the whole.
    parts: functions that make the rows of a part, some at a time; all parts
      have the same number of rows. They make the same ones in every run.
    origin: all that the rows depend on, as JSON; parts of another origin are
      made anew.

  Returns:
    The array, mapped from disk.

  Raises:
    UserError: the disk is full, the path cannot be written, or is a link.
    ValueError: the parts do not add up to `shape`.
  """
  path = pathlib.Path(path)
  partial, header = _beside(path, '.partial'), _header(shape, dtype)
  size, left = divmod(
      math.prod(shape) * np.dtype(dtype).itemsize, len(parts))

  def digest(part: int) -> str:
    with files.clear_read_errors(partial), open(partial, 'rb') as file:
      file.seek(len(header) + part * size)
      return files.digest_stream(file, size)

  with files.clear_disk_errors(path):
    path.parent.mkdir(exist_ok=True)
    for place in (path, partial):
      if place.is_symlink():  # What it leads to is not ours to cut off.
        raise errors.UserError(f'{place} is a link; delete it')
    if path.exists():  # Whole, but what comes after was cut off.
      os.replace(path, partial)
    record = read_record(
        _beside(path, '.parts.json'),
        {'header': header.hex(), 'part_bytes': size, 'of': origin}, digest)
    done = len(record.digests)
    with open(partial, 'r+b' if done else 'wb') as file:
      file.truncate(len(header) + done * size)
      file.write(header)
      file.seek(0, os.SEEK_END)
      for number, part in enumerate(parts[done:], done + 1):
        written = _write_part(file, part, dtype)
        if left or file.tell() != len(header) + number * size:
          raise ValueError(f'the parts of {path} do not make up {shape}')
        record.add(written, complete=number == len(parts))
    os.replace(partial, path)
  return files.read_array(path, mmap=True)


def discard(directory: os.PathLike | str) -> None:
  """Deletes what `write_parts` left in a folder, and nothing else."""
  for record in pathlib.Path(directory).glob('*.npy.parts.json'):
    path = record.with_name(record.name.removesuffix('.parts.json'))
    for file in (path, _beside(path, '.partial'), record):
      file.unlink(missing_ok=True)


def name_record(name: str) -> str:
  """The name of the record beside an array of that name."""
  return f'{name}.parts.json'


def _beside(path: pathlib.Path, suffix: str) -> pathlib.Path:
  return path.with_name(path.name + suffix)


def _header(shape: tuple[int, ...], dtype: np.typing.DTypeLike) -> bytes:
  """The bytes that `numpy.save` would begin such a file with."""
  buffer = io.BytesIO()
  np.lib.format.write_array_header_1_0(buffer, {
      'descr': np.lib.format.dtype_to_descr(np.dtype(dtype)),
      'fortran_order': False, 'shape': tuple(shape)})
  return buffer.getvalue()


def _write_part(file: BinaryIO, part: Callable[[], Iterable[np.ndarray]],
                dtype: np.typing.DTypeLike) -> str:
  """Appends a part; its SHA-256, once it is on the disk."""
  sha = hashlib.sha256()
  for rows in part():
    data = np.ascontiguousarray(rows, dtype).reshape(-1).view(np.uint8).data
    file.write(data)
    sha.update(data)
  file.flush()
  os.fsync(file.fileno())
  return sha.hexdigest()
