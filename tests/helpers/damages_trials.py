"""One damage: done, run again as a user would, and judged."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
import pathlib
import random
import re
import shutil
from collections.abc import Callable, Iterator, Sequence

import damages_ends
import damages_kinds
import damages_server
import damages_templates

# What one damage may come to, and whether that is a fault of the program.
VERDICTS = {
    'refused': 'refused in one line; what it says to do leads to an equal end',
    'stands': 'refused in one line that offers another --workdir, or to put'
              ' the file back',
    'repaired': 'an equal end',
    'harmless': 'an equal end; the damage lies where no result is'}
FAULTS = {
    'stuck': 'refused, but what the line says to do does not lead to an end',
    'silent': 'done, but the end differs or what was damaged is called'
              ' finished',
    'traceback': 'no line for a user',
    'outside': 'something outside the work directory was changed',
    'hang': 'no end'}
_ROUNDS = 8  # As many lines a user may follow, one after another.


@dataclasses.dataclass(frozen=True)
class Damage:
  """A kind of damage to a file or folder of a template."""

  work: Callable[[damages_kinds.Place], None]
  template: str
  path: str
  folder: bool

  @property
  def kind(self) -> str:
    """What is done, in words."""
    name = self.work.__name__.replace('_', ' ')
    if self.folder or 'folder' not in name:
      return f'folder: {name}' if self.folder else name
    return name


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What a damage came to.

  Attributes:
    damage: which.
    verdict: a key of `VERDICTS` or `FAULTS`; '' where it does not apply.
    why: lines to read.
  """

  damage: Damage
  verdict: str
  why: tuple[str, ...] = ()


def list_damages(templates: damages_templates.Templates,
                 rng: random.Random) -> Iterator[Damage]:
  """Every kind of damage to every kind of file, once, in a fair order."""
  groups = collections.defaultdict(list)
  for name, root in templates.ours.items():
    for path in sorted(root.rglob('*')):
      relative, folder = str(path.relative_to(root)), path.is_dir()
      works = (damages_kinds.OF_FOLDERS if folder else damages_kinds.OF_FILES)
      for work in works:
        damage = Damage(work, name, relative, folder)
        groups[damage.kind, damages_server.find_kind(relative),
               name == damages_templates.FINISHED].append(damage)
  queues = collections.defaultdict(list)
  for kind, file, finished in rng.sample(sorted(groups), len(groups)):
    queues[kind].append((file, finished))
  told = collections.Counter()
  while queues:
    for kind in [*queues]:
      least = min(queues[kind], key=lambda group: (told[group], told[group[0]]))
      queues[kind].remove(least)
      told.update([least, least[0]])
      yield rng.choice(groups[kind, *least])
      if not queues[kind]:
        del queues[kind]


