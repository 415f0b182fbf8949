"""TIMIT prepared with TFDS: the same utterances back, and no stale copy."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import small_timit
from absl import logging
from machines import few_files

from shallow_mimic import errors
from shallow_mimic.data.sources import timit_builder
from shallow_mimic.runs import refusals
from shallow_mimic.speech import corpus

NAMES = ('dr1-fvmh0/si1', 'dr1-fvmh0/sx2', 'dr2-mabc0/si3')


def _refused(message):
  return pytest.raises(errors.UserError, match=f'^{re.escape(message)}$')


@pytest.fixture(name='folder')
def fixture_folder(tmp_path):
  for seed, name in enumerate(NAMES):
    samples = small_timit.make_samples(1000 + seed, seed)
    small_timit.write_utterance(
        tmp_path / 'timit', name, small_timit.riff(samples))
  return tmp_path / 'timit'


@pytest.fixture(name='warnings')
def fixture_warnings(monkeypatch):
  told = []

  def warn(text, *args):
    if logging.get_verbosity() >= logging.WARNING:  # TFDS's own are silenced.
      told.append(text % args)

  monkeypatch.setattr(logging, 'warning', warn)
  return told


def _assert_equal(read, expected):
  assert [item[:4] for item in read] == [item[:4] for item in expected]
  for mine, theirs in zip(read, expected, strict=True):
    for array, other in zip((mine.samples, *mine.segments),
                            (theirs.samples, *theirs.segments), strict=True):
      assert array.dtype == other.dtype
      np.testing.assert_array_equal(array, other)


def _directly(folder):
  return [corpus.read_utterance(entry)
          for entry in corpus.find_entries(folder)]


def test_what_is_read_back(folder, tmp_path, warnings):
  _assert_equal(
      timit_builder.read_timit(folder, tmp_path / 'cache'), _directly(folder))
  assert warnings == []


def test_the_prepared_copy_is_used(folder, tmp_path, monkeypatch):
  expected = timit_builder.read_timit(folder, tmp_path / 'cache')

  def refuse(entry):
    raise AssertionError('read anew')

  monkeypatch.setattr(timit_builder, 'read_utterance', refuse)
  _assert_equal(timit_builder.read_timit(folder, tmp_path / 'cache'), expected)


@pytest.mark.parametrize('change', ['phones', 'time', 'more', 'less'])
def test_a_changed_folder_is_read_anew(folder, tmp_path, change):
  timit_builder.read_timit(folder, tmp_path / 'cache')
  path = folder / 'dr1-fvmh0/si1.phn'
  if change == 'phones':
    path.write_text('0 980 sh\n', encoding='utf-8')
  elif change == 'time':  # Another phone, and not a byte more.
    text = path.read_text(encoding='utf-8').replace('aa', 'iy')
    path.write_text(text, encoding='utf-8')
    os.utime(path, ns=(1, 1))
  elif change == 'more':
    small_timit.write_utterance(folder, 'dr1-fvmh0/si9')
  else:
    path.unlink()
    path.with_suffix('.wav').unlink()
  _assert_equal(
      timit_builder.read_timit(folder, tmp_path / 'cache'), _directly(folder))


def test_the_digest_is_of_the_content(folder, tmp_path, monkeypatch):
  """A copy elsewhere, without its times, is the same: it is not read anew."""
  before = timit_builder.folder_digest(folder)
  expected = timit_builder.read_timit(folder, tmp_path / 'cache')
  copy = tmp_path / 'elsewhere' / 'copy'
  shutil.copytree(folder, copy, copy_function=shutil.copyfile)
  for path in copy.rglob('*'):
    os.utime(path, ns=(1, 1))
  assert timit_builder.folder_digest(copy) == before
  shutil.rmtree(folder)

  def refuse(entry):
    raise AssertionError('read anew')

  monkeypatch.setattr(timit_builder, 'read_utterance', refuse)
  _assert_equal(timit_builder.read_timit(copy, tmp_path / 'cache'), expected)


@pytest.mark.parametrize('suffix', ['.wav', '.phn'])
def test_a_changed_byte_is_another_digest(folder, suffix):
  """Neither the name, nor the size, nor the time of the file says so."""
  path = (folder / 'dr1-fvmh0/si1').with_suffix(suffix)
  os.utime(path, ns=(1, 1))
  before = timit_builder.folder_digest(folder)
  data = bytearray(path.read_bytes())
  data[-3] ^= 1
  path.write_bytes(data)
  os.utime(path, ns=(1, 1))
  changed = timit_builder.folder_digest(folder)
  assert changed != before
  path.unlink()
  assert timit_builder.folder_digest(folder) not in (before, changed)


def test_a_folder_that_was_moved_away(folder, tmp_path):
  folder.rename(tmp_path / 'away')
  with pytest.raises(errors.MissingError, match=f'no folder {folder};'):
    timit_builder.folder_digest(folder)
  folder.mkdir()  # A disk that is not mounted is an empty folder.
  with pytest.raises(errors.MissingError, match='there are no utterances in'):
    timit_builder.folder_digest(folder)


def test_another_folder_is_read_anew(folder, tmp_path):
  timit_builder.read_timit(folder, tmp_path / 'cache')
  small_timit.write_utterance(tmp_path / 'b', 'TRAIN/DR1/FVMH0/SI1')
  _assert_equal(timit_builder.read_timit(tmp_path / 'b', tmp_path / 'cache'),
                _directly(tmp_path / 'b'))


def test_damage_is_refused(folder, tmp_path):
  path = small_timit.write(folder / 'dr1-fvmh0/sx2.phn', '')
  message = (f'{path} is empty; it must list the phones; mend it, or set'
             " damaged = 'skip' to leave such utterances out")
  for _ in range(2):  # What was refused leaves no copy behind.
    with _refused(message):
      timit_builder.read_timit(folder, tmp_path / 'cache')


def test_damage_is_skipped_aloud_every_time(folder, tmp_path, warnings):
  path = folder / 'dr1-fvmh0/sx2.phn'
  path.unlink()
  expected = _all_but(folder, 'fvmh0-sx2')
  left_out = (f'TIMIT in {folder}: 1 of 3 utterances are damaged and left out:'
              ' fvmh0-sx2')
  _assert_equal(timit_builder.read_timit(
      folder, tmp_path / 'cache', damaged='skip'), expected)
  assert warnings == [
      f'left out fvmh0-sx2: {path} is missing; it must list the phones of'
      f' {path.with_suffix(".wav")}', left_out]
  _assert_equal(timit_builder.read_timit(
      folder, tmp_path / 'cache', damaged='skip'), expected)
  assert warnings[2:] == [left_out]
  with pytest.raises(errors.UserError, match='is missing'):
    timit_builder.read_timit(folder, tmp_path / 'cache')


def _all_but(folder, name):
  return [corpus.read_utterance(entry)
          for entry in corpus.find_entries(folder) if entry.name != name]


def test_nothing_but_damage(folder, tmp_path):
  for path in folder.glob('*/*.phn'):
    path.write_text('', encoding='utf-8')
  path = folder / 'dr1-fvmh0/si1.phn'
  with _refused('all 3 utterances are damaged; left out fvmh0-si1:'
                f' {path} is empty; it must list the phones'):
    timit_builder.read_timit(folder, tmp_path / 'cache', damaged='skip')


def test_what_cannot_be_opened_now_is_not_left_out(folder, tmp_path):
  """Skipped is what is damaged; the copy would be without the rest for ever."""
  with pytest.raises(refusals.RefusedError, match='Too many open files; raise'):
    for count in range(99):
      with few_files(count):
        timit_builder.read_timit(folder, tmp_path / 'cache', damaged='skip')
  _assert_equal(timit_builder.read_timit(
      folder, tmp_path / 'cache', damaged='skip'), _directly(folder))


@pytest.mark.parametrize('damaged', ['skip', 'refuse'])
def test_an_utterance_that_is_refused_is_told_as_that(
    folder, tmp_path, monkeypatch, damaged):
  def refuse(entry):
    raise refusals.RefusedError('cannot read x: Input/output error')

  monkeypatch.setattr(timit_builder, 'read_utterance', refuse)
  with _refused('cannot read x: Input/output error'):
    timit_builder.read_timit(folder, tmp_path / 'cache', damaged=damaged)


def test_unknown_way_with_damage(folder, tmp_path):
  with _refused("damaged = 'mend' must be 'refuse' or 'skip'"):
    timit_builder.read_timit(folder, tmp_path, damaged='mend')


@pytest.mark.parametrize('damage', ['cut', 'gone', 'info', 'other'])
def test_a_damaged_copy_is_made_anew(folder, tmp_path, damage):
  timit_builder.read_timit(folder, tmp_path / 'cache')
  [record] = (tmp_path / 'cache').rglob('*.array_record*')
  if damage == 'cut':
    record.write_bytes(record.read_bytes()[:1000])
  elif damage == 'gone':
    record.unlink()
  elif damage == 'info':
    (record.parent / 'dataset_info.json').unlink()
  else:  # Of other sound, whole in itself.
    small_timit.write_utterance(tmp_path / 'b', 'dr1-fvmh0/si1')
    timit_builder.read_timit(tmp_path / 'b', tmp_path / 'other')
    [other] = (tmp_path / 'other').rglob('1.0.0')
    shutil.rmtree(record.parent)
    shutil.copytree(other, record.parent)
  _assert_equal(
      timit_builder.read_timit(folder, tmp_path / 'cache'), _directly(folder))


def test_damage_that_comes_back_is_told(folder, tmp_path, monkeypatch):
  def damaged(builder):
    raise RuntimeError('Corrupted file\nin many lines')

  monkeypatch.setattr(timit_builder, '_read', damaged)
  with _refused(f'cannot read back TIMIT from {tmp_path}: Corrupted file;'
                ' check that disk, or choose another folder'):
    timit_builder.read_timit(folder, tmp_path)


def test_folder_that_cannot_be_written(folder, tmp_path):
  cache = small_timit.write(tmp_path / 'file', '')
  with pytest.raises(errors.UserError, match=r'^cannot write .*file: [^\n]*$'):
    timit_builder.read_timit(folder, cache)


def test_full_disk_is_told_in_one_line(folder, tmp_path, monkeypatch):
  def full(self):
    raise RuntimeError('write() failed: No space left on device\n')

  monkeypatch.setattr(timit_builder.Timit, 'download_and_prepare', full)
  with pytest.raises(errors.UserError, match=(
      r'^cannot write [^\n]*: No space left on device; free [^\n]*$')):
    timit_builder.read_timit(folder, tmp_path / 'cache')


def test_progress_is_told(folder, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(timit_builder.Progress.__init__, '__kwdefaults__', {
      **timit_builder.Progress.__init__.__kwdefaults__, 'interval': 0.0})
  timit_builder.read_timit(folder, tmp_path / 'cache')
  lines = capsys.readouterr().out.splitlines()
  assert [line.split(',')[0] for line in lines] == [
      *(f'verify TIMIT: {done}/6' for done in range(1, 7)),
      *(f'read TIMIT: {done}/3' for done in (1, 2, 3))]


def test_needs_no_tensorflow_and_says_nothing(folder, tmp_path):
  program = (
      'import sys; from shallow_mimic.data.sources import timit_builder;'
      f' timit_builder.read_timit({str(folder)!r},'
      f' {str(tmp_path / "cache")!r});'
      " assert 'tensorflow' not in sys.modules")
  done = subprocess.run(
      [sys.executable, '-c', program], capture_output=True, text=True,
      check=True)
  assert (done.stdout, done.stderr) == ('', '')


@small_timit.needs_sample
def test_the_sample(tmp_path, warnings):
  read = timit_builder.read_timit(small_timit.SAMPLE, tmp_path)
  assert len(read) == 128 and warnings == []
  _assert_equal(read, _directly(small_timit.SAMPLE))
