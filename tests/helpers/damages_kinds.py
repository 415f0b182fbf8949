"""Kinds of damage: what disks, people and other runs do to a work directory."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import random
import shutil
from collections.abc import Callable
from typing import Any

import damages_server


class InapplicableError(Exception):
  """A kind of damage that says nothing about this file or folder."""


@dataclasses.dataclass(frozen=True)
class Place:
  """Where one damage is done.

  Attributes:
    run: the work directory.
    path: the file or folder in it.
    outside: a folder beside the work directory that must stay as it is.
    donors: files or folders of other runs, of the kind of `path`.
    rng: chooses.
  """

  run: pathlib.Path
  path: pathlib.Path
  outside: pathlib.Path
  donors: tuple[pathlib.Path, ...]
  rng: random.Random

  def choose_donor(self) -> pathlib.Path:
    """One of another run, by the same name where there is one."""
    name = self.path.relative_to(self.run)
    same = [path for path in self.donors if str(path).endswith(f'/{name}')]
    donors = [path for path in same or self.donors
              if self.path.is_dir() or not _equal(path, self.path)]
    return self.rng.choice(donors or _nothing('no such file elsewhere'))


def _nothing(why: str) -> Any:
  raise InapplicableError(why)


def _equal(path: pathlib.Path, other: pathlib.Path) -> bool:
  return path.is_file() and path.read_bytes() == other.read_bytes()


def remove(path: pathlib.Path) -> None:
  """Deletes a file, a link or a folder; makes the folder it was in."""
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path)
  else:
    path.unlink(missing_ok=True)


def _flip(place: Place, position: int) -> None:
  data = bytearray(place.path.read_bytes() or _nothing('empty'))
  data[min(position, len(data) - 1)] ^= 1 << place.rng.randrange(7)
  place.path.write_bytes(data)


def flip_middle(place: Place) -> None:
  """One bit in the middle."""
  _flip(place, place.path.stat().st_size // 2)


def flip_head(place: Place) -> None:
  """One bit of the first 16 bytes."""
  _flip(place, place.rng.randrange(16))


def _truncate(place: Place, size: int) -> None:
  if size >= place.path.stat().st_size:
    _nothing('too short')
  os.truncate(place.path, size)


def cut_half(place: Place) -> None:
  """The second half is missing."""
  _truncate(place, place.path.stat().st_size // 2)


def cut_byte(place: Place) -> None:
  """The last byte is missing."""
  _truncate(place, max(place.path.stat().st_size - 1, 0))


def empty(place: Place) -> None:
  """Nothing is in the file."""
  _truncate(place, 0)


def delete(place: Place) -> None:
  """The file or folder is gone."""
  remove(place.path)


def put_other_run(place: Place) -> None:
  """The file of another run by the same name."""
  donor = place.choose_donor()
  remove(place.path)
  shutil.copyfile(donor, place.path)


def put_other_file(place: Place) -> None:
  """Another file of the same run: of another net, set or stage."""
  kind = damages_server.find_kind(place.path.name)
  others = [path for path in sorted(place.run.rglob('*'))
            if path.is_file() and path != place.path
            and damages_server.find_kind(path.name) == kind
            and not _equal(path, place.path)]
  shutil.copyfile(place.rng.choice(others or _nothing('the only one')),
                  place.path)


def put_folder(place: Place) -> None:
  """A folder in place of the file, or a file in place of the folder."""
  folder = place.path.is_dir()
  remove(place.path)
  if folder:
    place.path.write_text('no folder\n', encoding='utf-8')
  else:
    place.path.mkdir()


def add_unknown(place: Place) -> None:
  """A file that is not of the program, beside the file or in the folder."""
  folder = place.path if place.path.is_dir() else place.path.parent
  name = place.rng.choice(['notes.txt', 'x.npy', 'copy.json', '.hidden'])
  (folder / name).write_text('{}\n', encoding='utf-8')


def _read_json(place: Place) -> Any:
  try:
    return json.loads(place.path.read_text(encoding='utf-8'))
  except ValueError:
    return _nothing('no JSON')


def _write_json(place: Place, tree: Any) -> None:
  place.path.write_text(json.dumps(tree), encoding='utf-8')


def shape_whole(place: Place) -> None:
  """Well-formed JSON of another shape."""
  tree = _read_json(place)
  shapes = [shape for shape in ({}, [], 0, 'x', None, [[]], {'x': {}})
            if shape != tree]
  _write_json(place, place.rng.choice(shapes))


def shape_node(place: Place) -> None:
  """One branch of the JSON is of another type, or gone."""
  tree = _read_json(place)
  nodes = _find_nodes(tree) or _nothing('no branches')
  parent, key = place.rng.choice(nodes)
  value, other = parent[key], place.rng.randrange(5)
  if other == 4:
    del parent[key]
  else:
    parent[key] = [None, [value], {'x': value}, 17 if isinstance(
        value, str | list | dict) else str(value)][other]
  _write_json(place, tree)


def shape_deep(place: Place) -> None:
  """JSON nested so deep that a reader may run out of stack."""
  _read_json(place)
  place.path.write_text('[' * 100_000 + ']' * 100_000, encoding='utf-8')


def shape_name(place: Place) -> None:
  """The JSON names a file that lies outside the work directory."""
  tree = _read_json(place)
  victim = place.outside / 'victim.txt'
  name = place.rng.choice([
      str(victim), os.path.relpath(victim, place.path.parent)])
  digest = hashlib.sha256(victim.read_bytes()).hexdigest()
  nodes = _find_nodes(tree)
  mappings = [parent[key] for parent, key in nodes
              if isinstance(parent[key], dict)]
  mappings += [tree] * isinstance(tree, dict)
  texts = [(parent, key) for parent, key in nodes
           if isinstance(parent[key], str)]
  if mappings and (not texts or place.rng.random() < 0.7):
    # Where names have digests the right one is given: it must not be enough.
    place.rng.choice(mappings)[name] = digest
  elif texts:
    parent, key = place.rng.choice(texts)
    parent[key] = name
  else:
    _nothing('no names')
  _write_json(place, tree)


def _find_nodes(tree: Any) -> list[tuple[Any, Any]]:
  """Every branch of a JSON tree as (its parent, its key)."""
  keys = (tree if isinstance(tree, dict)
          else range(len(tree)) if isinstance(tree, list) else ())
  return [node for key in keys
          for node in [(tree, key), *_find_nodes(tree[key])]]


def link_file(place: Place) -> None:
  """A link to a file outside."""
  target = place.outside / f'linked-{place.path.name}'
  other = place.rng.random() < 0.5 and place.donors
  shutil.copyfile(place.choose_donor() if other else
                  place.outside / 'victim.txt', target)
  remove(place.path)
  place.path.symlink_to(target)


def link_nowhere(place: Place) -> None:
  """A link to what is not there, outside."""
  remove(place.path)
  place.path.symlink_to(place.outside / 'absent')


def link_own_folder(place: Place) -> None:
  """The folder lies outside, beside numbered folders of someone else."""
  target = place.outside / 'moved'
  shutil.move(place.path, target)
  _add_numbered(target)
  place.path.symlink_to(target)


def link_other_run(place: Place) -> None:
  """A link to the same folder of another run."""
  target = place.outside / 'other'
  shutil.copytree(place.choose_donor(), target)
  _add_numbered(target)
  remove(place.path)
  place.path.symlink_to(target)


def link_strange(place: Place) -> None:
  """A link to a folder of someone else."""
  remove(place.path)
  place.path.symlink_to(place.outside / 'strange')


def _add_numbered(folder: pathlib.Path) -> None:
  """Folders and files whose names a program may take for its own."""
  for name in ('0', '3', '12', '40', '1.tmp', '2.old.tmp'):
    (folder / name).mkdir(exist_ok=True)
    (folder / name / 'keep.txt').write_text('mine\n', encoding='utf-8')
  for name in ('.x.1.tmp', 'index.html', 'results.csv', 'train.x.npy'):
    if not (folder / name).exists():
      (folder / name).write_text('mine\n', encoding='utf-8')


def put_other_folder(place: Place) -> None:
  """Another run's folder by the same name."""
  donor = place.choose_donor()
  remove(place.path)
  shutil.copytree(donor, place.path, symlinks=True)


