"""Raw inputs as nets see them: in memory, or on disk, written part by part.

A part is one view of every training input, or all of a set that was read.
"""

from __future__ import annotations

import functools
import itertools
import os

import numpy as np

from shallow_mimic.data.preprocessing import (
  Preprocessing,
  apply_preprocessing,
  iterate_preprocessed,
)
from shallow_mimic.data.views import Views
from shallow_mimic.runs.parts import write_parts


def make_preprocessed(fitted: Preprocessing, x: np.ndarray | Views,
                      path: os.PathLike | str | None,
                      dtype: str = 'float32') -> np.ndarray:
  """Inputs [N, …]: written to `path` and mapped; in memory if None.

  The same bits either way. What an interrupted run left at `path` is kept.

  Args:
    fitted: the preprocessing.
    x: [N, …], raw; views are made here, some rows at a time.
    path: of a `.npy` file.
    dtype: that they are stored in, 'float32' or 'float16'.
  """
  makers = [functools.partial(iterate_preprocessed, fitted, x)]
  if isinstance(x, Views):
    makers = [functools.partial(_iterate_view, fitted, x, copy)
              for copy in range(x.copies)]
  makers = [functools.partial(_cast, maker, dtype) for maker in makers]
  if path:
    return write_parts(path, x.shape, dtype, makers)
  made, start = np.empty(x.shape, dtype), 0
  for rows in itertools.chain.from_iterable(make() for make in makers):
    made[start:start + len(rows)] = rows
    start += len(rows)
  return made


def _cast(maker, dtype):
  """What half precision cannot hold becomes infinite; a later check tells."""
  for rows in maker():
    with np.errstate(over='ignore'):
      yield rows.astype(dtype, copy=False)


def _iterate_view(fitted, views, copy):
  for rows in views.chunks(copy):
    yield apply_preprocessing(fitted, rows)
