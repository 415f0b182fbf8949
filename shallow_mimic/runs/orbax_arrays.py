"""Leaves as named NumPy arrays in a folder, through Orbax without its chatter.

The only file that names Orbax. It notices no damage: `checkpoints` does.
"""

from __future__ import annotations

import contextlib
import logging as std_logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from shallow_mimic.runs import refusals

_PATIENCE = 10.0  # Seconds.


def write_arrays(
    folder: os.PathLike | str, arrays: dict[str, np.ndarray]
) -> None:
  """Writes arrays of any shape to a new folder and waits for the disk.

  Args:
    folder: an absolute path that is not there yet.
    arrays: by name; numbers or booleans in the machine's byte order.

  Raises:
    OSError: the disk is full or the folder cannot be written.
    MemoryError, RuntimeError: no more memory, or threads, can be had.
  """
  # Orbax refuses arrays without elements; their types and shapes are kept.
  tree = {
      'full': {name: a for name, a in arrays.items() if a.size},
      'empty': {name: {str(a.dtype): np.asarray(a.shape)}
                for name, a in arrays.items() if not a.size},
  }
  try:
    with refusals.uncovered(), _open_orbax() as orbax:
      orbax.save(folder, args=ocp.args.PyTreeSave(tree))
  except ValueError as error:
    # Of what it wrote something was not there any more.
    raise OSError(_say('write', error)) from error


def read_arrays(folder: os.PathLike | str) -> dict[str, np.ndarray]:
  """Reads what `write_arrays` wrote, as far as Orbax can tell.

  Raises:
    ValueError: Orbax cannot read the folder; one line says why.
    RefusedError, MemoryError, RuntimeError: the machine refuses it.
  """
  try:
    with _open_orbax() as orbax:
      tree = orbax.restore(folder, args=ocp.args.PyTreeRestore())
    empty = {name: np.zeros(shape, dtype)
             for name, spec in tree['empty'].items()
             for dtype, shape in spec.items()}
    arrays = tree['full'] | empty
    return {k: v for k, v in arrays.items() if isinstance(v, np.ndarray)}
  except Exception as error:
    refusals.raise_refusal(folder, error)
    # Damaged files make Orbax raise errors of many types, KeyError among them.
    raise ValueError(_say('read', error)) from error


def _say(doing: str, error: Exception) -> str:
  reason = str(error).partition('\n')[0][:200]
  return f'Orbax cannot {doing} it: {type(error).__name__}: {reason}'


def to_array(name: str, leaf: Any) -> np.ndarray:
  """A leaf's numbers on the host; of a typed key its `key_data`.

  Raises:
    TypeError: neither a number nor an array of numbers.
  """
  array = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
  kinds = (np.number, np.bool_)
  if not array.dtype.isnative or not any(
      jax.dtypes.issubdtype(array.dtype, kind) for kind in kinds
  ):
    raise TypeError(
        f'leaf {name} is {array.dtype}; a checkpoint holds numbers and booleans'
        ' in the byte order of the machine'
    )
  return array


def from_array(array: np.ndarray, like: Any) -> np.ndarray | jax.Array:
  """The array itself, or a typed key where `like` is one."""
  if not _is_key(like):
    return array
  kinds = []  # `key_impl` takes no ShapeDtypeStruct, but eval_shape does.
  jax.eval_shape(lambda key: kinds.append(jax.random.key_impl(key)), like)
  return jax.random.wrap_key_data(jnp.asarray(array), impl=kinds[0])


def _is_key(leaf: Any) -> bool:
  return hasattr(leaf, 'dtype') and jax.dtypes.issubdtype(
      leaf.dtype, jax.dtypes.prng_key
  )


@contextlib.contextmanager
def _open_orbax() -> Iterator[ocp.Checkpointer]:
  """A checkpointer of this process alone, silent while it is open.

  Orbax logs some thirty lines a save and a traceback in each thread that
  fails; the caller tells what matters of that in one line. Compression is off:
  floats shrink by a tenth and take four times as long to write.
  """
  source = os.path.dirname(ocp.__file__) + os.sep

  def mine(record: Any) -> bool:
    return not record.pathname.startswith(source)

  me = jax.process_index()
  alone = ocp.options.MultiprocessingOptions(
      primary_host=me, active_processes={me}, barrier_sync_key_prefix=f'p{me}'
  )
  logging.get_absl_logger().addFilter(mine)
  try:
    handler = ocp.PyTreeCheckpointHandler(
        use_compression=False, multiprocessing_options=alone
    )
    with (_ignore_stragglers(),
          ocp.Checkpointer(handler, multiprocessing_options=alone) as orbax):
      yield orbax
  finally:
    logging.get_absl_logger().removeFilter(mine)


@contextlib.contextmanager
def _ignore_stragglers() -> Iterator[None]:
  """Silences what Orbax's helpers say of a block that failed.

  Its threads are waited for. Its futures, coroutines and event loops, and the
  threads of TensorStore, find only later that nobody waits for them: then it
  stays silent.
  """
  hook, asyncio = sys.unraisablehook, std_logging.getLogger('asyncio')

  def tell(unraisable: Any) -> None:
    if not re.search('Event loop is closed|_ssock', str(unraisable.exc_value)):
      hook(unraisable)

  def heard(record: std_logging.LogRecord) -> bool:
    return 'exception was never retrieved' not in record.getMessage()

  sys.unraisablehook = tell
  asyncio.addFilter(heard)
  try:
    yield
  except Exception:
    warnings.filterwarnings(
        'ignore', 'coroutine .* was never awaited|unclosed event loop')
    for thread in threading.enumerate():
      if type(thread).__module__.startswith('orbax'):
        threading.Thread.join(thread, _PATIENCE)  # Theirs raises.
    raise
  sys.unraisablehook = hook
  asyncio.removeFilter(heard)
