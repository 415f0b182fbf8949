"""A `Dataset` on disk: a folder of `.npy` files and `dataset.json`.

`dataset.json` is written last and says what the arrays are.
"""

from __future__ import annotations

import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from shallow_mimic import errors
from shallow_mimic.data.dataset import (
  Dataset,
  Examples,
  check_transfer_name,
  folds_key,
  split_name,
)
from shallow_mimic.data.preprocessing import (
  Preprocessing,
  Step,
  apply_preprocessing,
  check_record,
  iterate_preprocessed,
)
from shallow_mimic.data.utterances import Sequences
from shallow_mimic.data.views import Views
from shallow_mimic.runs import files, parts
from shallow_mimic.runs.parts import write_parts

RECORD = 'dataset.json'
_TYPES = {
    'name': str, 'classes': int, 'transfer': list, 'preprocessing': dict,
    'digests': dict, 'raw_dtype': str, 'reach': int, 'folds': list,
    'utterances': dict}
_SEQUENCE_ARRAYS = ('stops', 'phones', 'phone_stops')
_Rows = Callable[[], Iterator[np.ndarray]]


def write_dataset(directory: os.PathLike | str,
                  dataset: Dataset) -> list[str]:
  """Writes a folder that `read_dataset` reads; `dataset.json` comes last.

  Inputs that are mapped from their file in that folder are there already.

  Returns:
    The names of its files; those of parts, see `write_parts`, among them.

  Raises:
    UserError: the folder cannot be written.
  """
  directory = pathlib.Path(directory)
  arrays: dict[str, np.ndarray] = {}
  for split, part in dataset.splits.items():
    arrays |= {inputs_file(split): part.x, f'{split}.y.npy': part.y}
  for split, folds in dataset.folds.items():
    arrays[f'{split}.folds.npy'] = folds
  for split, utterances in dataset.sequences.items():
    for key in _SEQUENCE_ARRAYS:
      arrays[f'{split}.{key}.npy'] = getattr(utterances, key)
  for index, step in enumerate(dataset.fitted.steps):
    for key, array in step.arrays.items():
      arrays[_fitted_file(index, key)] = array
  with files.clear_disk_errors(directory):
    # Old arrays must not pass for new ones if the writing is cut off.
    (directory / RECORD).unlink(missing_ok=True)
  for file, array in arrays.items():
    if not _is_there(directory / file, array):
      files.write_array(directory / file, array)
  files.write_json(directory / RECORD, {
      'name': dataset.name,
      'classes': dataset.classes,
      'transfer': list(dataset.transfer),
      'preprocessing': dataset.preprocessing,
      'digests': dict(dataset.digests),
      'raw_dtype': dataset.raw_dtype,
      'reach': dataset.reach,
      'folds': list(dataset.folds),
      'utterances': {split: list(utterances.names)
                     for split, utterances in dataset.sequences.items()},
  })
  return [RECORD, *arrays, *(parts.name_record(file) for file in arrays)]


def read_dataset(directory: os.PathLike | str) -> Dataset:
  """Reads what `write_dataset` wrote; the arrays stay on disk, mapped.

  Whether they are as they were written is for `workdir.verify` to tell.

  Raises:
    UserError: the folder is absent or incomplete, or its record is none that
      `write_dataset` writes; names the file.
  """
  directory = pathlib.Path(directory)
  record = files.read_json(directory / RECORD)
  try:
    _check_record(record)
  except errors.UserError as error:
    raise errors.UserError(
        f'{directory / RECORD} is damaged: {error}; delete {directory} and run'
        ' again to make it anew') from error
  return _read_recorded(directory, record)


def _check_record(record: Any) -> None:
  """UserError unless `write_dataset` can have written it.

  It names the files that are read: no name may lead out of the folder.
  """
  for key, kind in _TYPES.items():
    _expect(isinstance(record, dict) and type(record.get(key)) is kind, key)
  _expect(record['classes'] > 0, 'classes')
  _expect(record['reach'] >= 0, 'reach')
  _expect(_are_texts(record['transfer']), 'transfer')
  for name in record['transfer']:
    check_transfer_name(name)
  inputs = {'train', *map(split_name, record['transfer'])}
  splits = inputs | {'dev', 'test'}
  _expect(_are_texts(record['folds']) and inputs.issuperset(record['folds']),
          'folds')
  utterances = record['utterances']
  _expect(splits.issuperset(utterances)
          and all(map(_are_texts, utterances.values())), 'utterances')
  digests = record['digests']
  _expect(digests.keys() == splits | set(map(folds_key, record['folds']))
          and _are_texts([*digests.values()]), 'digests')
  check_record(record['preprocessing'])


