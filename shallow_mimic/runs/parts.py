"""An array on disk, written part by part: a run that was killed goes on.

Beside `NAME.npy` lies `NAME.npy.parts.json` with the size and SHA-256 of each
part; until the last one the array is called `NAME.npy.partial`. No more than
some rows are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from shallow_mimic.runs import files
import hashlib
import io
import numpy as np
import os
import pathlib

_BLOCK = 1 << 22


def write_parts(path: os.PathLike | str, shape: tuple[int, ...],
                dtype: np.typing.DTypeLike,
                parts: Sequence[Callable[[], Iterable[np.ndarray]]],
                ) -> np.ndarray:
  """Writes an array whose rows `parts` make; intact parts are not made again.

  Args:
    path: of the `.npy` file.
    shape: [N, …], of the whole.
    dtype: of the whole.
    parts: functions that make the rows of a part, some at a time. They make
      the same ones in every run.

  Returns:
    The array, mapped from disk.

  Raises:
    UserError: the disk is full or the path cannot be written.
    ValueError: the parts do not add up to `shape`.
  """
  path = pathlib.Path(path)
  partial, record = _beside(path, '.partial'), _beside(path, '.parts.json')
  header = _header(shape, dtype)
  with files.clear_disk_errors(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():  # Whole, but what comes after was cut off.
      os.replace(path, partial)
    done = _intact_parts(partial, record, header)
    with open(partial, 'r+b' if done else 'wb') as file:
      file.truncate(len(header) + sum(size for size, _ in done))
      file.seek(0)
      file.write(header)
      file.seek(0, os.SEEK_END)
      for part in parts[len(done):]:
        done.append(_write_part(file, part, dtype))
        files.write_json(record, {'header': header.hex(), 'parts': done})
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if sum(part[0] for part in done) != size:
      raise ValueError(f'the parts of {path} do not make up {shape}')
    os.replace(partial, path)
  return files.read_array(path, mmap=True)


def discard(directory: os.PathLike | str) -> None:
  """Deletes the arrays of a folder that were written in parts; nothing else."""
  for record in pathlib.Path(directory).glob('*.npy.parts.json'):
    path = record.with_name(record.name.removesuffix('.parts.json'))
    for file in (path, _beside(path, '.partial'), record):
      file.unlink(missing_ok=True)


def _beside(path, suffix):
  return path.with_name(path.name + suffix)


def _header(shape, dtype):
  """The bytes that `numpy.save` would begin such a file with."""
  buffer = io.BytesIO()
  np.lib.format.write_array_header_1_0(buffer, {
      'descr': np.lib.format.dtype_to_descr(np.dtype(dtype)),
      'fortran_order': False, 'shape': tuple(shape)})
  return buffer.getvalue()


def _write_part(file, part, dtype):
  """Appends a part; its size and SHA-256, once they are on the disk."""
  sha, size = hashlib.sha256(), 0
  for rows in part():
    data = np.ascontiguousarray(rows, dtype).reshape(-1).view(np.uint8)
    file.write(data)
    sha.update(data)
    size += data.nbytes
  file.flush()
  os.fsync(file.fileno())
  return [size, sha.hexdigest()]


def _intact_parts(partial, record, header):
  """[size, SHA-256] of the leading parts that an earlier run left intact."""
  if not (partial.exists() and record.exists()):
    return []
  said = files.read_json(record)
  good = []
  with open(partial, 'rb') as file:
    if file.read(len(header)) != header or said['header'] != header.hex():
      return []
    for size, digest in said['parts']:
      if _digest_next(file, size) != digest:
        break
      good.append([size, digest])
  return good


def _digest_next(file, size):
  sha = hashlib.sha256()
  while size and (block := file.read(min(size, _BLOCK))):
    sha.update(block)
    size -= len(block)
  return sha.hexdigest()
