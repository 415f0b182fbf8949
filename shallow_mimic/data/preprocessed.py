"""Raw inputs as nets see them: in memory, or on disk, written part by part.

A part is one view of every training input, or all of a set that was read.
"""

from __future__ import annotations

import functools
import itertools
import os

import numpy as np

from shallow_mimic.data.parts import write_parts
from shallow_mimic.data.preprocessing import (
    Preprocessing,
    apply_preprocessing,
    iterate_preprocessed,
)
from shallow_mimic.data.views import Views


def make_preprocessed(fitted: Preprocessing, x: np.ndarray | Views,
                      path: os.PathLike | str | None) -> np.ndarray:
  """Inputs of float32, [N, …]: written to `path` and mapped; in memory if None.

  The same bits either way. What an interrupted run left at `path` is kept.

  Args:
    fitted: the preprocessing.
    x: [N, …], raw; views are made here, some rows at a time.
    path: of a `.npy` file.
  """
  makers = [functools.partial(iterate_preprocessed, fitted, x)]
  if isinstance(x, Views):
    makers = [functools.partial(_iterate_view, fitted, x, copy)
              for copy in range(x.copies)]
  if path:
    return write_parts(path, x.shape, np.float32, makers)
  made, start = np.empty(x.shape, np.float32), 0
  for rows in itertools.chain.from_iterable(make() for make in makers):
    made[start:start + len(rows)] = rows
    start += len(rows)
  return made


def _iterate_view(fitted, views, copy):
  for rows in views.chunks(copy):
    yield apply_preprocessing(fitted, rows)
