"""Stage 3: the logit cache, one teacher's targets for exact inputs.

Rows are keyed by the set and the number of an example. The manifest names the
teachers, the data and the preprocessing that the logits belong to, and the
digest of every part; a cache is never read for any other.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from shallow_mimic import errors
from shallow_mimic.data import mixtures
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.mixtures import Targets
from shallow_mimic.data.pools import DTYPES, take
from shallow_mimic.runs import files, kept, parts, progress

_MANIFEST = 'manifest.json'


def make_origin(dataset: Dataset, teacher: Mapping[str, Any],
                layout: mixtures.Layout, *, part_rows: int,
                dtype: str = 'float32') -> dict[str, Any]:
  """What a cache belongs to: all that its values depend on, as a JSON tree.

  Args:
    dataset: the inputs.
    teacher: the identity of the ensemble (members' digests and space).
    layout: which sets, and how many rows of each.
    part_rows: rows of one part file.
    dtype: how logits are stored.
  """
  if dtype not in DTYPES:
    raise errors.UserError(
        f'logits.dtype {dtype!r} is unknown; known: {", ".join(DTYPES)}'
    )
  return {
      'data': {'name': dataset.name, 'fingerprint': dataset.fingerprint,
               'preprocessing': dataset.preprocessing},
      'teacher': dict(teacher), 'classes': dataset.classes, 'dtype': dtype,
      'sets': [list(pair) for pair in layout.sets], 'part_rows': part_rows,
      'labelled_by': _labelled_by(teacher),
  }


def _labelled_by(teacher: Mapping[str, Any]) -> dict[str, list[str]]:
  """Members by the fold that they label because they held it out."""
  found: dict[str, list[str]] = {}
  for name, fold in sorted(teacher.get('held_out', {}).items()):
    found.setdefault(f'fold {fold}', []).append(name)
  return found | {'others': sorted(teacher.get('teachers', ()))}


def write_logits(directory: os.PathLike | str, origin: Mapping[str, Any],
                 dataset: Dataset, apply: Callable[..., np.ndarray], *,
                 stage: str = 'logits') -> tuple[dict, list[str]]:
  """Writes a cache in parts; parts that are there and intact are kept.

  Args:
    directory: the cache's own folder.
    origin: see `make_origin`.
    dataset: the inputs.
    apply: gives logits [N, C] of inputs [N, …] that come from `folds` [N].
    stage: the name that progress is told under.

  Raises:
    UserError: the folder holds a cache of another origin, or the disk is full.
  """
  directory = pathlib.Path(directory)
  if (directory / _MANIFEST).exists():
    _read_manifest(directory, origin)  # One of another origin is kept as it is.
  record = parts.read_record(
      directory / _MANIFEST, origin,
      lambda part: files.digest_array(_read_part(directory, part)))
  rows = sum(count for _, count in origin['sets'])
  first, size = len(record.digests) * origin['part_rows'], origin['part_rows']
  with progress.Progress(stage, rows, done=first) as told:
    for start in range(first, rows, size):
      stop = min(start + size, rows)
      x, folds = _read_rows(dataset, origin['sets'], start, stop)
      block = apply(x, folds=folds)
      _check_finite(block, start, 'finite', 'lower its learning rate')
      with np.errstate(over='ignore'):
        block = block.astype(origin['dtype'])
      _check_finite(block, start, 'within float16',
                    'set logits.dtype to float32')
      files.write_array(_part_path(directory, start // size), block)
      record.add(files.digest_array(block), complete=stop == rows)
      told.update(stop)
  return {**origin, 'parts': record.digests}, [_MANIFEST, *(
      _part_path(directory, part).name for part in range(len(record.digests)))]


def read_logits(directory: os.PathLike | str,
                origin: Mapping[str, Any]) -> Targets:
  """Reads a whole cache, after checking whose it is and that it is intact.

  Args:
    directory: the cache's own folder.
    origin: the teacher and data that it is wanted for.

  Returns:
    The layout of the rows, and the logits [N, C] in float32.

  Raises:
    UserError: it is unfinished, damaged, or of another origin.
  """
  directory = pathlib.Path(directory)
  manifest = _read_manifest(directory, origin)
  if not manifest['complete']:
    raise errors.UserError(
        f'{directory} is not finished; run the stage `logits` to go on with it'
    )
  blocks = []
  for part, digest in enumerate(manifest['parts']):
    block = _read_part(directory, part)
    if files.digest_array(block) != digest:
      raise kept.explain_damage(_part_path(directory, part), directory)
    blocks.append(block.astype(np.float32))
  layout = mixtures.Layout(tuple(map(tuple, manifest['origin']['sets'])))
  return Targets(layout, np.concatenate(blocks))


def _read_manifest(directory: pathlib.Path,
                   origin: Mapping[str, Any]) -> dict[str, Any]:
  """The manifest, unless the cache belongs to something else."""
  manifest = files.read_json(directory / _MANIFEST)
  differ = kept.find_differences(manifest['origin'], origin)
  if differ:
    raise errors.UserError(
        f'the logit cache {directory} is of another {", ".join(differ)}; its'
        ' targets are wrong here: delete it to make it anew'
    )
  return manifest


def _check_finite(block: np.ndarray, start: int, what: str,
                  advice: str) -> None:
  bad = ~np.isfinite(block).all(axis=-1)
  if bad.any():
    raise errors.UserError(
        f'the teacher gives logits that are not {what}, first for row'
        f' {start + int(np.argmax(bad))}; {advice}'
    )


def _read_rows(dataset: Dataset, sets: Sequence[tuple[str, int]], start: int,
               stop: int) -> tuple[np.ndarray, np.ndarray]:
  """Inputs of the rows start..stop of a layout, and their folds."""
  blocks, folds, first = [], [], 0
  for name, count in sets:
    low, high = max(start - first, 0), min(stop - first, count)
    if low < high:
      blocks.append(take(
          mixtures.set_pool(dataset, name), np.arange(low, high)))
      folds.append(mixtures.set_folds(dataset, name)[low:high])
    first += count
  return np.concatenate(blocks), np.concatenate(folds)


def _read_part(directory: pathlib.Path, part: int) -> np.ndarray:
  return files.read_array(_part_path(directory, part))


def _part_path(directory: pathlib.Path, part: int) -> pathlib.Path:
  return directory / f'part-{part:05d}.npy'