def _expect(right: bool, key: str) -> None:
  if not right:
    raise errors.UserError(f'{key!r} is not what was written')


def _are_texts(value: Any) -> bool:
  return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _read_recorded(
    directory: pathlib.Path, record: Mapping[str, Any]
) -> Dataset:

  def read(split: str, part: str, mmap: bool = False) -> np.ndarray:
    return files.read_array(directory / f'{split}.{part}.npy', mmap=mmap)

  def examples(split: str) -> Examples:
    return Examples(*(read(split, part, mmap=True) for part in 'xy'))

  return Dataset(
      name=record['name'],
      classes=record['classes'],
      train=examples('train'),
      dev=examples('dev'),
      test=examples('test'),
      transfer={key: examples(split_name(key)) for key in record['transfer']},
      preprocessing=record['preprocessing'],
      digests=record['digests'],
      fitted=_read_fitted(directory, record['preprocessing']),
      reach=record['reach'],
      sequences={
          split: Sequences(
              **{key: read(split, key) for key in _SEQUENCE_ARRAYS},
              names=tuple(names))
          for split, names in record['utterances'].items()},
      folds={split: read(split, 'folds') for split in record['folds']},
      raw_dtype=record['raw_dtype'],
  )


def inputs_file(split: str) -> str:
  """The file of a split's inputs."""
  return f'{split}.x.npy'


def _is_there(path: pathlib.Path, array: np.ndarray) -> bool:
  """Whether an array is the whole of the file, mapped."""
  if not isinstance(array, np.memmap) or isinstance(array.base, np.ndarray):
    return False  # Not mapped, or a part of what is.
  return path.resolve() == pathlib.Path(str(array.filename)).resolve()


def _fitted_file(index: int, key: str) -> str:
  return f'preprocessing.{index}.{key}.npy'


def _read_fitted(
    directory: pathlib.Path, record: Mapping[str, Any]
) -> Preprocessing:
  return Preprocessing(tuple(
      Step(step['name'], step['options'], {
          key: files.read_array(directory / _fitted_file(index, key))
          for key in step['arrays']})
      for index, step in enumerate(record['steps'])))


def make_preprocessed(fitted: Preprocessing, x: np.ndarray | Views,
                      path: os.PathLike | str | None,
                      dtype: str = 'float32', *,
                      origin: Any = None) -> np.ndarray:
  """Inputs [N, …]: written to `path` and mapped; in memory if None.

  The same bits either way. What an interrupted run left at `path` is kept
  where it is of the same origin.

  Args:
    fitted: the preprocessing.
    x: [N, …], raw; views are made here, some rows at a time.
    path: of a `.npy` file.
    dtype: that they are stored in, 'float32' or 'float16'.
    origin: what the inputs are made from, see `parts.write_parts`.
  """
  wholes: list[_Rows]
  if isinstance(x, Views):
    wholes = [functools.partial(_iterate_view, fitted, x, copy)
              for copy in range(x.copies)]
  else:
    wholes = [functools.partial(iterate_preprocessed, fitted, x)]
  makers = [functools.partial(_cast, whole, dtype) for whole in wholes]
  if path:
    return write_parts(path, x.shape, dtype, makers, origin)
  made, start = np.empty(x.shape, dtype), 0
  for rows in itertools.chain.from_iterable(make() for make in makers):
    made[start:start + len(rows)] = rows
    start += len(rows)
  return made


def _cast(maker: _Rows, dtype: str) -> Iterator[np.ndarray]:
  """What half precision cannot hold becomes infinite; a later check tells."""
  for rows in maker():
    with np.errstate(over='ignore'):
      yield rows.astype(dtype, copy=False)


def _iterate_view(fitted: Preprocessing, views: Views,
                  copy: int) -> Iterator[np.ndarray]:
  for rows in views.chunks(copy):
    yield apply_preprocessing(fitted, rows)