class Trials:
  """Does damages to copies of templates.

  Args:
    pool: runs them.
    templates: what they are done to.
    folder: for the copies.
    seed: of what is drawn.
  """

  def __init__(self, pool: damages_templates.Pool,
               templates: damages_templates.Templates, folder: pathlib.Path,
               seed: int, *, keep: bool = False):
    self._pool, self._templates = pool, templates
    self._folder, self._seed, self._keep = folder, seed, keep

  def judge(self, numbered: tuple[int, Damage]) -> Outcome:
    """Does one damage and runs the same command until an end."""
    number, damage = numbered
    folder = self._folder / f'trial{number}'
    run, outside = folder / 'run', folder / 'outside'
    shutil.copytree(self._templates.ours[damage.template], run, symlinks=True)
    damages_kinds.make_outside(outside)
    before = damages_ends.digest_files(run)
    try:
      damage.work(self._make_place(number, damage, run, outside))
    except damages_kinds.InapplicableError as reason:
      shutil.rmtree(folder)
      return Outcome(damage, '', (str(reason),))
    planted = {path: digest for path, digest
               in damages_ends.digest_files(run).items()
               if before.get(path) != digest}
    if self._keep:
      shutil.copytree(folder, self._folder / f'kept{number}', symlinks=True)
    verdict, why = self._follow(run, outside, planted)
    shutil.rmtree(folder)
    if self._keep and verdict not in FAULTS:
      shutil.rmtree(self._folder / f'kept{number}')
    elif self._keep:
      why = (*why, f'as it was damaged: {self._folder / f"kept{number}"}')
    return Outcome(damage, verdict, why)

  def _make_place(self, number: int, damage: Damage, run: pathlib.Path,
                  outside: pathlib.Path) -> damages_kinds.Place:
    roots = tuple(other[name] for other in self._templates.others.values()
                  for name in {damage.template, damages_templates.FINISHED}
                  if name in other)
    donors = tuple(path for path in damages_templates.find_donors(
        roots, damage.path) if path.is_dir() == damage.folder)
    text = f'{self._seed} {number}'.encode()
    rng = random.Random(hashlib.sha256(text).digest())
    return damages_kinds.Place(run, run / damage.path, outside, donors, rng)

  def _follow(self, run: pathlib.Path, outside: pathlib.Path,
              planted: dict[str, str]) -> tuple[str, tuple[str, ...]]:
    """Runs, does what a refusal says, and runs again; the verdict and why."""
    beside = damages_ends.digest_files(outside)
    given, lines = self._templates.arguments, []
    for _ in range(_ROUNDS):
      result = self._pool.run(given, run)
      changed = _compare(beside, damages_ends.digest_files(outside))
      fault = ('hang' if result.status is None else
               'outside' if changed else _find_traceback(result))
      if fault:
        return fault, (*lines, *changed[:4], *_shorten(result))
      if result.status == 0:
        return self._judge_end(run, planted, lines)
      told = next(line for line in result.stderr.splitlines()
                  if line.startswith('error:'))
      advice = find_advice(told, run)
      verdict = 'stuck' if told in lines else _heed(told, advice, run)
      lines.append(told)
      if verdict:
        return verdict, tuple(lines)
      given = (*self._templates.arguments, *[advice] * isinstance(advice, str))
    return 'stuck', tuple(lines)

  def _judge_end(self, run: pathlib.Path, planted: dict[str, str],
                 lines: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    reference = self._templates.reference
    wrong = [*reference.find_differences(run),
             *reference.find_accepted(run, planted)]
    if wrong:
      return 'silent', (*lines, *wrong[:4])
    if lines:
      return 'refused', tuple(lines)
    there = damages_ends.digest_files(run)
    left = [path for path, digest in planted.items()
            if there.get(path) == digest
            and reference.end.get(path) != digest]
    return ('harmless' if left else 'repaired'), ()


def find_advice(line: str, run: pathlib.Path) -> pathlib.Path | str | None:
  """What a refusal says to do: a path to delete, a flag to add, or nothing."""
  if flag := re.search(r'--redo=[\w,]+', line):
    return flag[0]
  named = re.search(r'\b(?:delete|remove) (?:the folder )?(\S+)', line)
  if not named:
    return None
  if named[1].startswith('/'):
    return pathlib.Path(named[1].rstrip(';,.:'))
  path = re.search(rf'{re.escape(str(run))}/[^\s;,:]*', line)
  return pathlib.Path(path[0]) if path else None


def _heed(line: str, advice: pathlib.Path | str | None,
          run: pathlib.Path) -> str:
  """Deletes what a line says; the verdict where that cannot be done."""
  if advice is None:
    offers = 'choose another --workdir' in line or 'put it back' in line
    return 'stands' if offers else 'stuck'
  if isinstance(advice, str):
    return ''
  if run not in pathlib.Path(os.path.normpath(advice)).parents:
    return 'outside'
  if not os.path.lexists(advice):
    return 'stuck'
  damages_kinds.remove(advice)
  return ''


def _compare(before: dict[str, str], after: dict[str, str]) -> list[str]:
  return [f'outside/{path} was changed' for path in sorted({*before, *after})
          if before.get(path) != after.get(path)]


def _find_traceback(result: damages_server.Result) -> str:
  """'traceback' unless there is one line, or an end."""
  told = [line for line in result.stderr.splitlines()
          if line.startswith('error:')]
  fine = (result.status, len(told)) in ((0, 0), (2, 1))
  trace = 'Traceback (most recent' in result.stderr + result.stdout
  return '' if fine and not trace else 'traceback'


def _shorten(result: damages_server.Result) -> tuple[str, ...]:
  """The status, and the first and last lines of what was said."""
  lines = [line for line in result.stderr.splitlines() if line.strip()]
  return (f'status {result.status}', *lines[:2], *lines[2:][-2:])
