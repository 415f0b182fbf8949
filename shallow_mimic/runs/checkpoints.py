"""Checkpoints that notice damage: Orbax arrays with our own SHA-256 beside.

Orbax alone restores a flipped bit silently, takes an empty folder for its
newest step and casts a wrong dtype. Here `DIRECTORY/STEP/` holds what Orbax
wrote and `digests.json`, the digests of every file and leaf; a step whose
digests are absent or do not hold is passed over for the next older one.

One process at a time writes a directory: in a multi-process run process 0 (the
others return at once), while every process reads.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from absl import logging

from shallow_mimic import errors
from shallow_mimic.runs import files, orbax_arrays, refusals

_DIGESTS = 'digests.json'


class _DamagedError(Exception):
  """A step that cannot be trusted; its text says why."""


def steps(directory: os.PathLike | str) -> list[int]:
  """Numbers of the steps in a directory, oldest first, damaged ones included.

  Raises:
    UserError: the directory is there and cannot be listed.
  """
  try:
    names = [e.name for e in os.scandir(os.fspath(directory))
             if e.is_dir(follow_symlinks=False)]
  except (FileNotFoundError, NotADirectoryError):
    return []
  except OSError as error:
    raise refusals.explain('read', directory, error) from error
  # Only names that `write_checkpoint` gives: neither '007' nor '7.tmp'.
  return sorted(int(n) for n in names if re.fullmatch('0|[1-9][0-9]*', n))


def write_checkpoint(
    directory: os.PathLike | str, step: int, tree: Any, *, keep: int = 2,
    identity: str = '',
) -> None:
  """Writes a pytree as one step, whole or not at all, and drops old steps.

  The step is built under a temporary name, its digests last, and renamed: a
  run that is killed leaves the steps that it had. A step of the same number is
  replaced; steps of higher numbers (a damaged one that a restart walked back
  past) are left alone until the run reaches them again.

  Args:
    directory: made if absent, in a folder that is there; absolute or relative.
    step: 0 or more.
    tree: pytree of JAX arrays (fully addressable; typed keys too), NumPy arrays
      and Python numbers, each of any shape.
    keep: how many of the newest finished steps up to `step` stay.
    identity: of what is being trained; it is read under no other.

  Raises:
    UserError: the disk is full or the directory cannot be written.
    ValueError: negative step, keep < 1, or a tree without a leaf.
    TypeError: a leaf that is neither a number nor an array of numbers.
  """
  if step < 0 or keep < 1:
    raise ValueError(f'need step >= 0 and keep >= 1, got {step} and {keep}')
  leaves = _named(tree)
  arrays = {k: orbax_arrays.to_array(k, leaf) for k, leaf in leaves.items()}
  if not leaves:
    raise ValueError(f'nothing to write: {tree!r} has no leaf')
  if jax.process_index():
    return
  target = pathlib.Path(os.path.abspath(directory), str(step))
  _check_own(target.parent)
  with files.clear_disk_errors(target):
    target.parent.mkdir(exist_ok=True)
    _clear_temporaries(target.parent)
    try:
      with _pin(target.parent) as pinned:
        temporary = pinned / f'{step}.tmp'
        orbax_arrays.write_arrays(temporary, arrays)
        record = _make_record(temporary, leaves, arrays, [identity, step])
        files.write_sealed(temporary / _DIGESTS, record)
        if target.exists():  # A rename alone does not replace a folder.
          os.replace(target, target.with_name(f'{step}.old.tmp'))
        os.replace(temporary, target)
      _drop_old(target.parent, step, keep)
    finally:
      _clear_temporaries(target.parent, ignore_errors=True)


@contextlib.contextmanager
def _pin(directory: pathlib.Path) -> Iterator[pathlib.Path]:
  """A name of a directory that leads nowhere once that is deleted.

  TensorStore makes folders that are missing, and would make again what a user
  deletes meanwhile. Only Linux has such names.

  Raises:
    FileNotFoundError: it was deleted; in place of what was raised of that.
  """
  names = pathlib.Path('/proc/self/fd')
  with contextlib.ExitStack() as stack:
    if names.is_dir():
      opened = os.open(directory, os.O_RDONLY)
      stack.callback(os.close, opened)
    try:
      yield names / str(opened) if names.is_dir() else directory
    except Exception as error:
      if directory.is_dir():
        raise
      raise FileNotFoundError(
          errno.ENOENT, os.strerror(errno.ENOENT)) from error


def read_checkpoint(
    directory: os.PathLike | str, template: Any, *, identity: str = '',
) -> tuple[int, Any] | None:
  """Newest good step, as (step, tree), bit for bit what was written.

  A step that is empty, unfinished, damaged or of another identity is passed
  over for the next older one, with one warning through absl's log.

  Args:
    directory: what `write_checkpoint` was given.
    template: pytree of arrays, Python numbers or `jax.ShapeDtypeStruct`: the
      structure, shapes and dtypes that are expected.
    identity: what `write_checkpoint` was given.

  Returns:
    The step and a tree in the template's structure; its leaves are NumPy
    arrays (typed keys: JAX arrays). None where there is no step at all.

  Raises:
    UserError: steps but no good one; or the newest good step holds a tree of
      other structure, shapes or dtypes than the template.
  """
  failures = {}
  for step in reversed(steps(directory)):
    try:
      tree = _read_verified(directory, step, template, identity)
    except _DamagedError as damage:
      failures[step] = damage
      continue
    for bad, why in failures.items():
      logging.warning('checkpoint %s/%d is damaged (%s): using step %d',
                      directory, bad, why, step)
    return step, tree
  if not failures:
    return None
  reasons = '; '.join(f'step {bad}: {why}' for bad, why in failures.items())
  raise errors.UserError(
      f'no checkpoint in {directory} is good ({reasons}); delete that folder'
      ' and run the same command again to start this part anew'
  )


def _read_verified(
    directory: os.PathLike | str, step: int, template: Any, identity: str
) -> Any:
  """One step in the template's structure; _DamagedError if not as written."""
  folder = pathlib.Path(os.path.abspath(directory), str(step))
  record = _read_record(folder)
  if record['of'] != [identity, step]:
    raise _DamagedError('of another net or step')
  leaves = _named(template)
  _check_template(folder, record['leaves'], leaves)
  # Files first: given damaged ones, Orbax's threads print tracebacks.
  if damaged := files.find_damaged(folder, record['files']):
    raise _DamagedError(f'file {damaged} is not what was written')
  try:
    arrays = orbax_arrays.read_arrays(folder)
  except ValueError as error:
    raise _DamagedError(str(error)) from error
  restored = []
  for name, leaf in leaves.items():
    digest = name in arrays and files.digest_array(arrays[name])
    if digest != record['digests'][name]:
      raise _DamagedError(f'leaf {name} is not what was written')
    restored.append(orbax_arrays.from_array(arrays[name], leaf))
  return jax.tree.unflatten(jax.tree.structure(template), restored)


