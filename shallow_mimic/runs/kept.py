"""Kept folders: what is finished, what it was made from, is it intact.

A folder is begun with `started.json` and finished with `done.json`, its root.
The root says what the folder was made from, what the result is, which versions
made it, and lists every file with its SHA-256; it covers itself. Nothing is
taken for something else: a file that the root does not list is refused, as is
one that is not as it was written.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shallow_mimic import errors
from shallow_mimic.runs import files, versions

STARTED, _DONE = 'started.json', 'done.json'


@dataclasses.dataclass(frozen=True)
class Root:
  """What `done.json` says of its folder.

  Attributes:
    made_from: all that the result depends on, as a JSON tree.
    identity: what the result is, by content, for whatever is made from it.
    files: SHA-256 of every file by its name, relative to the folder.
    made_with: versions, cores and devices, see `versions.find_versions`.
    family: the round that a net was trained in, see `training.rounds`.
  """

  made_from: Mapping[str, Any]
  identity: Any
  files: Mapping[str, str]
  made_with: Mapping[str, Any]
  family: str = ''


def read_root(folder: os.PathLike | str) -> Root | None:
  """What a finished folder's root says; None where it is not finished.

  Raises:
    UserError: the root is damaged, or no root of ours.
  """
  path = pathlib.Path(folder) / _DONE
  if not os.path.lexists(path):
    return None
  tree = files.read_sealed(path)
  kinds = {'made_from': Mapping, 'files': Mapping, 'made_with': Mapping,
           'family': str}
  fields = {field.name for field in dataclasses.fields(Root)}
  if tree.keys() != fields or not all(
      isinstance(tree[name], kind) for name, kind in kinds.items()) or any(
      os.path.isabs(name) or '..' in name.split('/') for name in tree['files']):
    raise files.explain_damage(path)
  return Root(**tree)


def read_started(folder: os.PathLike | str) -> Mapping[str, Any] | None:
  """What a folder was begun from; None where it was not begun."""
  path = pathlib.Path(folder) / STARTED
  if not os.path.lexists(path):
    return None
  return files.read_sealed(path)


def start(folder: os.PathLike | str, made_from: Mapping[str, Any]) -> None:
  """Says what a folder is being made from."""
  files.write_sealed(pathlib.Path(folder) / STARTED, made_from)


def finish(folder: os.PathLike | str, made_from: Mapping[str, Any],
           identity: Any, names: Iterable[str] | None = None,
           family: str = '') -> None:
  """Writes a folder's root.

  Args:
    folder: where all files lie.
    made_from: see `Root`.
    identity: see `Root`.
    names: of its files, in a folder that may hold others; None: all.
    family: see `Root`.

  Raises:
    UserError: the folder holds a file of another name.
  """
  folder = pathlib.Path(folder)
  with files.clear_disk_errors(folder):
    for left in folder.rglob('.*.tmp'):  # Left by a run that was killed.
      left.unlink()
    there = _list_files(folder)
    for name in there:
      if names is not None and name not in (*names, STARTED):
        raise explain_foreign(folder / name, folder)
    digests = {name: files.digest_file(folder / name) for name in there}
  files.write_sealed(folder / _DONE, dataclasses.asdict(Root(
      made_from, identity, digests, versions.find_versions(), family)))


def verify(folder: os.PathLike | str) -> Root:
  """The root of a finished folder, all of whose files are as it says.

  Raises:
    UserError: it is not finished; a file is missing, damaged or not its own.
  """
  folder = pathlib.Path(folder)
  root = read_root(folder)
  if root is None:
    raise errors.UserError(f'{folder} is not finished')
  there = _list_files(folder)
  for name in there:
    if name not in root.files:
      raise explain_foreign(folder / name, folder)
  if name := files.find_damaged(folder, root.files):
    raise explain_damage(folder / name, folder)
  return root


def reopen(folder: os.PathLike | str) -> None:
  """Makes a finished folder one that is begun."""
  with files.clear_disk_errors(folder):
    (pathlib.Path(folder) / _DONE).unlink()


def is_intact(folder: os.PathLike | str) -> bool:
  """Whether a finished folder has its files and no others, as they were."""
  folder, root = pathlib.Path(folder), read_root(folder)
  return (root is not None and _list_files(folder) == sorted(root.files)
          and not files.find_damaged(folder, root.files))


def clear(folder: os.PathLike | str) -> None:
  """Deletes a finished folder, file by file of those that its root lists.

  Raises:
    UserError: it holds a file that is not its own, and stays as it is.
  """
  folder, root = pathlib.Path(folder), read_root(folder)
  there = _list_files(folder)
  for name in there:
    if root is None or name not in root.files:
      raise explain_foreign(folder / name, folder)
  with files.clear_disk_errors(folder):
    for name in there:
      (folder / name).unlink()
    (folder / _DONE).unlink(missing_ok=True)
    _remove_empty(folder)


def _remove_empty(folder: pathlib.Path) -> None:
  below = [path for path in folder.rglob('*') if path.is_dir()]
  for path in (*sorted(below, reverse=True), folder):
    path.rmdir()


def explain_foreign(path: pathlib.Path,
                    folder: pathlib.Path) -> errors.UserError:
  """What to say of a file that no root lists."""
  return errors.UserError(
      f'{path} is not a file that {folder} was written with; move it away')


def _list_files(folder: pathlib.Path) -> list[str]:
  """Names of all files but the roots, in order; links are refused."""
  found = []
  for path in (folder, *sorted(folder.rglob('*'))):
    if path.is_symlink():
      raise errors.UserError(
          f'{path} is a link; put what it points to in its place')
    if path.is_file() and path != folder / _DONE:
      found.append(path.relative_to(folder).as_posix())
  return found


def explain_damage(path: pathlib.Path,
                   folder: pathlib.Path) -> errors.UserError:
  """What to say of a file of a folder that is not as it was written."""
  what = ('damaged: its SHA-256 is not the one it was written with'
          if path.exists() else 'missing')
  return errors.UserError(
      f'{path} is {what}; delete {folder} and run again to make it anew')


def find_differences(theirs: Any, ours: Any) -> dict[str, tuple[Any, Any]]:
  """(theirs, ours) by the dotted names of the fields that differ.

  Args:
    theirs: a JSON tree, as it was read.
    ours: another; tuples are lists.

  >>> find_differences({'a': {'b': 1}, 'c': 2}, {'a': {'b': 3}, 'c': 2})
  {'a.b': (1, 3)}
  """
  return _differ(theirs, json.loads(json.dumps(ours)), '')


def _differ(theirs: Any, ours: Any, prefix: str) -> dict[str, tuple[Any, Any]]:
  if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
    return {name: pair for key in sorted({*theirs, *ours})
            for name, pair in _differ(
                theirs.get(key), ours.get(key),
                f'{prefix}.{key}' if prefix else key).items()}
  return {} if theirs == ours else {prefix: (theirs, ours)}


def write_whole(folder: pathlib.Path, write: Callable[[pathlib.Path], Any],
                made_from: Mapping[str, Any], *,
                family: str = '') -> None:
  """Writes a kept folder under a temporary name, and renames it.

  Args:
    folder: absent, or a finished one, which is then replaced; the folder that
      holds it is there.
    write: writes its files to the folder it is given; returns the identity.
    made_from: see `Root`.
    family: see `Root`.
  """
  temporary = folder.with_name(f'.{folder.name}.tmp')
  with files.clear_disk_errors(folder):
    if temporary.is_dir() and not temporary.is_symlink():
      shutil.rmtree(temporary)  # Of a run that was killed.
    temporary.mkdir()
    finish(temporary, made_from, write(temporary), family=family)
    if folder.exists():
      clear(folder)
    os.replace(temporary, folder)
