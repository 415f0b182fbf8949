"""Finished and half-finished work directories, ours and those of other runs."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import itertools
import json
import pathlib
import queue
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import damages_ends
import damages_server
import numpy as np

EXPERIMENT = pathlib.Path(__file__).with_name('damages_experiment.py')
FINISHED = 'finished'
_Item, _Made = TypeVar('_Item'), TypeVar('_Made')

# Two runs that may be taken for ours: other recipes on the same data, and the
# same recipe on other data.
OTHERS = {
    'recipe': ('--config.seed=1', '--config.teachers.DNN.learning_rate=0.01',
               '--config.students.learning_rates=(0.02, 0.04)'),
    'data': ('--config.teachers.DNN.steps=8', '--config.students.steps=8')}


def write_npz(path: pathlib.Path, seed: int) -> None:
  """Three noisy blobs: 60 train, 24 dev, 24 test, 20 transfer inputs."""
  rng = np.random.default_rng(seed)
  centres = 2 * rng.normal(size=(3, 4))
  arrays = {}
  for split, count in (('train', 60), ('dev', 24), ('test', 24),
                       ('transfer', 20)):
    y = np.arange(count) % 3
    x = centres[y] + rng.normal(size=(count, 4))
    arrays |= {f'x_{split}': x.astype(np.float32), f'y_{split}': y}
  del arrays['y_transfer']
  np.savez(path, **arrays)


class Pool:
  """Servers that work side by side."""

  def __init__(self, code: pathlib.Path, scratch: pathlib.Path, workers: int):
    self._servers = [damages_server.Server(code, scratch)
                     for _ in range(workers)]
    self._idle: queue.SimpleQueue = queue.SimpleQueue()
    for server in self._servers:
      self._idle.put(server)

  def run(self, *arguments: Any, **options: Any) -> damages_server.Result:
    """`Server.run` on the first that is idle."""
    server = self._idle.get()
    try:
      return server.run(*arguments, **options)
    finally:
      self._idle.put(server)

  def map(self, work: Callable[[_Item], _Made],
          items: Iterable[_Item]) -> list[_Made]:
    """What `work` makes of every item, as many at once as there are servers."""
    with concurrent.futures.ThreadPoolExecutor(len(self._servers)) as threads:
      return list(threads.map(work, items))

  def preload(self, modules: Sequence[str]) -> None:
    """`Server.preload` on all of them."""
    self.map(lambda server: server.preload(modules), self._servers)

  def close(self) -> None:
    """Ends the servers."""
    for server in self._servers:
      server.close()


@dataclasses.dataclass(frozen=True)
class Templates:
  """What damages are made of.

  Attributes:
    arguments: of our run.
    ours: work directories by name, `finished` first.
    others: those of other runs, by the run and the name.
    reference: the end of our run.
    moves: every rename and removal of our run, [kind, number], in order.
    seconds: how long our run takes.
  """

  arguments: tuple[str, ...]
  ours: dict[str, pathlib.Path]
  others: dict[str, dict[str, pathlib.Path]]
  reference: damages_ends.Reference
  moves: list[tuple[str, int]]
  seconds: float


def make_templates(pool: Pool, folder: pathlib.Path, *,
                   others: Sequence[str] = tuple(OTHERS)) -> Templates:
  """Runs our experiment twice and the others once, and stops them midway."""
  for seed, name in enumerate(('ours', 'data')):
    write_npz(folder / f'{name}.npz', seed)
  arguments = {name: (
      f'--config={EXPERIMENT}', '--config.data.path='
      f'{folder / ("data" if name == "data" else "ours")}.npz',
      *OTHERS.get(name, ())) for name in ('ours', *others)}
  # The directories are called alike: the title of the report is their name.
  _finish(pool, arguments['ours'], folder / 'first/run')
  traced = json.loads(
      (folder / 'first/trace.json').read_text(encoding='utf-8'))
  moves = [(kind, number) for kind, number in traced['moves']]
  pool.preload([name for name in traced['modules']
                if name.partition('.')[0] not in ('__main__', 'launch')])
  snapshots = choose_moments(moves)
  results = pool.map(lambda name: _finish(
      pool, arguments[name], folder / name / 'run', snapshots), arguments)
  first = damages_ends.read_end(folder / 'first/run')
  second = damages_ends.read_end(folder / 'ours/run')
  loose = {path for path in first.keys() | second.keys()
           if first.get(path) != second.get(path)}
  made = {name: {FINISHED: folder / name / 'run'} | {
      moment: folder / name / moment for moment in snapshots
      if (folder / name / moment).exists()} for name in arguments}
  return Templates(
      arguments['ours'], made.pop('ours'), made,
      damages_ends.Reference(first, frozenset(loose)), moves,
      results[0].seconds)


def _finish(pool: Pool, arguments: tuple[str, ...], workdir: pathlib.Path,
            snapshots: dict | None = None) -> damages_server.Result:
  result = pool.run(arguments, workdir, trace=str(workdir.parent),
                    snapshots=snapshots or {})
  assert result.status == 0, result.stderr
  return result


def choose_moments(moves: Sequence[tuple[str, int]]
                   ) -> dict[str, tuple[str, int]]:
  """Moves of a run at which to stop: first, middle and last of each folder.

  >>> [*choose_moments([('replace data/x', 1), ('replace data/y', 1)])]
  ['01 data first', '02 data middle']
  """
  replaced = [move for move in moves if not move[0].startswith('rmdir')]
  chosen = {}
  for place, moved in itertools.groupby(replaced, _find_stage):
    group = list(moved)
    for when, move in (('first', group[0]), ('middle', group[len(group) // 2]),
                       ('last', group[-1])):
      if move not in chosen.values():
        name = f'{len(chosen) + 1:02d} {place.replace("/", " ")} {when}'
        chosen[name] = move
  return chosen


def _find_stage(move: tuple[str, int]) -> str:
  """The folders of a move's target, two at most: 'teachers/DNN'."""
  *folders, _ = move[0].partition(' ')[2].split('/')
  return '/'.join(folders[:2])


@functools.cache
def find_donors(templates_of: tuple[pathlib.Path, ...],
                name: str) -> tuple[pathlib.Path, ...]:
  """Files or folders of other directories that are of the kind of `name`."""
  kind = damages_server.find_kind(name)
  return tuple(path for root in templates_of
               for path in sorted(root.rglob('*'))
               if damages_server.find_kind(str(path.relative_to(root))) == kind)
