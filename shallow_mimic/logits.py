"""Stage 3: the logit cache, what one ensemble says of the inputs of one set.

Row i belongs to the set's input i. The cache lies in parts of some rows each,
and `manifest.json` says whose logits they are and what each part's SHA-256 is;
it covers itself. A cache is never read for another ensemble, other data or
another type of numbers, but how many rows it has, and how they are parted, is
no part of what it is: where more rows are wanted, it grows.
"""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from shallow_mimic import errors
from shallow_mimic.data import mixtures
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.pools import DTYPES, Stacked, take
from shallow_mimic.runs import files, kept, progress, refusals

MANIFEST = 'manifest.json'
# Of the inputs that are labelled at a time; as many rows as go through a net at
# a time, or a multiple.
_BLOCK_BYTES, _BLOCK_ROWS = 1 << 25, 512


def make_origin(ensemble: Mapping[str, Any], data: Any, *, set_name: str,
                classes: int, dtype: str = 'float32') -> dict[str, Any]:
  """What a cache belongs to: all that its values depend on, as a JSON tree.

  Args:
    ensemble: its identity, see `ensembles.identify`.
    data: the identity of the set's inputs.
    set_name: 'train', or the transfer set's name.
    classes: number of classes, C.
    dtype: how logits are stored.
  """
  if dtype not in DTYPES:
    raise errors.UserError(
        f'logits.dtype {dtype!r} is unknown; known: {", ".join(DTYPES)}'
    )
  return {'teacher': dict(ensemble), 'data': data, 'set': set_name,
          'classes': classes, 'dtype': dtype,
          'labelled_by': _labelled_by(ensemble)}


def _labelled_by(ensemble: Mapping[str, Any]) -> dict[str, list[str]]:
  """Members by the fold that they label because they held it out."""
  found: dict[str, list[str]] = {}
  for name, fold in sorted(ensemble.get('held_out', {}).items()):
    found.setdefault(f'fold {fold}', []).append(name)
  return found | {'others': sorted(ensemble.get('teachers', ()))}


