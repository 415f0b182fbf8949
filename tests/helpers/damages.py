"""Damages work directories in hundreds of ways and says what came of it.

    python tests/helpers/damages.py
    python tests/helpers/damages.py --kills=20 --count=0
    python tests/helpers/damages.py --code=/tmp/old --only=link --count=50

A tiny experiment is run whole and stopped midway; copies are damaged, and the
same command is started again. Of the program it knows the command line and the
files alone, so `--code` may be another commit's clone. Status 1: the program
was at fault somewhere.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import pathlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

import damages_kills
import damages_server
import damages_templates
import damages_trials
from damages_trials import FAULTS, VERDICTS, Outcome

_BATCH = 50


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the script; its exit status."""
  chosen = _parse(arguments)
  scratch = pathlib.Path(tempfile.mkdtemp(prefix='damages-'))
  started = time.monotonic()
  pool = damages_templates.Pool(
      chosen.code.resolve(), scratch / 'server', chosen.workers)
  try:
    templates = damages_templates.make_templates(pool, scratch)
    loose = {*map(damages_server.find_kind, templates.reference.loose)}
    print(f'{len(templates.ours)} work directories, {_since(started)};'
          ' differ from run to run: ', *sorted(loose), sep='\n  ')
    outcomes = try_damages(pool, templates, scratch, chosen)
    if outcomes:
      print(format_table(outcomes))
    print(format_outcomes(outcomes, {
        name: VERDICTS[name] for name in ('harmless', 'stuck')}))
    print(format_outcomes(outcomes, FAULTS))
    kills = damages_kills.try_kills(
        pool, templates, scratch, chosen.kills, seed=chosen.seed)
    print(damages_kills.format_kills(kills))
    print(_since(started))
  finally:
    pool.close()
    if not chosen.keep:
      shutil.rmtree(scratch)
  return int(any(outcome.verdict in FAULTS for outcome in outcomes)
             or any(kill.wrong for kill in kills))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=(
      argparse.RawDescriptionHelpFormatter))
  root = pathlib.Path(__file__).parents[2]
  parser.add_argument('--code', type=pathlib.Path, default=root,
                      help='root of the code that is run')
  parser.add_argument('--only', default='', help='a part of a kind of damage')
  parser.add_argument('--file', default='', help='a part of a path')
  parser.add_argument('--count', type=int, default=400, help='of damages')
  parser.add_argument('--kills', type=int, default=0,
                      help='kill -9 at so many random moments, and aimed ones')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--workers', type=int, default=2)
  parser.add_argument('--keep', action='store_true',
                      help='keep the directories of faults, before the run')
  return parser.parse_args(arguments)


def _since(started: float) -> str:
  return f'{time.monotonic() - started:.0f} s'


def try_damages(pool: damages_templates.Pool,
                templates: damages_templates.Templates, scratch: pathlib.Path,
                chosen: argparse.Namespace) -> list[Outcome]:
  """As many damages as are asked for, of those that apply."""
  trials = damages_trials.Trials(
      pool, templates, scratch, chosen.seed, keep=chosen.keep)
  damages = enumerate(
      damage for damage in damages_trials.list_damages(
          templates, random.Random(chosen.seed))
      if chosen.only in damage.kind and chosen.file in damage.path)
  outcomes: list[Outcome] = []
  while (wanted := chosen.count - len(outcomes)) > 0:
    batch = [*itertools.islice(damages, min(wanted, _BATCH))]
    if not batch:
      break
    outcomes += [outcome for outcome in pool.map(trials.judge, batch)
                 if outcome.verdict]
    print(f'{len(outcomes)} damages', file=sys.stderr)
  return outcomes


def format_table(outcomes: Sequence[Outcome]) -> str:
  """How often each kind of damage came to each verdict."""
  counts = collections.Counter(
      (outcome.damage.kind, outcome.verdict) for outcome in outcomes)
  totals = collections.Counter(outcome.verdict for outcome in outcomes)
  verdicts = [*VERDICTS, *FAULTS]
  kinds = sorted({kind for kind, _ in counts})
  width = max(map(len, ['damage', *kinds]))
  rows = [[kind.ljust(width), *(counts[kind, name] or '-' for name in verdicts)]
          for kind in kinds]
  rows = [['damage'.ljust(width), *verdicts], *rows,
          [f'all {len(outcomes)}'.ljust(width),
           *(totals[name] for name in verdicts)]]
  return '\n'.join('  '.join(f'{cell:>9}' for cell in row) for row in rows)


def format_outcomes(outcomes: Sequence[Outcome],
                    meanings: Mapping[str, str]) -> str:
  """Each damage that came to one of some verdicts, and why."""
  lines = []
  for verdict, meaning in meanings.items():
    found = [outcome for outcome in outcomes if outcome.verdict == verdict]
    lines += [f'\n{verdict}: {meaning}'] if found else []
    for outcome in found:
      damage = outcome.damage
      lines.append(f'  {damage.kind} of {damage.path} ({damage.template})')
      lines += [f'    {line[:300]}' for line in outcome.why]
  return '\n'.join(lines)


if __name__ == '__main__':
  sys.exit(main())
