"""Whole-or-nothing file writes, and SHA-256 digests of what they hold.

Every write goes to a temporary file beside its target and is renamed onto it,
so that a reader, or a run that was killed, finds the old file or the new one
and never half of either.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import mmap
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import jax
import numpy as np

from shallow_mimic import errors
from shallow_mimic.runs import refusals

_BLOCK = 1 << 22


@contextlib.contextmanager
def clear_disk_errors(path: os.PathLike | str) -> Iterator[None]:
  """Turns an OSError of a write to `path` into a UserError of one line."""
  try:
    yield
  except OSError as error:
    raise refusals.explain('write', path, error) from error


@contextlib.contextmanager
def clear_read_errors(path: os.PathLike | str) -> Iterator[None]:
  """Turns what is raised of reading `path` into a UserError of one line.

  It is to be deleted only where it is there, can be opened, and is damaged.
  """
  try:
    yield
  except errors.UserError:
    raise
  except Exception as error:
    # A damaged header goes through Python's parser: TokenError, SyntaxError, …
    refusals.raise_refusal(path, error)
    if isinstance(error, OSError) and refusals.is_absence(error):
      raise refusals.explain('read', path, error) from error
    raise errors.UserError(
        f'cannot read {path}: {error}; delete it and run again to make it anew'
    ) from error


def write_bytes(path: os.PathLike | str, data: bytes | memoryview) -> None:
  """Writes a file whole or not at all; makes its folder, but none above that.

  What was deleted while the program runs is so not made again.

  Raises:
    UserError: the disk is full or the path cannot be written.
  """
  path = pathlib.Path(path)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
  with clear_disk_errors(path):
    path.parent.mkdir(exist_ok=True)
    try:
      with open(temporary, 'wb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
      os.replace(temporary, path)
    finally:
      temporary.unlink(missing_ok=True)


def write_text(path: os.PathLike | str, text: str) -> None:
  """Writes UTF-8 text, whole or not at all."""
  write_bytes(path, text.encode())


def write_json(path: os.PathLike | str, tree: Any) -> None:
  """Writes JSON with sorted keys: equal trees make equal bytes."""
  write_text(path, json.dumps(tree, indent=1, sort_keys=True) + '\n')


def write_array(path: os.PathLike | str, array: np.ndarray) -> None:
  """Writes one array as `.npy`, whole or not at all.

  Raises:
    UserError: the disk is full or the path cannot be written.
    TypeError: a dtype that `.npy` would give back as raw bytes (bfloat16) or
      that needs pickle.
  """
  array = np.asarray(array)
  if array.dtype.kind in 'OV':
    raise TypeError(f'cannot write {array.dtype} as .npy; cast it first')
  buffer = io.BytesIO()
  np.save(buffer, array, allow_pickle=False)
  write_bytes(path, buffer.getbuffer())


def write_arrays(path: os.PathLike | str, tree: Any) -> None:
  """Writes the arrays of a pytree as `.npz`, by their paths, whole or not."""
  arrays: dict[str, Any] = {
      name: _to_plain(np.asarray(leaf))
      for name, leaf in _name_leaves(tree).items()}
  buffer = io.BytesIO()
  np.savez(buffer, **arrays)
  write_bytes(path, buffer.getbuffer())


def read_arrays(path: os.PathLike | str, template: Any) -> Any:
  """Reads what `write_arrays` wrote; never unpickled.

  Args:
    path: of the `.npz` file.
    template: pytree of arrays or `jax.ShapeDtypeStruct`: what is expected.

  Raises:
    UserError: it cannot be read, or holds arrays of other names, types or
      shapes.
  """
  wanted, arrays = _name_leaves(template), []
  # Opened here, as NumPy leaves what is no archive open.
  with (clear_read_errors(path), open(path, 'rb') as file,
        np.load(file, allow_pickle=False) as found):
    if set(found.files) != set(wanted):
      raise ValueError('it holds other arrays than the net has')
    for name, leaf in wanted.items():
      array = found[name]
      if leaf.dtype.kind == 'V':
        array = array.view(leaf.dtype)
      if (array.dtype, array.shape) != (leaf.dtype, leaf.shape):
        raise ValueError(f'{name} is {array.dtype}{list(array.shape)}')
      arrays.append(array)
  return jax.tree.unflatten(jax.tree.structure(template), arrays)


def _name_leaves(tree: Any) -> dict[str, Any]:
  return {jax.tree_util.keystr(path, simple=True, separator='/'): leaf
          for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _to_plain(array: np.ndarray) -> np.ndarray:
  """NumPy's format has no name for bfloat16 and the 8-bit floats."""
  if array.dtype.kind != 'V':
    return array
  return array.view(f'u{array.dtype.itemsize}')


