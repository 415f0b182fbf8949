"""Work directories: one process at a time, nothing outside, parts made once.

Every part of a run has a folder of its own, see `kept`. A finished one is
verified and kept; what was made from other things is moved aside, never
overwritten and never deleted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from shallow_mimic import errors
from shallow_mimic.runs import files, kept, refusals

_CONFIG, _OLD = 'config.json', 'old'
# Why a lock's file cannot be made where nothing can be written.
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR)


class UnfinishedError(errors.UserError):
  """What is to be read is not there yet."""


@contextlib.contextmanager
def hold(workdir: os.PathLike | str,
         say: Callable[[str], None] = print) -> Iterator[None]:
  """Keeps other processes out of a work directory until the block ends.

  Two at once would write over each other's files. The lock goes with the
  process, however that ends; its file stays, and means nothing.

  Args:
    workdir: the work directory; made if absent.
    say: told where the file system has no locks.

  Raises:
    UserError: another one is at work there; it cannot be made; or it was
      deleted meanwhile, which no block of it makes again.
  """
  path = pathlib.Path(workdir) / '.lock'
  with contextlib.ExitStack() as stack:
    with files.clear_disk_errors(path):
      path.parent.mkdir(parents=True, exist_ok=True)
      try:
        file = stack.enter_context(open(path, 'wb'))
      except OSError as error:
        if error.errno not in _UNWRITABLE:
          raise
        file = None  # What is finished can be looked at all the same.
    if file and (why := _lock(file, workdir)):
      say(f'{workdir} cannot be locked ({why}); let no other run work there')
    try:
      yield
    except Exception as error:
      if os.path.isdir(path.parent):
        raise
      raise refusals.RefusedError(
          f'{workdir} was deleted or moved while a run was at work in it; put'
          ' it back, or run the same command again to begin anew') from error


def _lock(file: BinaryIO, workdir: os.PathLike | str) -> str:
  """Locks a file, or says why that cannot be done."""
  try:
    import fcntl  # noqa: PLC0415
  except ImportError:  # Windows.
    return 'this system has no such locks'
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError as error:
    raise errors.UserError(
        f'another process is at work in {workdir}; wait for it to end, or'
        ' choose another --workdir') from error
  except OSError as error:  # Some network file systems cannot lock a file.
    return error.strerror or str(error)
  return ''


def write_config(workdir: os.PathLike | str, config: Mapping[str, Any]) -> None:
  """Says of which configuration, a JSON tree, the last run was."""
  path = pathlib.Path(workdir) / _CONFIG
  sealed = {**config, 'sha256': files.digest_json(config)}
  try:
    if files.read_json(path) == sealed:
      return
  except refusals.RefusedError:
    raise
  except errors.UserError:  # Absent, or damaged.
    pass
  files.write_json(path, sealed)


def read_config(workdir: os.PathLike | str) -> dict[str, Any]:
  """The configuration of the last run, as a JSON tree.

  Raises:
    UserError: there is none, or it is not as it was written.
  """
  path = pathlib.Path(workdir) / _CONFIG
  if not path.exists():
    raise errors.UserError(
        f'{workdir} is no work directory: it has no {_CONFIG}; name that of a'
        ' run, or run `launch.run` with it first')
  try:
    return files.read_sealed(path)
  except refusals.RefusedError:
    raise
  except errors.UserError as error:
    raise errors.UserError(
        f'{path} is damaged; run `launch.run` with the --config and --workdir'
        ' of that run to write it anew') from error


def check_ours(workdir: os.PathLike | str) -> None:
  """UserError where a config.json of some other program lies."""
  path = pathlib.Path(workdir) / _CONFIG
  try:
    found = files.read_json(path)
  except refusals.RefusedError:
    raise
  except errors.UserError:  # Absent, or damaged: it is written anew.
    return
  if not isinstance(found, dict) or not {'data', 'students'} <= found.keys():
    raise errors.UserError(
        f'{path} is of some other program, or damaged; choose another'
        ' --workdir, or delete it if the directory is one of ours')


def check_place(root: pathlib.Path, folder: pathlib.Path) -> None:
  """UserError where a folder of a work directory leads out of it.

  Nothing is written or deleted through a link.

  Args:
    root: the work directory, resolved.
    folder: below it; it may be absent.
  """
  for place in (folder, *folder.parents):
    if place == root:
      return
    if place.is_symlink():
      raise errors.UserError(
          f'{place} is a link to {os.path.realpath(place)}, outside of the work'
          ' directory: nothing is written through it; put the folder itself in'
          ' its place')
    if place.exists() and not place.is_dir():
      raise errors.UserError(
          f'{place} is a file where a folder belongs; move it away')
  raise ValueError(f'{folder} is not below {root}')


def make_folder(root: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
  """Makes a folder and those above it, up to the work directory itself.

  That one must be there: what was deleted during a run is not made again.
  """
  check_place(root, folder)
  with files.clear_disk_errors(folder):
    for place in (*reversed(folder.parents), folder):
      if place != root and place.is_relative_to(root):
        place.mkdir(exist_ok=True)
  return folder


def move_aside(root: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
  """Moves a folder of a work directory below `old`; returns where it is.

  `teachers/CNN/0` becomes `old/1/teachers/CNN/0`, or `old/2/…` where that is
  taken.
  """
  check_place(root, folder)
  name, number = folder.relative_to(root), 1
  while os.path.lexists(root / _OLD / str(number) / name):
    number += 1
  target = root / _OLD / str(number) / name
  make_folder(root, target.parent)
  with files.clear_disk_errors(target):
    os.replace(folder, target)
  return target


@dataclasses.dataclass(frozen=True)
class Part:
  """What is made once, in a folder of its own, and is no trained net.

  Attributes:
    name: in words.
    folder: where its files lie.
    made_from: names and digests of all that it depends on.
    work: writes its files to a folder; returns what the result is, as JSON.
    resumed: whether `work` goes on with what it finds half done; it then
      returns the names of its files, too.
    redrawn: whether what is there is replaced where it does not fit or is
      damaged. Else it is moved aside where it does not fit, and damage is
      refused.
    enough: of a resumed part: whether a finished one of an identity has all
      that is wanted, or else is gone on with; None: it has.
    discard: deletes what was begun from other things and is not finished;
      None: that is moved aside, too.
  """

  name: str
  folder: pathlib.Path
  made_from: Mapping[str, Any]
  work: Callable[[pathlib.Path], Any]
  resumed: bool = False
  redrawn: bool = False
  enough: Callable[[Any], bool] | None = None
  discard: Callable[[pathlib.Path], None] | None = None

  def make(self, root: pathlib.Path, say: Callable[[str], None]) -> None:
    """Makes it unless it is finished and intact.

    Args:
      root: the work directory.
      say: told whether there was work, and what was moved.

    Raises:
      UserError: a file in it is missing, damaged or not its own.
    """
    check_place(root, self.folder)
    if self._is_there(root, say):
      say(f'{self.name}: there already, verified')
      return
    make_folder(root, self.folder.parent)
    if self.resumed:
      make_folder(root, self.folder)
      kept.start(self.folder, self.made_from)
      identity, names = self.work(self.folder)
      kept.finish(self.folder, self.made_from, identity, names)
    else:
      kept.write_whole(self.folder, self.work, self.made_from)
    say(f'{self.name}: done')

  def _is_there(self, root: pathlib.Path, say: Callable[[str], None]) -> bool:
    if not self.folder.exists() or not any(self.folder.iterdir()):
      return False
    found = kept.read_root(self.folder)
    begun = found.made_from if found else kept.read_started(self.folder)
    if begun is None:
      raise errors.UserError(
          f'{self.folder} holds files, but nothing that says what they were'
          ' made from; move it away')
    fits = not kept.find_differences(begun, self.made_from)
    if found and self.redrawn:
      return fits and kept.is_intact(self.folder)
    if not fits and not found and self.discard:
      self.discard(self.folder)
    elif not fits:
      say(f'{self.name}: made from other things before; that is now'
          f' {move_aside(root, self.folder)}')
    elif found:
      kept.verify(self.folder)
      if not self.enough or self.enough(found.identity):
        return True
      kept.reopen(self.folder)
    return False


def require(folder: pathlib.Path, stage: str,
            made_from: Mapping[str, Any] | None = None) -> kept.Root:
  """The root of a finished part, verified.

  Args:
    folder: the part's.
    stage: that makes it.
    made_from: what it has to be made from; None: it does not matter.

  Raises:
    UserError: it is not finished, damaged, or made from other things.
  """
  root = kept.read_root(folder)
  if root is None:
    raise UnfinishedError(
        f'{folder} is not finished; run the stage `{stage}` first')
  if made_from is not None and (
      differ := kept.find_differences(root.made_from, made_from)):
    raise UnfinishedError(
        f'{folder} was made from another {", ".join(differ)}; run the stage'
        f' `{stage}` first')
  return kept.verify(folder)
