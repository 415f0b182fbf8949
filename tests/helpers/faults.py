"""Runs the tiny experiment on machines that refuse something; says what came.

    python tests/helpers/faults.py
    python tests/helpers/faults.py --only=disk,deleted

Each fault gets a work directory of its own, in which the command that a user
would give is run under the fault, and again without it. A row of the table
says what the first run ended with, how many folders were finished by then, and
whether the second one ended with the bytes of a run that met no fault. Status
1: something was not as it has to be, which is in capitals. Without root some
faults are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import places

_EXPERIMENT = places.ROOT / 'tests/helpers/tiny_experiment.py'
_PATIENCE = 400  # Seconds after which a run is said to hang.
# A user without rights, who may still read our clone and interpreter.
_NOBODY = ('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups',
           '--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search')
_NO_LOCKS = """
import errno, fcntl, os
def flock(file, operation):
  raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
fcntl.flock = flock
"""


@contextlib.contextmanager
def _anywhere(folder: pathlib.Path) -> Iterator[Callable]:
  yield lambda: folder


class Fault(NamedTuple):
  """What a machine refuses.

  Attributes:
    group: what --only knows it by.
    name: in words.
    statuses: any of these may come of it.
    command: that starts the command of the user.
    place: a context that readies the folder for the work directory, and yields
      what takes the fault away again.
    watch: told every line of the output, and the work directory.
    said: has to be in the output.
    code: run by the interpreter before anything else.
    gone: whether the work directory must not be there in the end.
  """

  group: str
  name: str
  statuses: tuple[int, ...] = (2,)
  command: Sequence[str] = ()
  place: Callable[[pathlib.Path], contextlib.AbstractContextManager] = _anywhere
  watch: Callable[[str, pathlib.Path], None] = lambda line, workdir: None
  said: str = ''
  code: str = ''
  gone: bool = False


class Ended(NamedTuple):
  """A run; its status is None where it hung."""

  status: int | None
  output: str
  problems: str


# Places ---------------------------------------------------------------------


def _mount(folder: pathlib.Path, options: str, *more: str) -> None:
  subprocess.run(['mount', *more, '-o', options, 'tmpfs', folder], check=True)


@contextlib.contextmanager
def _small_disk(kib: int, folder: pathlib.Path) -> Iterator[Callable]:
  _mount(folder, f'size={kib}k', '-t', 'tmpfs')
  try:
    yield lambda: _mount(folder, 'remount,size=64m')
  finally:
    subprocess.run(['umount', folder], check=True)


@contextlib.contextmanager
def _read_only(stages: str, folder: pathlib.Path) -> Iterator[Callable]:
  _mount(folder, 'size=64m', '-t', 'tmpfs')
  try:
    _begin(stages, folder)
    _mount(folder, 'remount,ro')
    yield lambda: _mount(folder, 'remount,rw')
  finally:
    subprocess.run(['umount', folder], check=True)


@contextlib.contextmanager
def _ours_alone(stages: str, folder: pathlib.Path) -> Iterator[Callable]:
  _begin(stages, folder)
  yield lambda: None


@contextlib.contextmanager
def _everybodys(folder: pathlib.Path) -> Iterator[Callable]:
  folder.chmod(0o777)
  yield lambda: None


@contextlib.contextmanager
def _stale_lock(folder: pathlib.Path) -> Iterator[Callable]:
  (folder / 'run').mkdir()
  (folder / 'run' / '.lock').write_text('4711', encoding='utf-8')
  yield lambda: None


def _begin(stages: str, folder: pathlib.Path) -> None:
  if stages:
    done = start(folder / 'run', more=[f'--stages={stages}'])
    assert done.status == 0, done


# Watchers -------------------------------------------------------------------


def _delete_after(words: str, place: str, line: str,
                  workdir: pathlib.Path) -> None:
  """Deletes the directory after a line, once there is something at a place."""
  if line.startswith(words):
    while place and not list(workdir.glob(place)):
      time.sleep(1e-3)
    while workdir.exists():  # As it is being written, a file may come late.
      shutil.rmtree(workdir, ignore_errors=True)


def _start_second(line: str, workdir: pathlib.Path) -> None:
  if line.startswith('data: done'):
    second = start(workdir)
    print(f'| the second of two | {second.status} | {second.problems.strip()}')
    assert second.status == 2


# Faults ---------------------------------------------------------------------


def _limit(flag: str, value: int, before: Sequence[str] = ()) -> Sequence[str]:
  return *before, 'bash', '-c', f'ulimit {flag} {value}; exec "$@"', 'bash'


def list_faults() -> list[Fault]:
  """All that can be had here, in the order of the table."""
  found = [Fault('size', f'files up to {kib} KiB', command=_limit('-f', kib))
           for kib in (1, 60)]
  found += [
      Fault('files', f'{count} open files', (0, 2),
            command=_limit('-n', count))
      for count in (8, 20, 32, 40, 64, 128)]
  found += [
      Fault('memory', f'{kib:,} KiB of address space', (0, 2),
            command=_limit('-v', kib))
      for kib in (300_000, 1_000_000, 1_700_000, 1_800_000, 2_000_000,
                  4_000_000, 8_000_000)]
  found += [
      Fault('deleted', f'deleted after "{words}"{where and f", {where}"}',
            watch=functools.partial(_delete_after, words, place), gone=True)
      for words, place, where in (
          ('data: reading', '', ''), ('data: done', '', ''),
          ('data: done', 'training/*/checkpoints/5.tmp', 'in a checkpoint'),
          ('data: done', 'training/*/checkpoints/5', 'training'),
          ('students search: done', 'training/*/checkpoints/10.tmp*',
           'in a checkpoint'),
          ('students: done', '', ''))]
  found += [
      Fault('locks', 'two runs at once', (0,), watch=_start_second),
      Fault('locks', 'a stale lock', (0,), place=_stale_lock),
      Fault('locks', 'no locks', (0,), said='cannot be locked',
            code=_NO_LOCKS)]
  return found + (_list_roots_faults() if os.geteuid() == 0 else [])


def _list_roots_faults() -> list[Fault]:
  found = [
      Fault('disk', f'a disk of {kib} KiB',
            place=functools.partial(_small_disk, kib))
      for kib in (8, 64, 160, 400, 600, 800)]
  for stages in ('', 'data', 'data,teachers'):
    when = f', {stages} done' if stages else ''
    found += [
        Fault('rights', f'read-only{when}',
              place=functools.partial(_read_only, stages)),
        Fault('rights', f'no permission{when}', command=_NOBODY,
              place=functools.partial(_ours_alone, stages))]
  return found + [
      Fault('threads', f'{count} threads', (0, 2), place=_everybodys,
            command=_limit('-u', count, _NOBODY))
      for count in (5, 20, 30, 60)]


# Runs -----------------------------------------------------------------------


def start(workdir: pathlib.Path, fault: Fault | None = None, *,
          more: Sequence[str] = ()) -> Ended:
  """Runs the command of a user, under a fault, to its end."""
  fault, scratch = fault or Fault('', ''), workdir.parents[1]
  with subprocess.Popen(
      [*fault.command, sys.executable, '-m', 'launch.run',
       f'--config={_EXPERIMENT}', f'--config.data.path={scratch}/tiny.npz',
       f'--workdir={workdir}', *more],
      cwd=places.ROOT, text=True, encoding='utf-8', stdout=subprocess.PIPE,
      stderr=subprocess.PIPE, env=_environment(
          workdir.parent, JAX_PLATFORMS='cpu',
          JAX_COMPILATION_CACHE_DIR=f'{scratch}/compiled',
          JAX_DISABLE_MOST_OPTIMIZATIONS='1',
          JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS='0',
          JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES='-1',
          MPLCONFIGDIR=f'{scratch}/matplotlib')) as process:
    hung = threading.Event()
    patience = threading.Timer(
        _PATIENCE, lambda: (hung.set(), process.kill()))
    patience.start()
    output = []
    for line in process.stdout:
      output.append(line)
      fault.watch(line, workdir)
    problems, status = process.stderr.read(), process.wait()
    patience.cancel()
  return Ended(None if hung.is_set() else status, ''.join(output), problems)


def _environment(*path: pathlib.Path, **more: str) -> dict[str, str]:
  """In which an interpreter finds this clone, and not an installed one."""
  path = (*path, places.ROOT, places.ROOT / 'tests/helpers')
  return {**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, path)), **more}


def read_report(workdir: pathlib.Path) -> dict[str, bytes]:
  """The files of a report, by their names, without the records of it."""
  report = workdir / 'report'
  return {str(path.relative_to(report)): path.read_bytes()
          for path in sorted(report.rglob('*'))
          if path.is_file() and path.suffix != '.json'}


def try_fault(fault: Fault, folder: pathlib.Path,
              wanted: dict[str, bytes]) -> tuple[str, bool]:
  """A row of the table, and whether all was as it has to be."""
  folder.mkdir()
  workdir = folder / 'run'
  if fault.code:
    (folder / 'sitecustomize.py').write_text(fault.code, encoding='utf-8')
  with fault.place(folder) as take_away:
    ended = start(workdir, fault)
    complaints = _judge(fault, ended, workdir)
    kept = len(list(workdir.rglob('done.json')))
    if fault.code:
      (folder / 'sitecustomize.py').unlink()
    take_away()
    again = start(workdir)
    if again.status or read_report(workdir) != wanted:
      complaints.append(f'DOES NOT GO ON: {again}')
  line = (ended.problems.strip().splitlines() or [''])[-1]
  row = (f'| {fault.name} | {ended.status} | {line} | {kept} |'
         f' {"; ".join(complaints) or "equal bytes"} |')
  return row.replace(str(workdir), 'DIR').replace(str(folder), '.'), (
      not complaints)


def _judge(fault: Fault, ended: Ended, workdir: pathlib.Path) -> list[str]:
  """What is wrong with how a run ended under a fault."""
  found = []
  if ended.status is None:
    found.append('HANGS')
  elif ended.status not in fault.statuses:
    found.append(f'STATUS {ended.status}')
  lines = ended.problems.count('\n')
  if lines != (ended.status == 2) or (
      lines and not ended.problems.startswith('error: ')):
    found.append(f'{lines} LINES')
  if fault.said not in ended.output:
    found.append('NOT SAID')
  if fault.gone and workdir.exists():
    found.append(f'MADE AGAIN: {next(workdir.rglob("*"), "")}')
  return found


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the script; its exit status."""
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--only', default='', help='groups of faults, as in'
                      ' disk,files')
  only = parser.parse_args(arguments).only
  faults = [fault for fault in list_faults()
            if not only or fault.group in only.split(',')]
  scratch = pathlib.Path(tempfile.mkdtemp(prefix='faults-'))
  scratch.chmod(0o755)
  try:
    for name in ('none', 'compiled', 'matplotlib'):
      (scratch / name).mkdir()
      (scratch / name).chmod(0o777)
    subprocess.run(
        [sys.executable, '-c', 'import sys, tiny_experiment as tiny;'
         ' tiny.write_npz(sys.argv[1])', scratch / 'tiny.npz'],
        env=_environment(), check=True)
    ended = start(scratch / 'none' / 'run')
    assert ended.status == 0, ended
    wanted = read_report(scratch / 'none' / 'run')
    print('| fault | status | line | finished by then | in the end |\n'
          '|---|---|---|---|---|')
    fine = True
    for number, fault in enumerate(faults):
      row, right = try_fault(fault, scratch / str(number), wanted)
      print(row, flush=True)
      fine = fine and right
  finally:
    shutil.rmtree(scratch)
  return int(not fine)


if __name__ == '__main__':
  sys.exit(main())
