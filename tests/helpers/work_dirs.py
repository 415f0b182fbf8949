"""Work directories that a test may spoil, and what lies in them."""

import json
import pathlib
import shutil

from shallow_mimic.runs import files


def copy_run(finished, folder):
  """A copy of a finished run, `finished` as the fixture: (npz, copy)."""
  npz, workdir = finished
  copy = folder / 'run'
  shutil.copytree(workdir, copy, symlinks=True)
  return npz, copy


def read_all(folder):
  """The bytes of every file below a folder, by its path there."""
  return {path.relative_to(folder): path.read_bytes()
          for path in sorted(folder.rglob('*')) if path.is_file()}


def list_names(folder):
  """Names of all files and folders below a folder, in order."""
  return sorted(path.relative_to(folder).as_posix()
                for path in pathlib.Path(folder).rglob('*'))


def find(folder, pattern):
  """The first file or folder below a folder that fits a pattern."""
  return sorted(folder.glob(pattern))[0]


def flip_bit(path):
  """Changes one bit in the middle of a file."""
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 4
  path.write_bytes(data)


def reseal(path, change):
  """Rewrites a sealed file as `change(tree)` says: its digest holds again."""
  tree = json.loads(path.read_text(encoding='utf-8'))
  del tree['sha256']
  files.write_sealed(path, change(tree))
