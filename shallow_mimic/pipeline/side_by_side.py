"""The report of several work directories, on one page."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from shallow_mimic import configs, curves, errors
from shallow_mimic.curves import side_by_side
from shallow_mimic.curves.side_by_side import Entry
from shallow_mimic.data import store
from shallow_mimic.evaluation.records import choose_metric
from shallow_mimic.pipeline import stages
from shallow_mimic.runs import files, kept

_KIND = 'side by side'


class _Read(NamedTuple):
  """A work directory as it was read; its data's root."""

  told: dict[str, Any]
  config: dict[str, Any]
  data: kept.Root


def write_side_by_side(
    directories: Sequence[os.PathLike | str], target: os.PathLike | str, *,
    title: str = '', say: Callable[[str], None] = print) -> pathlib.Path:
  """Draws what is there of several runs on one page, finished or not.

  Each is read by the configuration of its last run; nothing is written there.

  Args:
    directories: two work directories or more, in order; differences are to the
      first.
    target: the folder to write: absent, empty, or one that this has written,
      which is replaced.
    title: of the page; what all have in common, and their names, if ''.
    say: told what a user wants to read.

  Returns:
    The path of index.html.

  Raises:
    UserError: a directory is named twice, is none or is damaged; the target is
      something else.
  """
  folders = [str(pathlib.Path(directory)) for directory in directories]
  resolved = [pathlib.Path(folder).resolve() for folder in folders]
  for folder, place in zip(folders, resolved, strict=True):
    if resolved.count(place) > 1:
      raise errors.UserError(f'{folder} is named twice')
  target = pathlib.Path(target).resolve()
  _check_target(target)
  found = [_read(place, say) for place in resolved]
  names = side_by_side.name_runs([one.told['title'] for one in found], folders)
  entries = [_make_entry(*parts)
             for parts in zip(names, folders, found, strict=True)]
  title = title or _make_title([one.told['title'] for one in found], names)
  refusal = _explain_refusal(found, names)
  made_from = {'kind': _KIND, 'title': title, 'refusal': refusal, 'runs': [{
      **one.told, 'records': stages.digest_records(one.told['records']),
      'name': name, 'folder': folder, 'config': one.config}
      for name, folder, one in zip(names, folders, found, strict=True)],
      'sections': curves.find_versions()}

  def work(directory: pathlib.Path) -> str:
    side_by_side.write_side_by_side(
        directory, entries, title=title, refusal=refusal)
    return files.digest_json(made_from)

  with files.clear_disk_errors(target):
    target.parent.mkdir(parents=True, exist_ok=True)
  kept.write_whole(target, work, made_from)
  return target / 'index.html'


def _check_target(target: pathlib.Path) -> None:
  """UserError unless a folder may be replaced."""
  if not os.path.lexists(target):
    return
  if not target.is_dir():
    raise errors.UserError(f'{target} is no folder; choose another --to')
  root = kept.read_root(target)
  ours = root is not None and root.made_from.get('kind') == _KIND
  if not ours and any(target.iterdir()):
    raise errors.UserError(
        f'{target} holds something else than a page of several runs; choose'
        ' another --to')


def _read(root: pathlib.Path, say: Callable[[str], None]) -> _Read:
  run = stages.read_run(root, partial=True, say=say)
  data = kept.read_root(root / 'data')
  assert data
  return _Read(stages.find_contents(run), configs.to_json(run.config), data)


def _make_entry(name: str, folder: str, found: _Read) -> Entry:
  told = dict(found.told)
  notes, _ = told.pop('notes'), told.pop('title')
  return Entry(name, folder, found.config,
               curves.Context(title=name, **told), notes)


def _make_title(titles: Sequence[str], names: Sequence[str]) -> str:
  joined = ', '.join(names[:-1]) + f' and {names[-1]}'
  return f'{titles[0]}: {joined}' if len(set(titles)) == 1 else joined


def _explain_refusal(found: Sequence[_Read], names: Sequence[str]) -> str:
  """Why nets of different runs are not compared; '' if they are."""
  first = found[0]
  for one, name in zip(found[1:], names[1:], strict=True):
    if choose_metric(one.told['records']) != choose_metric(
        first.told['records']):
      return f'{name} and {names[0]} are judged by different metrics'
    if not _is_same_test(one.data, first.data):
      return f'{name} and {names[0]} have different test sets'
  return ''


def _is_same_test(a: kept.Root, b: kept.Root) -> bool:
  """Whether the test sets are the same examples, however prepared.

  Other preprocessing, or other training data to fit it on, changes the inputs;
  then their source has to be the same.
  """
  inputs = store.inputs_file('test')

  def find_labels(root: kept.Root) -> dict[str, str]:
    return {name: digest for name, digest in root.files.items()
            if name.startswith('test.') and not name.startswith(inputs)}

  return find_labels(a) == find_labels(b) and (
      a.files.get(inputs) == b.files.get(inputs)
      or a.made_from.get('source') == b.made_from.get('source'))