def _check_template(
    folder: pathlib.Path, written: dict[str, str], leaves: dict[str, Any]
) -> None:
  """UserError that names the first leaf that differs from the template."""
  wanted = {name: _describe(leaf) for name, leaf in leaves.items()}
  for name in wanted | written:
    there, here = written.get(name, 'absent'), wanted.get(name, 'absent')
    if there != here:
      raise errors.UserError(
          f'checkpoint {folder} is of another configuration: leaf {name} is'
          f' {there} there and {here} here; run with the configuration that'
          ' wrote it or choose another --workdir'
      )


def _make_record(
    folder: pathlib.Path, leaves: dict[str, Any],
    arrays: dict[str, np.ndarray], of: list[Any],
) -> dict[str, Any]:
  """What `digests.json` holds."""
  return {
      'leaves': {name: _describe(leaf) for name, leaf in leaves.items()},
      'digests': {k: files.digest_array(array) for k, array in arrays.items()},
      'files': {str(path.relative_to(folder)): files.digest_file(path)
                for path in folder.rglob('*') if path.is_file()},
      'of': of,
  }


def _read_record(folder: pathlib.Path) -> dict[str, Any]:
  try:
    return files.read_sealed(folder / _DIGESTS)
  except refusals.RefusedError:
    raise
  except errors.UserError as error:
    raise _DamagedError(
        f'{_DIGESTS} is not what was written'
        if os.path.lexists(folder / _DIGESTS)
        else f'unfinished: no {_DIGESTS}') from error


def delete_checkpoints(directory: os.PathLike | str) -> None:
  """Deletes all steps of a directory, and it, if it holds nothing else."""
  directory = pathlib.Path(directory)
  _check_own(directory)
  with files.clear_disk_errors(directory):
    _clear_temporaries(directory)
    for step in steps(directory):
      shutil.rmtree(directory / str(step))
    if directory.is_dir() and not any(directory.iterdir()):
      directory.rmdir()


def _check_own(directory: pathlib.Path) -> None:
  """UserError where a directory is a link: what it leads to is not ours."""
  if directory.is_symlink():
    raise errors.UserError(
        f'{directory} is a link; put the folder itself in its place')


def _drop_old(directory: pathlib.Path, step: int, keep: int) -> None:
  """Removes the steps up to `step` but its newest `keep` finished ones."""
  past = [n for n in steps(directory) if n <= step]
  finished = [n for n in past if (directory / str(n) / _DIGESTS).exists()]
  for number in set(past) - set(finished[-keep:]):
    shutil.rmtree(directory / str(number))


def _clear_temporaries(directory: pathlib.Path, *,
                       ignore_errors: bool = False) -> None:
  """Removes what a killed or failed write, or a replaced step, left behind."""
  for path in directory.glob('[0-9]*.tmp*'):
    shutil.rmtree(path, ignore_errors=ignore_errors)


def _named(tree: Any) -> dict[str, Any]:
  """Leaves by name, as in "tree['params'][0]"; a bare leaf is "tree"."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {f'tree{jax.tree_util.keystr(path)}': leaf for path, leaf in leaves}


def _describe(leaf: Any) -> str:
  """Dtype and shape, as in 'float32[3, 2]' or, for typed keys, 'key<fry>[]'."""
  leaf = leaf if hasattr(leaf, 'dtype') else np.asarray(leaf)
  return f'{leaf.dtype}{list(leaf.shape)}'
