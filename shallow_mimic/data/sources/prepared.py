"""Copies that are prepared with TFDS: whole and as they were made, or anew.

TFDS takes whatever lies in a folder for what was prepared there. So a copy has
a record that says what it was made from and the SHA-256 of its files. Where
that does not fit, its files are deleted, no others, and it is made again.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import tensorflow_datasets as tfds

from shallow_mimic import errors
from shallow_mimic.data.sources.tfds_reader import first_line, quiet_tfds
from shallow_mimic.runs import files, refusals

B = TypeVar('B', bound=tfds.core.GeneratorBasedBuilder)
_RECORD = 'digests.json'
_OURS = r'.+\.array_record-\d+-of-\d+|dataset_info\.json|features\.json'


def prepare(builder: tfds.core.DatasetBuilder) -> None:
  """Has TFDS make the data, without a word; OSError where the disk is full."""
  try:
    with refusals.uncovered(), quiet_tfds():
      builder.download_and_prepare()
  except RuntimeError as error:  # ArrayRecord's own, of a file.
    if refusals.is_thread_refused(error):
      raise
    raise OSError(first_line(error)) from error


def open_copy(kind: type[B], data_dir: os.PathLike | str,
              config: tfds.core.BuilderConfig, origin: Any,
              make: Callable[[B], None] = prepare) -> B:
  """The builder of a prepared copy that is whole; it is made where it is not.

  Args:
    kind: the builder's class.
    data_dir: a TFDS data folder; it is made where missing.
    config: the builder's.
    origin: all that the data are made from, as JSON.
    make: has the builder make them.

  Raises:
    UserError: the folder cannot be written, or what lies in the copy's place
      is not ours to delete.
  """
  data_dir = pathlib.Path(data_dir)
  folder = data_dir / kind.name / config.name / str(kind.VERSION)

  def open_in(root: os.PathLike | str) -> B:
    with quiet_tfds():
      return kind(data_dir=os.fspath(root), config=config,
                  file_format='array_record')

  with files.clear_disk_errors(data_dir):
    if not _is_whole(folder, origin):
      _check_ours(folder)
      data_dir.mkdir(exist_ok=True)
      scratch = tempfile.mkdtemp(
          prefix=f'.{kind.name}.', suffix='.tmp', dir=data_dir)
      try:
        made = open_in(scratch)
        make(made)
        _put(pathlib.Path(made.data_path), folder, origin)
      finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return open_in(data_dir)


@contextlib.contextmanager
def clear_copy_errors(name: str, data_dir: os.PathLike | str) -> Iterator[None]:
  """Turns what TFDS raises of a copy that was whole into a UserError."""
  try:
    yield
  except (RuntimeError, ValueError, IndexError, OSError) as error:
    refusals.raise_refusal(data_dir, error)
    raise errors.UserError(
        f'cannot read back {name} from {pathlib.Path(data_dir)}:'
        f' {first_line(error)}; check that disk, or choose another folder'
    ) from error


def _is_whole(folder: pathlib.Path, origin: Any) -> bool:
  """Whether a copy is of this origin, and has its files and no others."""
  try:
    said = files.read_sealed(folder / _RECORD)
  except refusals.RefusedError:
    raise
  except errors.UserError:  # Absent or damaged.
    return False
  digests = said.get('files')
  return (said.get('origin') == origin and isinstance(digests, dict)
          and {*os.listdir(folder)} == {*digests, _RECORD}
          and not files.find_damaged(folder, digests))


def _check_ours(folder: pathlib.Path) -> None:
  """UserError where something lies in a copy's place that TFDS did not write.

  Nothing is deleted or written through a link.
  """
  for place in (*folder.parents[:2][::-1], folder):
    if place.is_symlink() or (place.exists() and not place.is_dir()):
      raise errors.UserError(
          f'{place} is not the folder of a prepared copy; move it away')
  for path in sorted(folder.iterdir()) if folder.exists() else ():
    named = re.fullmatch(f'{_OURS}|{re.escape(_RECORD)}', path.name)
    if not named or path.is_symlink() or not path.is_file():
      raise errors.UserError(
          f'{path} is not a file that a prepared copy was written with; move'
          ' it away')


def _put(made: pathlib.Path, folder: pathlib.Path, origin: Any) -> None:
  """Moves a copy to its place in one step, with its record."""
  files.write_sealed(made / _RECORD, {'origin': origin, 'files': {
      path.name: files.digest_file(path) for path in sorted(made.iterdir())}})
  folder.parent.mkdir(parents=True, exist_ok=True)
  for path in folder.iterdir() if folder.exists() else ():
    path.unlink()
  os.replace(made, folder)
