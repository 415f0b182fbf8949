"""Little corpora in TIMIT's two layouts, written by hand for the tests."""

import wave

import numpy as np
import places
import pytest

SAMPLE = places.SHARED / 'data/timit_sample'
needs_sample = pytest.mark.skipif(
    not SAMPLE.is_dir(), reason=f'no NLTK TIMIT sample in {SAMPLE}')
PHN = '0 200 h#\n200 700 aa\n700 980 h#\n'


def make_samples(length=1000, seed=0):
  return np.random.default_rng(seed).integers(
      -30_000, 30_000, length).astype(np.int16)


def riff(samples, rate=16_000, channels=1, width=2):
  """Bytes of a wav file by the standard library's writer."""
  import io  # noqa: PLC0415
  buffer = io.BytesIO()
  with wave.open(buffer, 'wb') as file:
    file.setnchannels(channels)
    file.setsampwidth(width)
    file.setframerate(rate)
    file.writeframes(np.asarray(samples).tobytes())
  return buffer.getvalue()


def sphere(samples, *, count=None, rate=16_000, channels=1, coding='',
           big_endian=False):
  """Bytes of a NIST SPHERE file: a header of 1,024 bytes, then the samples."""
  count = len(samples) // channels if count is None else count
  lines = [
      'NIST_1A', '   1024', 'database_id -s5 TIMIT',
      f'channel_count -i {channels}', f'sample_count -i {count}',
      f'sample_rate -i {rate}', 'sample_n_bytes -i 2',
      f'sample_byte_format -s2 {"10" if big_endian else "01"}',
      'sample_sig_bits -i 16', 'end_head', '']
  if coding:
    lines.insert(3, f'sample_coding -s{len(coding)} {coding}')
  order = '>i2' if big_endian else '<i2'
  return ('\n'.join(lines).encode().ljust(1024)
          + np.asarray(samples).astype(order).tobytes())


def write(path, data):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(data.encode() if isinstance(data, str) else data)
  return path


def write_utterance(folder, name, audio=None, phn=PHN):
  """Writes `dr1-fvmh0/si1` or `TRAIN/DR1/FVMH0/SI1`, as its case says."""
  audio = riff(make_samples()) if audio is None else audio
  upper = name.isupper()
  write(folder / (name + ('.WAV' if upper else '.wav')), audio)
  return write(folder / (name + ('.PHN' if upper else '.phn')), phn)
