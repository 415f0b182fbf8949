"""What a work directory holds at the end, by content, and how two differ."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Container, Iterator, Mapping

import tensorstore

# What is no result: working state, caches, what was moved aside.
_ASIDE = {'.lock', 'tfds', 'old', 'training', 'checkpoints'}
_ORBAX = 'manifest.ocdbt'


def digest_files(root: pathlib.Path) -> dict[str, str]:
  """SHA-256 of every file by its path below `root`; empty folders too.

  Links are followed, and told by where they lead.
  """
  found = {}
  for folder, names, files in _walk(root):
    for name in files + [name for name in names
                         if os.path.islink(folder / name)]:
      path = folder / name
      mark = f'to {os.readlink(path)} ' if path.is_symlink() else ''
      try:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
      except OSError as error:
        content = error.strerror or ''
      found[str(path.relative_to(root))] = mark + content
    if not names and not files:
      found[f'{folder.relative_to(root)}/'] = 'empty'
  return found


def _walk(root: pathlib.Path
          ) -> Iterator[tuple[pathlib.Path, list[str], list[str]]]:
  seen = set()
  for folder, names, files in os.walk(root, followlinks=True):
    real = os.path.realpath(folder)
    if real in seen:
      names.clear()
      continue
    seen.add(real)
    names.sort()
    yield pathlib.Path(folder), names, sorted(files)


def read_end(root: pathlib.Path) -> dict[str, str]:
  """As `digest_files`, but Orbax's arrays by what they hold.

  Orbax names their files at random.
  """
  files = digest_files(root)
  folders = {os.path.dirname(path) for path in files
             if os.path.basename(path) == _ORBAX}
  outer = {folder for folder in folders
           if os.path.dirname(folder) not in folders}
  end = {}
  for path, digest in files.items():
    inside = [folder for folder in outer if path.startswith(f'{folder}/d/')
              or path.startswith(f'{folder}/ocdbt.')
              or path == f'{folder}/{_ORBAX}']
    if not inside:
      end[path] = digest.rpartition(' ')[2]
  for folder in outer:
    end[f'{folder}/arrays'] = _digest_arrays(root / folder)
  return end


def _digest_arrays(folder: pathlib.Path) -> str:
  """SHA-256 of the chunks that Orbax's database holds."""
  open_store = tensorstore.KvStore.open
  try:
    store = open_store(
        {'driver': 'ocdbt', 'base': f'file://{folder}/'}).result()
    sha = hashlib.sha256()
    for key in sorted(store.list().result()):
      value = store.read(key).result().value
      sha.update(b'%d %d ' % (len(key), len(value)) + key + value)
  except Exception as error:
    return f'unreadable: {type(error).__name__}'
  return sha.hexdigest()


@dataclasses.dataclass(frozen=True)
class Reference:
  """The end of an undamaged run.

  Attributes:
    end: of one such run.
    loose: paths that differ between two such runs; only that they are there
      is compared.
  """

  end: Mapping[str, str]
  loose: frozenset[str]

  def find_differences(self, root: pathlib.Path, *,
                       strict: bool = False) -> list[str]:
    """Paths of a work directory that are not as in the undamaged run.

    What lies beside the results and is none counts only if `strict`.
    """
    end = read_end(root)
    missing = [f'{path} is missing' for path in self.end if path not in end]
    changed = [f'{path} differs' for path, digest in end.items()
               if path in self.end and path not in self.loose
               and digest != self.end[path]]
    extra = [f'{path} is not of this run' for path in end
             if path not in self.end and (
                 strict or is_kept(root, path, self.end))]
    found = sorted(missing + changed + extra)
    return [said for said in found if strict or not is_aside(said)]

  def find_accepted(self, root: pathlib.Path,
                    planted: Mapping[str, str]) -> list[str]:
    """Planted files that still lie among finished results."""
    there = digest_files(root)
    return [f'{path} is still the damaged one'
            for path, digest in planted.items()
            if there.get(path) == digest and is_kept(root, path, self.end)
            and not is_aside(path)
            and self.end.get(path) != digest.rpartition(' ')[2]]


def is_kept(root: pathlib.Path, path: str, ours: Container[str]) -> bool:
  """Whether a path lies in a folder of this run that says that it is done.

  Finished folders of nets that the run does not want may lie beside its own:
  they are nobody's result here, as those of a width that was left out.
  """
  folders = [pathlib.Path(path), *pathlib.Path(path).parents][:-1]
  return any((root / folder / 'done.json').exists()
             and f'{folder.as_posix()}/done.json' in ours
             for folder in folders)


def is_aside(path: str) -> bool:
  """Whether a path is no part of a run's result."""
  return not _ASIDE.isdisjoint(path.partition(' ')[0].split('/'))