def write_logits(directory: os.PathLike | str, origin: Mapping[str, Any],
                 rows: int, dataset: Dataset,
                 apply: Callable[..., np.ndarray], *, part_rows: int,
                 stage: str = 'logits') -> dict[str, str]:
  """Writes a cache of `rows` rows or more; what is there and intact is kept.

  A cache that was begun goes on in parts of its own size, so that one that
  grew is as if it had been written at once.

  Args:
    directory: the cache's own folder.
    origin: see `make_origin`.
    rows: how many of the set's inputs are wanted.
    dataset: the inputs.
    apply: gives logits [N, C] of inputs [N, …] that come from `folds` [N].
    part_rows: rows of a part of a new cache.
    stage: the name that progress is told under.

  Returns:
    The digest of each part's logits, by the name of its file.

  Raises:
    UserError: the folder holds a cache of another origin, or the disk is full.
  """
  directory = pathlib.Path(directory)
  there = _Manifest(origin, 0, part_rows, [])
  if (directory / MANIFEST).exists():
    found = _read_manifest(directory, origin)
    rows, there = max(rows, found.rows), _keep_intact(directory, found, rows)
    if there != found:  # Before a part is written over.
      _write_manifest(directory, there)
  size, digests = there.part_rows, there.parts
  with progress.Progress(stage, rows, done=there.rows) as told:
    for start in range(there.rows, rows, size):
      stop = min(start + size, rows)
      block = _label(dataset, origin, apply, start, stop)
      files.write_array(_part_path(directory, start // size), block)
      digests.append(files.digest_array(block))
      _write_manifest(directory, _Manifest(origin, stop, size, digests))
      told.update(stop)
  # A run that wanted more rows may have been killed right after it.
  with files.clear_disk_errors(directory):
    _part_path(directory, len(digests)).unlink(missing_ok=True)
  return {_part_path(directory, part).name: digest
          for part, digest in enumerate(digests)}


def read_logits(directory: os.PathLike | str, origin: Mapping[str, Any],
                rows: int) -> Stacked:
  """The logits of a set's first inputs, verified, mapped from disk.

  Args:
    directory: the cache's own folder.
    origin: the ensemble and data that they are wanted of.
    rows: how many are wanted, N.

  Returns:
    [N, C], of the type that they are stored in.

  Raises:
    UserError: the cache is damaged, of another origin, or lacks some of them.
  """
  directory = pathlib.Path(directory)
  manifest = _read_manifest(directory, origin)
  if manifest.rows < rows:
    raise errors.UserError(
        f'{directory} is not finished: it has {manifest.rows} of {rows} rows;'
        ' run the stage `logits` to go on with it')
  wanted = manifest.parts[:-(-rows // manifest.part_rows)]
  blocks = []
  for part, digest in enumerate(wanted):
    block = _read_part(directory, part)
    if files.digest_array(block) != digest:
      raise kept.explain_damage(_part_path(directory, part), directory)
    blocks.append(block)
  return Stacked(blocks).head(rows)


class _Manifest(NamedTuple):
  """What is finished: the SHA-256 of every part, all but the last one full."""

  origin: Mapping[str, Any]
  rows: int
  part_rows: int
  parts: list[str]


def _write_manifest(directory: pathlib.Path, manifest: _Manifest) -> None:
  files.write_sealed(directory / MANIFEST, manifest._asdict())


def _read_manifest(directory: pathlib.Path,
                   origin: Mapping[str, Any]) -> _Manifest:
  """The manifest, unless it is damaged or of something else."""
  match files.read_sealed(directory / MANIFEST):
    case {'origin': dict(theirs), 'rows': int(rows), 'part_rows': int(size),
          'parts': list(parts), **rest} if (
              not rest and size > 0 and len(parts) == -(-rows // size)
              and all(isinstance(part, str) for part in parts)):
      pass
    case _:
      raise files.explain_damage(directory / MANIFEST)
  if differ := kept.find_differences(theirs, origin):
    fields = dict.fromkeys(name.partition('.')[0] for name in differ)
    raise errors.UserError(
        f'the logit cache {directory} is of another {", ".join(fields)}; its'
        ' targets are wrong here: delete it to make it anew'
    )
  return _Manifest(theirs, rows, size, parts)


def _keep_intact(directory: pathlib.Path, found: _Manifest,
                 rows: int) -> _Manifest:
  """The leading parts that are as they were written; those that are full, if
  more rows are wanted.
  """
  count = 0
  for digest in found.parts:
    try:
      block = _read_part(directory, count)
    except refusals.RefusedError:
      raise
    except errors.UserError:
      break
    if files.digest_array(block) != digest:
      break
    count += 1
  there = min(count * found.part_rows, found.rows)
  if there < max(rows, found.rows):
    count = there // found.part_rows
    there = count * found.part_rows
  return found._replace(rows=there, parts=found.parts[:count])


def _label(dataset: Dataset, origin: Mapping[str, Any],
           apply: Callable[..., np.ndarray], start: int,
           stop: int) -> np.ndarray:
  """Logits of a set's rows start to stop, as they are stored."""
  out = np.empty((stop - start, origin['classes']), origin['dtype'])
  for low, x, folds in _read_blocks(dataset, origin['set'], start, stop):
    block = apply(x, folds=folds)
    _check_finite(block, low, 'finite', 'lower its learning rate')
    with np.errstate(over='ignore'):
      block = block.astype(origin['dtype'])
    _check_finite(block, low, 'within float16', 'set logits.dtype to float32')
    out[low - start:low - start + len(block)] = block
  return out


def _check_finite(block: np.ndarray, start: int, what: str,
                  advice: str) -> None:
  bad = ~np.isfinite(block).all(axis=-1)
  if bad.any():
    raise errors.UserError(
        f'the teacher gives logits that are not {what}, first for row'
        f' {start + int(np.argmax(bad))}; {advice}'
    )


def _read_blocks(
    dataset: Dataset, set_name: str, start: int, stop: int,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
  """Number of the first row, inputs and folds, some rows at a time."""
  pool = mixtures.set_pool(dataset, set_name)
  folds = mixtures.set_folds(dataset, set_name)
  block = _BLOCK_ROWS * 4 * math.prod(pool.input_shape)
  size = _BLOCK_ROWS * max(1, _BLOCK_BYTES // block)
  for low in range(start, stop, size):
    high = min(low + size, stop)
    yield low, take(pool, np.arange(low, high)), folds[low:high]


def _read_part(directory: pathlib.Path, part: int) -> np.ndarray:
  return files.read_array(_part_path(directory, part), mmap=True)


def _part_path(directory: pathlib.Path, part: int) -> pathlib.Path:
  return directory / f'part-{part:05d}.npy'