def merge_other_folder(place: Place) -> None:
  """Another run's folder by the same name is copied over this one."""
  shutil.copytree(place.choose_donor(), place.path, symlinks=True,
                  dirs_exist_ok=True)


def _find_next(place: Place) -> pathlib.Path:
  """A higher number for a numbered folder."""
  number = int(place.path.name) + place.rng.choice([1, 5, 1000])
  path = place.path.with_name(str(number))
  return _nothing('there already') if path.exists() else path


def add_other_step(place: Place) -> None:
  """Another run's step or net is laid beside, under a higher number."""
  shutil.copytree(place.choose_donor(), _find_next(place))


def add_own_step(place: Place) -> None:
  """The own step or net is laid beside, under a higher number."""
  shutil.copytree(place.path, _find_next(place))


def make_outside(folder: pathlib.Path) -> None:
  """What lies beside a work directory, and must stay as it is."""
  (folder / 'strange').mkdir(parents=True)
  (folder / 'victim.txt').write_text('{"mine": 1}\n', encoding='utf-8')
  _add_numbered(folder / 'strange')


def applies(work: Callable[[Place], None], path: pathlib.Path) -> bool:
  """Whether a kind of damage can be done to such a file or folder at all."""
  if work.__name__.startswith('shape_'):
    return path.suffix == '.json'
  return path.name.isdecimal() or not work.__name__.endswith('_step')


OF_FILES: tuple[Callable[[Place], None], ...] = (
    flip_middle, flip_head, cut_half, cut_byte, empty, delete, put_other_run,
    put_other_file, put_folder, add_unknown, shape_whole, shape_node,
    shape_deep, shape_name, link_file, link_nowhere)
OF_FOLDERS: tuple[Callable[[Place], None], ...] = (
    delete, put_folder, add_unknown, put_other_folder, merge_other_folder,
    add_other_step, add_own_step, link_nowhere, link_own_folder,
    link_other_run, link_strange)
# Of folders that a half-finished run has not come to yet.
OF_LATER: tuple[Callable[[Place], None], ...] = (
    put_other_folder, link_strange, link_nowhere)
