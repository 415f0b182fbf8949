"""Work directories: what is finished, what it was made from, is it intact.

Every stage owns a folder. `started.json` says what it is being made from,
`done.json`, written last, lists its files with their digests. A finished
stage is verified and skipped; one made from something else is refused, never
overwritten. Data that were never finished bind a work directory to nothing:
they are read anew.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shallow_mimic import errors
from shallow_mimic.runs import files

_STARTED, _DONE = 'started.json', 'done.json'
_IDENTITY, _CONFIG = 'identity.json', 'config.json'
_FIRST = 'data'  # The stage that is quick to make again.


@contextlib.contextmanager
def hold(workdir: os.PathLike | str) -> Iterator[None]:
  """Keeps other processes out of a work directory until the block ends.

  Two at once would write over each other's files. The lock goes with the
  process, however that ends.

  Raises:
    UserError: another one is at work there.
  """
  try:
    import fcntl  # noqa: PLC0415
  except ImportError:  # Windows has no such locks.
    yield
    return
  path = pathlib.Path(workdir) / '.lock'
  with contextlib.ExitStack() as stack:
    try:
      with files.clear_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = stack.enter_context(open(path, 'wb'))
    except errors.UserError:
      if not os.path.isdir(path.parent):
        raise
      yield  # What is finished can be looked at where nothing can be written.
      return
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise errors.UserError(
          f'another process is at work in {workdir}; wait for it to end, or'
          ' choose another --workdir') from error
    except OSError:  # Some network file systems cannot lock a file.
      pass
    yield


def claim(workdir: os.PathLike | str, config: Mapping[str, Any]) -> None:
  """Binds a work directory to a configuration, the first time it is used.

  Until the data are there, another configuration may take it over: the first
  one may have been refused for what it says of the data.

  Args:
    workdir: the directory; made if absent.
    config: the configuration as a JSON tree.

  Raises:
    UserError: it belongs to another configuration; the fields that differ are
      named. Or it holds stages, and nothing says of which configuration.
  """
  path = pathlib.Path(workdir) / _CONFIG
  if not path.exists() and any(path.parent.glob(f'*/**/{_STARTED}')):
    raise errors.UserError(_explain_unknown(workdir))
  if not path.exists() or (_is_unbound(path.parent) and _is_ours(path, config)):
    files.write_json(path, config)
  check_config(workdir, config)


def check_config(workdir: os.PathLike | str, config: Mapping[str, Any]) -> None:
  """UserError, as of `claim`, unless it is bound to this configuration."""
  path = pathlib.Path(workdir) / _CONFIG
  try:
    found = files.read_json(path)
  except errors.UserError as error:
    raise errors.UserError(
        f'{path} is damaged: {_explain_unknown(workdir)}') from error
  ours, theirs = _flatten(config), _flatten(found)
  differ = find_differences(theirs, ours)
  if differ:
    shown = '; '.join(
        f'{key}: there {theirs.get(key)!r}, now {ours.get(key)!r}'
        for key in differ[:6]
    )
    more = f' and {len(differ) - 6} more' if len(differ) > 6 else ''
    raise errors.UserError(
        f'{workdir} belongs to another configuration ({shown}{more});'
        ' choose another --workdir, or set these fields back'
    )


def _explain_unknown(workdir: os.PathLike | str) -> str:
  return (f'{workdir} holds finished work, but no config.json that says of'
          ' which configuration; put it back, or choose another --workdir')


def _is_ours(path: pathlib.Path, config: Mapping[str, Any]) -> bool:
  """Whether a file, intact, is a configuration and not some other program's."""
  try:
    found = files.read_json(path)
  except errors.UserError:
    return False
  # Versions of what was registered stand there only where something was.
  return isinstance(found, dict) and not (
      found.keys() ^ config.keys()) - {'registered'}


def _is_unbound(root: pathlib.Path) -> bool:
  """Whether no stage is finished, and none but the first was begun."""
  begun = {path.parent for path in root.glob(f'*/**/{_STARTED}')}
  return begun <= {root / _FIRST} and not (root / _FIRST / _DONE).exists()


