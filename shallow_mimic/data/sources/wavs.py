"""Recordings that nobody has labelled: all wav files below a folder.

RIFF wav or NIST SPHERE, 16 kHz, one channel, 16 bits, named `.wav` in any case
of letters. What a teacher labels must not be in dev or test: a recording that
shares a frame with one of theirs is left out as a whole.
"""

from __future__ import annotations

import os
import pathlib
from typing import NamedTuple

import numpy as np
from absl import logging

from shallow_mimic import errors
from shallow_mimic.data.dataset import row_digests
from shallow_mimic.data.sources.digests import digest_files, digest_readable
from shallow_mimic.data.utterances import Sequences, make_sequences
from shallow_mimic.runs import files, refusals
from shallow_mimic.runs.progress import Progress
from shallow_mimic.speech.audio import read_samples
from shallow_mimic.speech.features import compute_features

_NAMED = 5  # Left-out recordings that a warning names.


class Recordings(NamedTuple):
  """Frames [N, 123], and their utterances, which have no reference phones."""

  x: np.ndarray
  sequences: Sequences


def find_wavs(folder: os.PathLike | str) -> list[pathlib.Path]:
  """The wav files below a folder, in the order of their paths.

  Hidden ones (`._a.wav`) are left out.

  Raises:
    UserError: no such folder, or no wav file in it.
  """
  folder = pathlib.Path(folder).expanduser()
  if not os.path.isdir(folder):
    raise errors.MissingError(
        f'there is no folder {folder}; give the one that holds the wav files')
  found = sorted(
      path for path in files.walk_files(folder)
      if path.suffix.lower() == '.wav' and not path.name.startswith('.'))
  if not found:
    raise errors.MissingError(f'there are no wav files in {folder}')
  return found


def folder_digest(folder: os.PathLike | str) -> str:
  """SHA-256 of the wav files and of their paths below the folder."""
  folder, paths = pathlib.Path(folder).expanduser(), find_wavs(folder)
  return files.digest_json([
      [path.relative_to(folder).as_posix(), digest] for path, digest in zip(
          paths, digest_files(str(folder), paths, digest_readable),
          strict=True)])


def read_wavs(name: str, folder: os.PathLike | str, *, size: int = 0,
              damaged: str = 'refuse',
              held_out: tuple[np.ndarray, ...] = ()) -> Recordings:
  """Features of the recordings below a folder.

  Args:
    name: of the transfer set, for messages.
    folder: any layout.
    size: only the first so many frames, 0 for all; reading stops there.
    damaged: 'refuse' a damaged file, or 'skip' it with a warning.
    held_out: features [N, 123] of dev and test.

  Raises:
    UserError: nothing there, a damaged file, or nothing is left.
  """
  folder = pathlib.Path(folder).expanduser()
  paths = find_wavs(folder)
  barred = {row for x in held_out for row in row_digests(x)}
  kept, known, skipped, total = [], [], [], 0
  with Progress(f'read {folder}', len(paths)) as told:
    for number, path in enumerate(paths):
      try:
        x = compute_features(read_samples(path))
      except refusals.RefusedError:
        raise
      except errors.UserError as error:
        skipped.append(_skip(name, error, damaged))
        continue
      if not barred.isdisjoint(row_digests(x)):
        known.append(path)
        continue
      kept.append((path.relative_to(folder).as_posix(),
                   x[:size - total] if size else x))
      total += len(kept[-1][1])
      told.update(number + 1)
      if total == size:
        break
  _warn_of_left_out(name, paths, known, skipped)
  if not kept:
    raise errors.UserError(
        f'transfer set {name!r}: no recording in {folder} is left:'
        f' {len(skipped)} are damaged, {len(known)} are in dev or test, which'
        ' the teacher must not label for a student')
  names, frames = zip(*kept, strict=True)
  nothing = np.empty(0, np.int32)
  return Recordings(np.concatenate(frames), make_sequences(
      [len(part) for part in frames], [nothing] * len(kept), list(names)))


def _skip(name: str, error: errors.UserError, damaged: str) -> str:
  if damaged != 'skip':
    raise errors.UserError(
        f"transfer set {name!r}: {error}; mend it, or set damaged = 'skip' to"
        ' leave such recordings out') from error
  return str(error)


def _warn_of_left_out(name, paths, known, skipped) -> None:
  for line in skipped:
    logging.warning('transfer set %r: left out: %s', name, line)
  if known:
    more = ', …' if len(known) > _NAMED else ''
    logging.warning(
        'transfer set %r: %d of %d recordings are also in dev or test and were'
        ' left out: %s%s', name, len(known), len(paths),
        ', '.join(map(str, known[:_NAMED])), more)
