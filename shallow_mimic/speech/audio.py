"""One recording from RIFF wav or NIST SPHERE, told by content, not by name.

libsndfile reads the samples of a file that was cut short as far as they go,
without a word, so what the header promises is compared with what is there.
"""

from __future__ import annotations

import io
import os
import pathlib
import types
from typing import TYPE_CHECKING

import numpy as np

from shallow_mimic import errors
from shallow_mimic.runs import refusals
from shallow_mimic.speech.features import RATE, WINDOW

if TYPE_CHECKING:
  import soundfile

_SPHERE = b'NIST_1A'
_BYTES = 2  # of one 16-bit sample


def read_samples(path: os.PathLike | str) -> np.ndarray:
  """Reads one recording: 16 kHz, one channel, 16 bits.

  Returns:
    [L] int16, L at least one window of 25 ms.

  Raises:
    UserError: unreadable, cut short, compressed, of another rate, number of
      channels or type, or too short; or `soundfile` is not installed.
  """
  soundfile = _soundfile()
  data = read_file(path)
  promised = _promised_bytes(path, data)
  try:
    with soundfile.SoundFile(io.BytesIO(data)) as sound:
      _check_format(path, sound)
      samples = sound.read(dtype='int16')
  except soundfile.SoundFileError as error:
    raise errors.UserError(
        f'{path} is neither a wav nor a SPHERE file that can be read'
    ) from error
  if promised is not None and promised != _BYTES * len(samples):
    raise errors.UserError(
        f'{path}: its header promises {promised // _BYTES} samples, it holds'
        f' {len(samples)}')
  if len(samples) < WINDOW:
    raise errors.UserError(
        f'{path} has {len(samples)} samples, less than one window of 25 ms'
        f' ({WINDOW})')
  return samples


def read_file(path: os.PathLike | str) -> bytes:
  """A file's bytes; UserError that names it where it cannot be read."""
  try:
    return pathlib.Path(path).read_bytes()
  except FileNotFoundError as error:
    raise errors.UserError(f'{path} is missing') from error
  except OSError as error:
    raise refusals.explain('read', path, error) from error


def _soundfile() -> types.ModuleType:
  try:
    import soundfile  # noqa: PLC0415 - an extra that few need
  except (ImportError, OSError) as error:  # OSError: without libsndfile.
    raise errors.UserError(
        'reading speech needs the package `soundfile`, which is not installed;'
        ' run: pip install "shallow-mimic[speech]"') from error
  return soundfile


def _check_format(path: os.PathLike | str, sound: soundfile.SoundFile) -> None:
  if sound.samplerate != RATE:
    raise errors.UserError(
        f'{path} is sampled at {sound.samplerate} Hz; {RATE} Hz are needed')
  if sound.channels != 1:
    raise errors.UserError(
        f'{path} has {sound.channels} channels; one is needed')
  if sound.subtype != 'PCM_16':
    raise errors.UserError(
        f'{path} holds samples of type {sound.subtype}; 16-bit PCM is needed')


def _promised_bytes(path: os.PathLike | str, data: bytes) -> int | None:
  """Bytes of sound by the header's word; None if that says nothing."""
  if data.startswith(_SPHERE):
    return _promised_by_sphere(path, data)
  if data.startswith(b'RIFF'):
    return _promised_by_riff(data)
  return None


def _promised_by_riff(data: bytes) -> int | None:
  position = 12
  while position + 8 <= len(data):
    size = int.from_bytes(data[position + 4:position + 8], 'little')
    if data[position:position + 4] == b'data':
      return size
    position += 8 + size + size % 2
  return None


def _promised_by_sphere(path: os.PathLike | str, data: bytes) -> int:
  try:
    size = int(data.split(b'\n', 2)[1])
    lines = data[:size].decode('latin-1').split('end_head')[0].splitlines()
    fields = dict(line.split(None, 2)[::2] for line in lines[2:] if line)
    if 'shorten' in fields.get('sample_coding', ''):
      raise errors.UserError(
          f'{path} is a SPHERE file compressed with shorten; decompress it:'
          ' sph2pipe -f wav OLD NEW')
    return (int(fields['sample_count']) * int(fields['channel_count'])
            * int(fields['sample_n_bytes']))
  except (ValueError, KeyError, IndexError) as error:
    raise errors.UserError(
        f'{path} has a damaged SPHERE header') from error
