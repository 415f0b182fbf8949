"""TIMIT in a folder: which utterances there are, and one of them read.

Two layouts, in any case of letters: the LDC release,
`TRAIN|TEST/DR1-8/SPEAKER/SENTENCE.{WAV,PHN}`, perhaps below further folders,
and the sample that NLTK distributes, `drN-SPEAKER/SENTENCE.{wav,phn}`. The
sentences `sa1` and `sa2`, which every speaker reads, are left out.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from shallow_mimic import errors
from shallow_mimic.runs import files
from shallow_mimic.speech.audio import read_samples
from shallow_mimic.speech.transcripts import Segments, read_segments

_SPEAKER = r'(?P<speaker>[fm][a-z]{3}\d)'
_SENTENCE = r'(?P<sentence>s[ix]\d+)(?P<suffix>\.phn|\.wav|\.wav\.wav)'
_LDC = re.compile(
    rf'(?:.*/)?(?P<portion>train|test)/(?P<dialect>dr[1-8])/{_SPEAKER}/'
    rf'{_SENTENCE}')
_SAMPLE = re.compile(rf'(?:.*/)?(?P<dialect>dr[1-8])-{_SPEAKER}/{_SENTENCE}')


class Entry(NamedTuple):
  """Where an utterance lies. Ids are lower-case.

  speaker 'fvmh0', sentence 'si836', dialect 'dr1', portion 'train', 'test' or
  'sample'. One of the two files may be missing: reading tells.
  """

  speaker: str
  sentence: str
  dialect: str
  portion: str
  audio: pathlib.Path
  phones: pathlib.Path

  @property
  def name(self) -> str:
    """Names the utterance: 'fvmh0-si836'."""
    return f'{self.speaker}-{self.sentence}'


class Utterance(NamedTuple):
  """An utterance in memory: samples [L] int16 at 16 kHz, and its phones."""

  speaker: str
  sentence: str
  dialect: str
  portion: str
  samples: np.ndarray
  segments: Segments

  @property
  def name(self) -> str:
    """Names the utterance: 'fvmh0-si836'."""
    return f'{self.speaker}-{self.sentence}'


def find_entries(folder: os.PathLike | str) -> list[Entry]:
  """All utterances below a folder but `sa1` and `sa2`, by speaker, sentence.

  `folder` may also be a part of the corpus, as `TIMIT/TRAIN`. Of `SI836.WAV`
  and its copy `SI836.WAV.wav`, as some mirrors have it, the first is taken.

  Raises:
    UserError: no such folder, no utterances in it, one found twice, or a
      speaker in both portions.
  """
  if not os.fspath(folder):
    raise errors.UserError(
        'config.data.path is not set; say --config.data.path=FOLDER, the one'
        ' that holds TIMIT')
  folder = pathlib.Path(folder).expanduser()
  if not os.path.isdir(folder):
    raise errors.MissingError(
        f'there is no folder {folder}; give the one that holds TIMIT')
  found: dict[tuple[str, str, str, str], dict[str, pathlib.Path]] = {}
  for path, match in _matches(folder):
    portion = match.groupdict().get('portion', 'sample')
    key = (match['speaker'], match['sentence'], match['dialect'], portion)
    suffixes = found.setdefault(key, {})
    other = suffixes.setdefault(match['suffix'], path)
    if other != path:
      raise errors.UserError(f'{path} and {other} are one utterance, twice')
  if not found:
    raise errors.MissingError(
        f'there are no utterances in {folder}; expected are'
        ' TRAIN/DR1/FCJF0/SI648.WAV and .PHN (LDC) or dr1-fvmh0/si836.wav and'
        ' .phn (NLTK)')
  entries = [_entry(key, found[key]) for key in sorted(found)]
  _check_unique(entries)
  return entries


def read_utterance(entry: Entry) -> Utterance:
  """Reads the sound and the phones of one utterance.

  Raises:
    UserError: a file is missing or damaged; see `read_samples` and
      `read_segments`.
  """
  if not entry.phones.is_file():
    raise errors.UserError(
        f'{entry.phones} is missing; it must list the phones of {entry.audio}')
  samples = read_samples(entry.audio)
  segments = read_segments(entry.phones, len(samples))
  return Utterance(*entry[:4], samples, segments)


def _matches(
    folder: pathlib.Path
) -> Iterator[tuple[pathlib.Path, re.Match[str]]]:
  # The names above a part of the corpus tell what it is a part of.
  above = pathlib.Path(os.path.abspath(folder))
  for path in files.walk_files(folder):
    name = (above / path.relative_to(folder)).as_posix().lower()
    match = _LDC.fullmatch(name) or _SAMPLE.fullmatch(name)
    if match:
      yield path, match


def _entry(
    key: tuple[str, str, str, str], paths: dict[str, pathlib.Path]
) -> Entry:
  audio = paths.get('.wav', paths.get('.wav.wav'))
  phones = paths.get('.phn')
  # The message names a missing file in its neighbour's case of letters.
  if audio is None:
    phones = paths['.phn']
    audio = phones.with_suffix('.WAV' if phones.suffix.isupper() else '.wav')
  if phones is None:
    stem = audio.name.split('.')[0]
    phones = audio.with_name(
        stem + ('.PHN' if '.WAV' in audio.name else '.phn'))
  return Entry(*key, audio, phones)


def _check_unique(entries: Iterable[Entry]) -> None:
  seen: dict[str, Entry] = {}
  portions: dict[str, str] = {}
  for entry in entries:
    portion = portions.setdefault(entry.speaker, entry.portion)
    if portion != entry.portion:
      raise errors.UserError(
          f'speaker {entry.speaker} is in two portions, {portion} and'
          f' {entry.portion} ({entry.audio}); keep one of them')
    other = seen.setdefault(entry.name, entry)
    if other is not entry:
      raise errors.UserError(
          f'{entry.audio} and {other.audio} are one utterance, twice')