def read_json(path: os.PathLike | str) -> Any:
  """Reads JSON; UserError that names the file where it is damaged."""
  with clear_read_errors(path):
    return json.loads(pathlib.Path(path).read_text(encoding='utf-8'))


def write_sealed(path: os.PathLike | str, tree: Mapping[str, Any]) -> None:
  """Writes a JSON object with its own SHA-256, so that it covers itself."""
  write_json(path, {**tree, 'sha256': digest_json(tree)})


def read_sealed(path: os.PathLike | str) -> dict[str, Any]:
  """What `write_sealed` wrote.

  Raises:
    UserError: it cannot be read, or is not what was written.
  """
  tree = read_json(path)
  if isinstance(tree, dict) and 'sha256' in tree:
    if tree.pop('sha256') == digest_json(tree):
      return tree
    raise explain_damage(path)
  raise explain_damage(path, ', or another version of shallow_mimic wrote it')


def explain_damage(path: os.PathLike | str,
                   perhaps: str = '') -> errors.UserError:
  """What to say of a root that is not what was written."""
  folder = pathlib.Path(path).parent
  return errors.UserError(
      f'{path} is damaged{perhaps}: it is not what was written; delete'
      f' {folder} and run again to make it anew')


def read_array(path: os.PathLike | str, *, mmap: bool = False) -> np.ndarray:
  """Reads one `.npy` file (never unpickled), mapped from disk if `mmap`."""
  with clear_read_errors(path):
    # Mapped first: a damaged shape then is more than the file has, and not more
    # than the machine has.
    array = np.load(path, mmap_mode='r', allow_pickle=False)
    if not isinstance(array, np.ndarray):
      array.close()
      raise ValueError('an archive, not one array')
    return array if mmap else np.array(array)


def release(array: Any) -> None:
  """Gives back the memory of what was read of an array mapped from disk.

  It is read again when it is asked for.
  """
  if not isinstance(array, np.ndarray) or array.flags.writeable:
    return
  base: Any = array
  while isinstance(base, np.ndarray):
    base = base.base
  if isinstance(base, mmap.mmap) and hasattr(base, 'madvise'):
    base.madvise(mmap.MADV_DONTNEED)


def walk_files(folder: os.PathLike | str) -> Iterator[pathlib.Path]:
  """Every file below a folder, in a fixed order; links are followed once.

  Raises:
    UserError: a folder in it cannot be read.
  """
  def refuse(error: OSError) -> None:
    raise refusals.explain('read', error.filename, error) from error

  seen = set()
  for root, folders, names in os.walk(
      os.fspath(folder), onerror=refuse, followlinks=True):
    real = os.path.realpath(root)
    if real in seen:  # A link that leads back would be walked for ever.
      folders.clear()
      continue
    seen.add(real)
    folders.sort()
    yield from (pathlib.Path(root, name) for name in sorted(names))


def digest_file(path: os.PathLike | str) -> str:
  """SHA-256 of a file's bytes, in hexadecimal."""
  with open(path, 'rb') as file:
    return digest_stream(file)


def digest_stream(file: BinaryIO, size: float = math.inf) -> str:
  """SHA-256 of the next `size` bytes of an open file, or all that follow."""
  sha = hashlib.sha256()
  while size and (block := file.read(int(min(size, _BLOCK)))):
    sha.update(block)
    size -= len(block)
  return sha.hexdigest()


def find_damaged(folder: pathlib.Path, digests: Mapping[str, str]) -> str:
  """The first file of a folder that is missing or not as its SHA-256 says.

  '' where all are as they were written.

  Raises:
    RefusedError: one is there and cannot be read.
  """
  for name, digest in digests.items():
    try:
      if digest_file(folder / name) == digest:
        continue
    except OSError as error:
      if not refusals.is_absence(error):
        raise refusals.explain('read', folder / name, error) from error
    return name
  return ''


def digest_array(array: Any) -> str:
  """SHA-256 of an array's dtype, shape and bytes, in hexadecimal."""
  array = np.asarray(array)
  # The name tells bfloat16 and the 8-bit floats apart (their `str` is that of
  # raw bytes), `str` the byte order.
  sha = hashlib.sha256(
      f'{array.dtype.name} {array.dtype.str} {array.shape}'.encode()
  )
  # ascontiguousarray makes a scalar 1-d: only the shape above may be trusted.
  flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
  for start in range(0, len(flat), _BLOCK):
    sha.update(flat[start:start + _BLOCK].data)
    release(array)
  return sha.hexdigest()


def digest_json(tree: Any) -> str:
  """SHA-256 of a JSON tree, whatever the order of its keys."""
  return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def digest_tree(tree: Any) -> dict[str, str]:
  """SHA-256 of every leaf of a pytree, by the leaf's path."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {jax.tree_util.keystr(path): digest_array(leaf)
          for path, leaf in leaves}
