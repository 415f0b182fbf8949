"""Recordings without labels: what is found, read, left out and refused."""

import os
import re

import numpy as np
import pytest
import small_timit as small
from machines import few_files

from shallow_mimic import errors
from shallow_mimic.data.sources import wavs
from shallow_mimic.runs import refusals
from shallow_mimic.speech import features

SKIP = "; mend it, or set damaged = 'skip' to leave such recordings out"


def _refused(message, kind=errors.UserError):
  return pytest.raises(kind, match=f'^{re.escape(message)}$')


@pytest.fixture(name='folder')
def fixture_folder(tmp_path):
  """Three recordings of 4, 7 and 10 frames, and what is none."""
  folder = tmp_path / 'wavs'
  small.write(folder / 'b.WAV', small.sphere(small.make_samples(1400, 1)))
  small.write(folder / 'deep/er/a.wav', small.riff(small.make_samples(1900, 2)))
  small.write(folder / 'a.wav', small.riff(small.make_samples(900, 0)))
  small.write(folder / '._a.wav', 'resource fork')
  small.write(folder / 'a.phn', small.PHN)
  return folder


def _features(length, seed):
  return features.compute_features(small.make_samples(length, seed))


def test_every_wav_below_the_folder(folder, warnings):
  read = wavs.read_wavs('own', folder)
  parts = [_features(900, 0), _features(1400, 1), _features(1900, 2)]
  np.testing.assert_array_equal(read.x, np.concatenate(parts))
  assert read.sequences.names == ('a.wav', 'b.WAV', 'deep/er/a.wav')
  assert read.sequences.stops.tolist() == [4, 11, 21]
  assert [len(said) for said in read.sequences.references] == [0, 0, 0]
  assert warnings == []


@pytest.mark.parametrize(('size', 'stops'), [
    (3, [3]), (4, [4]), (5, [4, 5]), (21, [4, 11, 21]), (99, [4, 11, 21])])
def test_size_is_a_number_of_frames(folder, size, stops):
  read = wavs.read_wavs('own', folder, size=size)
  assert read.sequences.stops.tolist() == stops
  np.testing.assert_array_equal(
      read.x, wavs.read_wavs('own', folder).x[:size])


def test_nothing_behind_the_size_is_read(folder):
  small.write(folder / 'z.wav', '')
  assert len(wavs.read_wavs('own', folder, size=21).x) == 21


def test_a_recording_of_dev_or_test_is_left_out(folder, warnings):
  # Only a piece of it is, and that behind other sound.
  sound = small.make_samples(4000, 1)
  small.write(folder / 'b.WAV', small.sphere(sound))
  piece = np.concatenate([small.make_samples(160, 7), sound[:3000]])
  held_out = features.compute_features(piece)
  for place in ((held_out, _features(900, 9)), (_features(900, 9), held_out)):
    read = wavs.read_wavs('own', folder, held_out=place)
    assert read.sequences.names == ('a.wav', 'deep/er/a.wav')
  assert warnings == 2 * [
      "transfer set 'own': 1 of 3 recordings are also in dev or test and were"
      f' left out: {folder}/b.WAV']


def test_all_of_them_in_test(folder):
  everything = wavs.read_wavs('own', folder).x
  with _refused(
      f"transfer set 'own': no recording in {folder} is left: 0 are damaged, 3"
      ' are in dev or test, which the teacher must not label for a student'):
    wavs.read_wavs('own', folder, held_out=(everything,))


@pytest.mark.parametrize(('data', 'fault'), [
    (small.riff(small.make_samples(), rate=8000),
     'is sampled at 8000 Hz; 16000 Hz are needed'),
    (small.riff(small.make_samples(), channels=2),
     'has 2 channels; one is needed'),
    (small.riff(small.make_samples(399)),
     'has 399 samples, less than one window of 25 ms (400)'),
    (b'', 'is neither a wav nor a SPHERE file that can be read')])
def test_damage_is_refused_or_skipped_by_name(folder, warnings, data, fault):
  path = small.write(folder / 'b.WAV', data)
  with _refused(f"transfer set 'own': {path} {fault}{SKIP}"):
    wavs.read_wavs('own', folder)
  read = wavs.read_wavs('own', folder, damaged='skip')
  assert read.sequences.names == ('a.wav', 'deep/er/a.wav')
  assert warnings == [f"transfer set 'own': left out: {path} {fault}"]


def test_what_cannot_be_opened_now_is_not_left_out(folder):
  with (few_files(0), pytest.raises(
      refusals.RefusedError, match='Too many open files; raise the limit')):
    wavs.read_wavs('own', folder, damaged='skip')


def test_nothing_but_damage(folder):
  for path in wavs.find_wavs(folder):
    path.write_bytes(b'')
  with _refused(
      f"transfer set 'own': no recording in {folder} is left: 3 are damaged, 0"
      ' are in dev or test, which the teacher must not label for a student'):
    wavs.read_wavs('own', folder, damaged='skip')


def test_nothing_there(tmp_path):
  with _refused(f'there is no folder {tmp_path}/none; give the one that holds'
                ' the wav files', errors.MissingError):
    wavs.find_wavs(tmp_path / 'none')
  small.write(tmp_path / 'a.phn', small.PHN)
  with _refused(f'there are no wav files in {tmp_path}', errors.MissingError):
    wavs.find_wavs(tmp_path)


def test_the_digest_follows_the_files(folder):
  before = wavs.folder_digest(folder)
  assert wavs.folder_digest(folder) == before
  (folder / 'a.wav').rename(folder / 'c.wav')
  assert wavs.folder_digest(folder) != before
  (folder / 'c.wav').rename(folder / 'a.wav')
  assert wavs.folder_digest(folder) == before
  for path in wavs.find_wavs(folder):
    os.utime(path, ns=(1, 1))
  moved = folder.rename(folder.with_name('moved'))
  assert wavs.folder_digest(moved) == before
  data = bytearray((moved / 'a.wav').read_bytes())
  data[-9] ^= 1  # Of the same size, as old.
  small.write(moved / 'a.wav', bytes(data))
  os.utime(moved / 'a.wav', ns=(1, 1))
  assert wavs.folder_digest(moved) != before
