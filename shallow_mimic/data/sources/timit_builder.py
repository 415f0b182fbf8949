"""TIMIT as a TFDS builder: read once from its folder, then from ArrayRecord.

The prepared copy is kept under a digest of what the folder's files hold, so a
changed folder is prepared anew, and one that was moved is not. Files are
read one utterance at a time; to prepare 3,696 of 3.1 s and read them back was
measured to take 4 s and 0.55 GB.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from shallow_mimic import errors
from shallow_mimic.data.sources import prepared
from shallow_mimic.data.sources.digests import digest_files, digest_readable
from shallow_mimic.data.sources.tfds_reader import open_records
from shallow_mimic.runs import files, refusals
from shallow_mimic.runs.progress import Progress
from shallow_mimic.speech.corpus import (
  Entry,
  Utterance,
  find_entries,
  read_utterance,
)
from shallow_mimic.speech.transcripts import Segments

_IDS = Utterance._fields[:4]
_NAMED = 5  # Left-out utterances that a warning names.


@dataclasses.dataclass(eq=False, kw_only=True)
class TimitConfig(tfds.core.BuilderConfig):
  """The utterances to read, and whether damaged ones are skipped."""

  entries: Sequence[Entry] = dataclasses.field(default=(), repr=False)
  skip_damaged: bool = False


class Timit(tfds.core.GeneratorBasedBuilder):
  """The utterances of a folder without `sa1` and `sa2`, in one split.

  Features: `speaker`, `sentence`, `dialect`, `portion`, `samples` [L] int16,
  and the segments `phones`, `starts`, `stops` [n] int32.
  """

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS: ClassVar = [TimitConfig(
      name='empty', description='No folder, no utterances.')]
  told: Progress | None = None

  def _info(self) -> tfds.core.DatasetInfo:
    def tensor(dtype: type) -> tfds.features.Tensor:
      return tfds.features.Tensor(
          shape=(None,), dtype=dtype,
          encoding=tfds.features.Encoding.BYTES)

    features = {key: tfds.features.Text() for key in _IDS}
    features |= {key: tensor(np.int32) for key in Segments._fields}
    return tfds.core.DatasetInfo(
        builder=self,
        description='TIMIT (or a part of it) with its hand-timed phones.',
        features=tfds.features.FeaturesDict(
            {**features, 'samples': tensor(np.int16)}),
        homepage='https://catalog.ldc.upenn.edu/LDC93S1',
        disable_shuffling=True,  # By speaker and sentence.
    )

  def _split_generators(self, dl_manager: object) -> dict:
    del dl_manager
    return {'utterances': self._generate_examples()}

  def _generate_examples(self) -> Iterator[tuple[int, dict]]:
    self.skipped = []
    for index, entry in enumerate(self.builder_config.entries):
      try:
        utterance = read_utterance(entry)
      except refusals.RefusedError:
        raise
      except errors.UserError as error:
        if not self.builder_config.skip_damaged:
          raise errors.UserError(
              f"{error}; mend it, or set damaged = 'skip' to leave such"
              ' utterances out') from error
        self.skipped.append(f'left out {entry.name}: {error}')
        continue
      finally:
        if self.told:
          self.told.update(index + 1)
      yield index, {
          **dict(zip(_IDS, utterance, strict=False)),
          'samples': utterance.samples, **utterance.segments._asdict()}
    if len(self.skipped) == len(self.builder_config.entries):
      raise errors.UserError(
          f'all {len(self.skipped)} utterances are damaged; {self.skipped[0]}')


def read_timit(
    folder: os.PathLike | str,
    cache_dir: os.PathLike | str,
    *,
    damaged: str = 'refuse',
) -> list[Utterance]:
  """Reads every utterance of a TIMIT folder but `sa1` and `sa2`.

  The first time a copy is prepared under `cache_dir`, see
  `prepared.open_copy`.

  Args:
    folder: in the LDC's layout or the NLTK sample's; see `find_entries`.
    cache_dir: a TFDS data folder; it is made where missing.
    damaged: 'refuse' a damaged or missing file, or 'skip' its utterance with
      a warning.

  Returns:
    The utterances by speaker and sentence; portions mixed.

  Raises:
    UserError: nothing there, a damaged file, or the cache cannot be written.
  """
  if damaged not in ('refuse', 'skip'):
    raise errors.UserError(
        f"damaged = {damaged!r} must be 'refuse' or 'skip'")
  entries = find_entries(folder)
  builder = _prepare(entries, cache_dir, damaged)
  with prepared.clear_copy_errors('TIMIT', cache_dir):
    utterances = _read(builder)
  _warn_of_left_out(entries, utterances, folder)
  return utterances


def _prepare(
    entries: Sequence[Entry], cache_dir: os.PathLike | str, damaged: str
) -> Timit:
  digest = _digest(entries)
  config = TimitConfig(
      name=f'{damaged}_{digest[:16]}', entries=entries,
      skip_damaged=damaged == 'skip', description='The utterances of a folder.')
  return prepared.open_copy(Timit, cache_dir, config, {
      'damaged': damaged, 'files': digest}, _make)


def _make(builder: Timit) -> None:
  # TFDS is silenced below, so progress keeps the output there is now.
  write = None if sys.stdout.isatty() else functools.partial(
      print, file=sys.stdout, flush=True)
  total = len(builder.builder_config.entries)
  with Progress('read TIMIT', total, write=write) as told:
    builder.told = told
    prepared.prepare(builder)
  for line in builder.skipped:
    logging.warning('%s', line)


def folder_digest(folder: os.PathLike | str) -> str:
  """SHA-256 of what the files of the corpus hold."""
  return _digest(find_entries(folder))


def _digest(entries: Sequence[Entry]) -> str:
  """SHA-256 of who speaks what, in which sound and phones."""
  paths = [path for entry in entries for path in (entry.audio, entry.phones)]
  digests = iter(digest_files('TIMIT', paths, digest_readable))
  return files.digest_json([
      [*entry[:4], next(digests), next(digests)] for entry in entries])


def _read(builder: Timit) -> list[Utterance]:
  source = open_records(builder, 'utterances')
  return [_utterance(source[index]) for index in range(len(source))]


def _utterance(row: dict) -> Utterance:
  return Utterance(
      **{key: row[key].decode() for key in _IDS}, samples=row['samples'],
      segments=Segments(**{key: row[key] for key in Segments._fields}))


def _warn_of_left_out(
    entries: Sequence[Entry], utterances: Sequence[Utterance],
    folder: os.PathLike | str
) -> None:
  """Says so every time, not only when the copy was prepared."""
  there = {utterance.name for utterance in utterances}
  gone = [entry.name for entry in entries if entry.name not in there]
  if gone:
    more = ', …' if len(gone) > _NAMED else ''
    logging.warning(
        'TIMIT in %s: %d of %d utterances are damaged and left out: %s%s',
        folder, len(gone), len(entries), ', '.join(gone[:_NAMED]), more)
