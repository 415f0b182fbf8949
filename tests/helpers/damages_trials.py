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
    'stuck': 'refused in one line; what it says to do leads to no end, or it'
             ' says nothing',
    'repaired': 'an equal end',
    'harmless': 'an equal end; the damage lies where no result is'}
FAULTS = {
    'silent': 'done, but the end differs or what was damaged is called'
              ' finished',
    'traceback': 'no line for a user',
    'outside': 'something outside the work directory was changed, or is to be'
               ' deleted',
    'hang': 'no end'}
_ROUNDS = 8  # As many lines a user may follow, one after another.


@dataclasses.dataclass(frozen=True)
class Damage:
  """A kind of damage to a file or folder of a template.

  Attributes:
    work: does it.
    where: 'file', 'folder', or 'later': a folder not there yet.
    template: name of the work directory.
    path: in it.
  """

  work: Callable[[damages_kinds.Place], None]
  where: str
  template: str
  path: str

  @property
  def kind(self) -> str:
    """What is done to what, in words."""
    return f'{self.where}: {self.work.__name__.replace("_", " ")}'


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
  """Every kind of damage to every kind of file, once, in a fair order.

  Half of those that can be done to the finished directory are done to it.
  """
  groups: dict[tuple[str, str], list[Damage]] = collections.defaultdict(list)
  for damage in _list_all(templates):
    groups[damage.kind, _find_class(damage.path)].append(damage)
  queues = collections.defaultdict(list)
  for kind, file in rng.sample(sorted(groups), len(groups)):
    queues[kind].append(file)
  told: collections.Counter[str] = collections.Counter()
  while queues:
    for kind in [*queues]:
      least = min(queues[kind], key=lambda file: told[file])
      queues[kind].remove(least)
      told[least] += 1
      finished = [damage for damage in groups[kind, least]
                  if damage.template == damages_templates.FINISHED]
      yield rng.choice(finished if finished and rng.random() < 0.5
                       else groups[kind, least])
      if not queues[kind]:
        del queues[kind]


def _list_all(templates: damages_templates.Templates) -> Iterator[Damage]:
  finished = templates.ours[damages_templates.FINISHED]
  folders = [str(path.relative_to(finished))
             for path in sorted(finished.rglob('*')) if path.is_dir()]
  for name, root in templates.ours.items():
    for path in sorted(root.rglob('*')):
      where = 'folder' if path.is_dir() else 'file'
      for work in (damages_kinds.OF_FOLDERS if path.is_dir()
                   else damages_kinds.OF_FILES):
        if damages_kinds.applies(work, path):
          yield Damage(work, where, name, str(path.relative_to(root)))
    for folder in folders:
      for work in damages_kinds.OF_LATER:
        if not (root / folder).exists():
          yield Damage(work, 'later', name, folder)


def _find_class(path: str) -> str:
  """The kind of a path; one for all of Orbax, for figures and for arrays."""
  kind = damages_server.find_kind(path)
  kind = re.sub(r'/(d|ocdbt[^/]*|[^/]*METADATA|manifest.ocdbt|commit[^/]*)'
                r'(/.*)?$', '/orbax', kind)
  return re.sub(r'[^/]+(?=\.(npy|npy\.parts\.json|svg|png)$)', '*', kind)


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
        roots, damage.path) if path.is_dir() == (damage.where != 'file'))
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
  real = pathlib.Path(os.path.realpath(advice.parent), advice.name)
  if run not in pathlib.Path(os.path.normpath(real)).parents:
    return 'outside'  # It says to delete what lies elsewhere.
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
