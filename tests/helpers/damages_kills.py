"""`kill -9` at random and at aimed moments; then the same command."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import random
import re
import shutil
from collections.abc import Sequence

import damages_templates

_AIMED = 24
# What a step that is written again goes by before it is removed.
_OLD_STEP = {'fatal': ('.old.tmp', 1)}


@dataclasses.dataclass(frozen=True)
class Kill:
  """One run that was killed, and went on.

  Attributes:
    moment: seconds, or before which rename or removal.
    killed: whether it was; it may have been done by then.
    wrong: paths that are not, byte for byte, as of a run in one go.
  """

  moment: str
  killed: bool
  wrong: tuple[str, ...]


def try_kills(pool: damages_templates.Pool,
              templates: damages_templates.Templates, folder: pathlib.Path,
              count: int, *, aimed: int = _AIMED,
              seed: int = 0) -> list[Kill]:
  """Kills runs at `count` random moments and at `aimed` ones.

  The last of those is the replacement of a checkpoint by the same step.
  """
  if not count:
    return []
  rng = random.Random(seed)
  options: list[dict] = [
      {'kill_after': rng.uniform(0, templates.seconds)} for _ in range(count)]
  options += [{'fatal': move} for move in choose_aims(
      templates.moves, aimed - 1, rng)] + [_OLD_STEP]

  def kill(numbered: tuple[int, dict]) -> Kill:
    number, option = numbered
    run = folder / f'kill{number}' / 'run'
    if option is _OLD_STEP:
      _damage_newest_step(templates, run)
    result = pool.run(templates.arguments, run, **option)
    moment = (f'{option["kill_after"]:.2f} s' if 'kill_after' in option
              else ' '.join(map(str, option['fatal'])))
    again = pool.run(templates.arguments, run)
    wrong = ([f'status {again.status}', *again.stderr.splitlines()[-3:]]
             if again.status else
             templates.reference.find_differences(run, strict=True))
    shutil.rmtree(run.parent)
    return Kill(moment, result.status == -9, tuple(wrong))

  return pool.map(kill, enumerate(options))


def choose_aims(moves: Sequence[tuple[str, int]], count: int,
                rng: random.Random) -> list[tuple[str, int]]:
  """Moves of as many kinds of file as there are, each at random.

  Names alone tell kinds apart at first: 'done.json', '#.svg', '#'.
  """
  by_name = collections.defaultdict(list)
  for kind, number in moves:
    operation, _, path = kind.partition(' ')
    name = re.sub(r'^.*/', '', path)
    name = re.sub(r'^[^#]*(?=\.npy)|^.*(?=\.(svg|png)$)', '*', name)
    by_name[operation, name].append((kind, number))
  names = rng.sample(sorted(by_name), len(by_name))
  return [rng.choice(by_name[name]) for name in names[:count]]


def _damage_newest_step(templates: damages_templates.Templates,
                        run: pathlib.Path) -> None:
  """A run in training whose newest checkpoint will have to be made again."""
  for root in reversed(templates.ours.values()):
    steps = [path for path in root.rglob('*') if path.name.isdecimal()
             and (path / 'manifest.ocdbt').exists()
             and 'checkpoints' in path.parts]
    done = [path for path in steps if any(
        (folder / 'done.json').exists() for folder in path.parents)]
    ours = [path for path in steps if path not in done]
    if len(ours) > 1:
      shutil.copytree(root, run)
      newest = max(ours, key=lambda path: int(path.name)).relative_to(root)
      with open(run / newest / 'manifest.ocdbt', 'r+b') as file:
        file.write(b'x')
      return
  raise LookupError('no template has two checkpoints of unfinished training')


def format_kills(kills: Sequence[Kill]) -> str:
  """How many ended alike, and which did not."""
  lines = [f'kills: {len(kills)}, of which {sum(k.killed for k in kills)} came'
           ' before the end; another end:'
           f' {sum(bool(kill.wrong) for kill in kills)}']
  for kill in kills:
    if kill.wrong:
      lines += [f'  at {kill.moment}', *(
          f'    {line}' for line in kill.wrong[:5])]
  return '\n'.join(lines) if kills else ''