def find_differences(theirs: Mapping[str, Any],
                     ours: Mapping[str, Any]) -> list[str]:
  """Keys in order of which two mappings do not say the same.

  >>> find_differences({'data': 1, 'seed': 2}, {'data': 1, 'batch': 3})
  ['batch', 'seed']
  """
  return sorted(key for key in {*theirs, *ours}
                if theirs.get(key) != ours.get(key))


def _flatten(tree: Any, prefix: str = '') -> dict[str, Any]:
  if isinstance(tree, Mapping) and tree:
    return {key: value for name, branch in tree.items()
            for key, value in _flatten(
                branch, f'{prefix}.{name}' if prefix else name).items()}
  return {prefix: list(tree) if isinstance(tree, tuple) else tree}


def run_once(directory: os.PathLike | str, made_from: Mapping[str, Any],
             work: Callable[[pathlib.Path], object], *,
             discard: Callable[[pathlib.Path], None] | None = None) -> bool:
  """Runs `work(directory)` unless it is finished and intact.

  Args:
    directory: the stage's own folder.
    made_from: names and digests of all that the stage's result depends on.
    work: writes the stage's files; resumes what it finds half done.
    discard: deletes what was begun with other things and is not finished;
      None: that is refused.

  Returns:
    Whether there was work to do.

  Raises:
    UserError: the folder holds something made from other things, or a file
      in it is missing or damaged.
  """
  directory = pathlib.Path(directory)
  _check_origin(directory, made_from, discard)
  if (directory / _DONE).exists():
    verify(directory)
    return False
  files.write_json(directory / _STARTED, dict(made_from))
  work(directory)
  for left in directory.rglob('.*.tmp'):  # Left by a run that was killed.
    left.unlink()
  files.write_json(directory / _DONE, {
      str(path.relative_to(directory)): files.digest_file(path)
      for path in sorted(directory.rglob('*'))
      if path.is_file() and path.name not in (_STARTED, _DONE)
  })
  return True


def require(directory: pathlib.Path, stage: str) -> None:
  """UserError unless a stage's folder is finished."""
  if not (directory / _DONE).exists():
    raise errors.UserError(
        f'{directory} is not finished; run the stage `{stage}` first'
    )


def write_identity(directory: os.PathLike | str, identity: Any) -> None:
  """Says what a stage's result is: digests of content, not of files."""
  files.write_json(pathlib.Path(directory) / _IDENTITY, identity)


def read_identity(directory: os.PathLike | str) -> Any:
  """What a finished stage's result is, for the stages after it."""
  return files.read_json(pathlib.Path(directory) / _IDENTITY)


def verify(directory: os.PathLike | str) -> None:
  """UserError unless every file of a finished stage is as it was written."""
  directory = pathlib.Path(directory)
  name = files.find_damaged(directory, files.read_json(directory / _DONE))
  if name:
    raise explain_damage(directory / name, directory)


def explain_damage(path: pathlib.Path,
                   directory: pathlib.Path) -> errors.UserError:
  """What to say of a file of a folder that is not as it was written."""
  what = ('damaged: its SHA-256 is not the one it was written with'
          if path.exists() else 'missing')
  return errors.UserError(
      f'{path} is {what}; delete {directory} and run again to make it anew')


def _check_origin(
    directory: pathlib.Path, made_from: Mapping[str, Any],
    discard: Callable[[pathlib.Path], None] | None) -> None:
  path = directory / _STARTED
  if not path.exists():
    return
  differ = find_differences(files.read_json(path), made_from)
  if differ and discard and not (directory / _DONE).exists():
    with files.clear_disk_errors(directory):
      discard(directory)
  elif differ:
    raise errors.UserError(
        f'{directory} was made from another {", ".join(differ)}; delete it and'
        ' run again to make it anew, or choose another --workdir'
    )
