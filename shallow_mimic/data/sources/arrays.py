"""The source `arrays`: the `.npz` file at `path`, which is never unpickled."""

from __future__ import annotations

import os
import pathlib
import tokenize
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from shallow_mimic import errors
from shallow_mimic.data.dataset import Examples
from shallow_mimic.data.sources.digests import digest_present
from shallow_mimic.data.sources.source import Raw, Shapes, Source, without_dev
from shallow_mimic.runs import refusals

if TYPE_CHECKING:
  from shallow_mimic import configs

_HOW = (
    'write it with np.savez(path, x_train=…, y_train=…, x_test=…, y_test=…)'
    ' and, if you like, x_dev, y_dev and x_transfer')


def read_arrays(path: os.PathLike | str) -> dict[str, Examples]:
  """Reads `train`, `test` and, where given, `dev` and `transfer`.

  Args:
    path: a `.npz` with x_train, y_train, x_test, y_test and optionally x_dev
      with y_dev, and x_transfer. Inputs are uint8 images in [0, 255] or real
      numbers; labels are integers from 0.

  Returns:
    Examples by split: x as stored, y int64, -1 in `transfer`.

  Raises:
    UserError: the file is absent or damaged, holds pickled objects, lacks an
      array, or an array has the wrong type.
  """
  path = pathlib.Path(path).expanduser()
  arrays = _read_npz(path)
  examples = {}
  for split in ('train', 'test', 'dev'):
    present = [f'{part}_{split}' in arrays for part in 'xy']
    if split == 'dev' and not any(present):
      continue
    for part, there in zip('xy', present, strict=True):
      if not there:
        raise errors.UserError(
            f'{path} lacks the array {part}_{split} (it has:'
            f' {", ".join(sorted(arrays)) or "none"}); {_HOW}')
    x = _inputs(path, f'x_{split}', arrays[f'x_{split}'])
    y = _labels(path, f'y_{split}', arrays[f'y_{split}'])
    examples[split] = Examples(x, y)
  if 'x_transfer' in arrays:
    x = _inputs(path, 'x_transfer', arrays['x_transfer'])
    examples['transfer'] = Examples(x, np.full(len(x), -1))
  _warn(path, arrays, examples['train'].y)
  return examples


def _warn(path: os.PathLike | str, arrays: dict[str, np.ndarray],
          labels: np.ndarray) -> None:
  """What may be a slip: names that nobody reads, classes of no example."""
  unread = sorted(set(arrays) - {
      f'{part}_{split}' for part in 'xy' for split in ('train', 'dev', 'test')
  } - {'x_transfer'})
  if unread:
    logging.warning('%s: not read: %s; %s', path, ', '.join(unread), _HOW)
  known = np.unique(labels)
  absent = int(known.max(initial=-1)) + 1 - len(known)
  if absent > 0:
    logging.warning(
        '%s: y_train goes up to %d, and %d of these classes have no example;'
        ' number them from 0', path, known.max(), absent)
  if len(labels) and not known.any():
    logging.warning(
        '%s: y_train is 0 everywhere: there is nothing to tell apart', path)


def _read_npz(path: os.PathLike | str) -> dict[str, np.ndarray]:
  try:
    # np.load itself leaves a damaged file open.
    with open(path, 'rb') as file, np.load(file, allow_pickle=False) as npz:
      return {key: npz[key] for key in npz.files}
  except FileNotFoundError as error:
    raise errors.UserError(f'{path} does not exist; {_HOW}') from error
  except ValueError as error:
    if 'pickle' not in str(error):
      raise errors.UserError(f'cannot read {path}: {error}; {_HOW}') from error
    raise errors.UserError(
        f'{path} holds pickled objects, which are never loaded because they'
        f' can run code, or it is no .npz file; {_HOW}, all of plain numbers'
    ) from error
  except (AttributeError, TypeError) as error:  # A lone .npy is an array.
    raise errors.UserError(f'{path} is no .npz file; {_HOW}') from error
  except (OSError, EOFError, zipfile.BadZipFile, zlib.error,
          tokenize.TokenError, RuntimeError) as error:
    refusals.raise_refusal(path, error)
    raise errors.UserError(
        f'cannot read {path}: {error or "it is cut off"}; the file is damaged,'
        ' write it again') from error


def _inputs(path: os.PathLike | str, key: str, x: np.ndarray) -> np.ndarray:
  if x.dtype.kind not in 'fiub' or x.ndim < 2:
    raise errors.UserError(
        f'{path}: {key} has type {x.dtype} and shape {x.shape}; it must hold'
        ' real numbers, one row per example')
  return x


def _labels(path: os.PathLike | str, key: str, y: np.ndarray) -> np.ndarray:
  if y.dtype.kind not in 'iu' or y.ndim != 1:
    raise errors.UserError(
        f'{path}: {key} has type {y.dtype} and shape {y.shape}; it must hold'
        ' integers from 0, one per example')
  if len(y) and y.max() >= 2 ** 31:
    raise errors.UserError(
        f'{path}: {key} has the label {y.max()}; number the classes from 0')
  return y.astype(np.int64, copy=False)


def _read(config: configs.Data, cache_dir: pathlib.Path) -> Raw:
  del cache_dir
  # As many classes as the largest label says.
  return Raw(pathlib.Path(config.path).stem, 0, read_arrays(config.path))


def _digest(config: configs.Data) -> str:
  if not config.path:
    raise errors.UserError(
        'config.data.path is not set; say --config.data.path=MY.npz')
  return digest_present(pathlib.Path(config.path).expanduser())


def _shapes(config: configs.Data) -> Shapes | None:
  if not config.path:
    return None
  parts = read_arrays(config.path)
  x, labels = parts['train']
  rows = len(x) if 'dev' in parts else without_dev(config, len(x), config.path)
  return Shapes(x.shape[1:], int(labels.max(initial=-1)) + 1, rows)


SOURCE = Source(name='arrays', read=_read, digest=_digest, shapes=_shapes)
