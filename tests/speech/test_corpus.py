"""Finding and reading utterances: both layouts, and every fault by name."""

import builtins
import re
import struct

import numpy as np
import pytest
import small_timit
from small_timit import SAMPLE, make_samples, riff, sphere, write

from shallow_mimic import errors
from shallow_mimic.speech import audio, corpus, phones, transcripts

NAME = 'dr1-fvmh0/si1'


def _refused(message):
  return pytest.raises(errors.UserError, match=f'^{re.escape(message)}$')


# Finding --------------------------------------------------------------------


@pytest.mark.parametrize(
    ('name', 'portion', 'dialect'),
    [('TRAIN/DR1/FVMH0/SI1', 'train', 'dr1'),
     ('timit/test/dr8/fvmh0/si1', 'test', 'dr8'),
     ('data/TIMIT/TRAIN/DR3/FVMH0/SX12', 'train', 'dr3'),
     ('dr4-fvmh0/sx12', 'sample', 'dr4'),
     ('corpora/timit/dr4-fvmh0/sx12', 'sample', 'dr4')])
def test_layouts(tmp_path, name, portion, dialect):
  phn = small_timit.write_utterance(tmp_path, name)
  [entry] = corpus.find_entries(tmp_path)
  assert entry[:4] == (
      'fvmh0', name.rpartition('/')[2].lower(), dialect, portion)
  assert entry.phones == phn
  assert entry.audio.with_suffix('') == phn.with_suffix('')
  assert entry.name == f'fvmh0-{entry.sentence}'


def test_order_and_what_is_left_out(tmp_path):
  for name in ('dr2-mabc0/sx9', 'dr1-mabd0/si2', 'dr2-mabc0/sa1',
               'dr2-mabc0/sa2', 'dr2-mabc0/si10', 'dr2-mabc0/._si10',
               'dr9-mabc0/si10', 'other/si10', 'dr2-mabc0/deep/si11'):
    small_timit.write_utterance(tmp_path, name)
  write(tmp_path / 'dr2-mabc0/sx9.txt', 'text')
  assert [entry.name for entry in corpus.find_entries(tmp_path)] == [
      'mabc0-si10', 'mabc0-sx9', 'mabd0-si2']


def test_a_part_of_the_corpus(tmp_path, monkeypatch):
  small_timit.write_utterance(tmp_path, 'TIMIT/TRAIN/DR1/FVMH0/SI1')
  whole = corpus.find_entries(tmp_path)
  for part in ('TIMIT', 'TIMIT/TRAIN', 'TIMIT/TRAIN/DR1/FVMH0'):
    assert corpus.find_entries(tmp_path / part) == whole
  monkeypatch.chdir(tmp_path / 'TIMIT/TRAIN')
  assert [entry[:4] for entry in corpus.find_entries('.')] == [
      entry[:4] for entry in whole]


def test_the_copies_of_some_mirrors(tmp_path):
  folder = tmp_path / 'TRAIN/DR1/FVMH0'
  write(folder / 'SI1.WAV.wav', riff(make_samples()))
  write(folder / 'SI1.PHN', small_timit.PHN)
  [entry] = corpus.find_entries(tmp_path)
  assert entry.audio == folder / 'SI1.WAV.wav'
  write(folder / 'SI1.WAV', sphere(make_samples()))
  [entry] = corpus.find_entries(tmp_path)
  assert entry.audio == folder / 'SI1.WAV'


def test_links_are_followed_once(tmp_path):
  small_timit.write_utterance(tmp_path / 'there', NAME)
  (tmp_path / 'here').mkdir()
  (tmp_path / 'here/link').symlink_to(tmp_path / 'there')
  (tmp_path / 'there/back').symlink_to(tmp_path / 'here')
  assert len(corpus.find_entries(tmp_path / 'here')) == 1


def test_missing_folder(tmp_path):
  folder = tmp_path / 'none'
  with _refused(f'there is no folder {folder}; give the one that holds TIMIT'):
    corpus.find_entries(folder)


def test_empty_folder(tmp_path):
  write(tmp_path / 'dr1-fvmh0/notes.txt', '')
  with _refused(
      f'there are no utterances in {tmp_path}; expected are'
      ' TRAIN/DR1/FCJF0/SI648.WAV and .PHN (LDC) or dr1-fvmh0/si836.wav and'
      ' .phn (NLTK)'):
    corpus.find_entries(tmp_path)


def test_speaker_in_two_portions(tmp_path):
  small_timit.write_utterance(tmp_path, 'TRAIN/DR1/FVMH0/SI1')
  small_timit.write_utterance(tmp_path, 'TEST/DR1/FVMH0/SI2')
  second = tmp_path / 'TEST/DR1/FVMH0/SI2.WAV'
  with _refused('speaker fvmh0 is in two portions, train and test'
                f' ({second}); keep one of them'):
    corpus.find_entries(tmp_path)


@pytest.mark.parametrize(
    ('first', 'second'),
    [('A/TRAIN/DR1/FVMH0/SI1', 'B/TRAIN/DR1/FVMH0/SI1'),
     ('dr1-fvmh0/si1', 'dr2-fvmh0/si1')])
def test_an_utterance_twice(tmp_path, first, second):
  paths = [small_timit.write_utterance(tmp_path, name).with_suffix(
      '.WAV' if name.isupper() else '.wav') for name in (first, second)]
  if first.isupper():  # Phone files are met first.
    paths = [path.with_suffix('.PHN') for path in paths]
  with _refused(f'{paths[1]} and {paths[0]} are one utterance, twice'):
    corpus.find_entries(tmp_path)


# Reading --------------------------------------------------------------------


@pytest.mark.parametrize('encode', [
    riff, sphere, lambda samples: sphere(samples, big_endian=True)])
@pytest.mark.parametrize('name', ['dr1-fvmh0/si1', 'TEST/DR1/FVMH0/SI1'])
def test_an_utterance_is_read(tmp_path, encode, name):
  samples = make_samples()
  small_timit.write_utterance(tmp_path, name, encode(samples))
  [entry] = corpus.find_entries(tmp_path)
  utterance = corpus.read_utterance(entry)
  assert utterance[:4] == entry[:4] and utterance.name == 'fvmh0-si1'
  np.testing.assert_array_equal(utterance.samples, samples)
  assert utterance.samples.dtype == np.int16
  told = [phones.PHONES[phone] for phone in utterance.segments.phones]
  assert told == ['h#', 'aa', 'h#']
  np.testing.assert_array_equal(utterance.segments.starts, [0, 200, 700])
  np.testing.assert_array_equal(utterance.segments.stops, [200, 700, 980])
  assert {array.dtype for array in utterance.segments} == {np.dtype(np.int32)}


def test_extra_chunks_of_a_wav(tmp_path):
  data = riff(make_samples())
  extra = b'LIST' + struct.pack('<I', 3) + b'abc\0'
  path = write(tmp_path / 'x.wav', data[:12] + extra + data[12:] + extra)
  np.testing.assert_array_equal(audio.read_samples(path), make_samples())
  write(path, data[:12] + extra + data[12:-100])
  with _refused(f'{path}: its header promises 1000 samples, it holds 950'):
    audio.read_samples(path)


def test_shortest_recording(tmp_path):
  path = write(tmp_path / 'x.wav', riff(make_samples(400)))
  assert audio.read_samples(path).shape == (400,)


@pytest.mark.parametrize(
    ('data', 'fault'),
    [
        (riff(make_samples(399)),
         ' has 399 samples, less than one window of 25 ms (400)'),
        (riff([]), ' has 0 samples, less than one window of 25 ms (400)'),
        (riff(make_samples(), rate=8000),
         ' is sampled at 8000 Hz; 16000 Hz are needed'),
        (riff(make_samples(), channels=2), ' has 2 channels; one is needed'),
        (riff(np.zeros(1000, np.int32), width=4),
         ' holds samples of type PCM_32; 16-bit PCM is needed'),
        (riff(make_samples())[:-100],
         ': its header promises 1000 samples, it holds 950'),
        (riff(make_samples())[:-1],
         ': its header promises 1000 samples, it holds 999'),
        (sphere(make_samples())[:-100],
         ': its header promises 1000 samples, it holds 950'),
        (sphere(make_samples(), count=1200),
         ': its header promises 1200 samples, it holds 1000'),
        (sphere(make_samples(), count=900),
         ': its header promises 900 samples, it holds 1000'),
        (sphere(make_samples(), rate=8000),
         ' is sampled at 8000 Hz; 16000 Hz are needed'),
        (sphere(make_samples(), channels=2), ' has 2 channels; one is needed'),
        (sphere(make_samples(), coding='pcm,embedded-shorten-v2.00'),
         ' is a SPHERE file compressed with shorten; decompress it:'
         ' sph2pipe -f wav OLD NEW'),
        (sphere(make_samples()).replace(b'sample_count', b'sample_xxxxx'),
         ' has a damaged SPHERE header'),
        (b'NIST_1A\n', ' has a damaged SPHERE header'),
        (b'NIST_1A\n1024\nsample_count -i ten\n',
         ' has a damaged SPHERE header'),
        (b'', ' is neither a wav nor a SPHERE file that can be read'),
        (b'RIFF', ' is neither a wav nor a SPHERE file that can be read'),
        (b'no sound', ' is neither a wav nor a SPHERE file that can be read'),
    ])
def test_damaged_audio(tmp_path, data, fault):
  path = write(tmp_path / 'x.wav', data)
  with _refused(f'{path}{fault}'):
    audio.read_samples(path)


def test_missing_files(tmp_path):
  phn = small_timit.write_utterance(tmp_path, NAME)
  [entry] = corpus.find_entries(tmp_path)
  phn.unlink()
  assert corpus.find_entries(tmp_path) == [entry]
  with _refused(
      f'{phn} is missing; it must list the phones of {entry.audio}'):
    corpus.read_utterance(entry)
  write(phn, small_timit.PHN)
  entry.audio.unlink()
  assert corpus.find_entries(tmp_path) == [entry]
  with _refused(f'{entry.audio} is missing'):
    corpus.read_utterance(entry)


def test_a_folder_instead_of_a_file(tmp_path):
  with _refused(f'cannot read {tmp_path}: Is a directory; have a file there,'
                ' then run the same command again: what was finished is kept'):
    audio.read_samples(tmp_path)


def test_without_soundfile(tmp_path, monkeypatch):
  known = builtins.__import__

  def without(name, *rest):
    if name == 'soundfile':
      raise ImportError(name)
    return known(name, *rest)

  monkeypatch.setattr(builtins, '__import__', without)
  with _refused(
      'reading speech needs the package `soundfile`, which is not installed;'
      ' run: pip install "shallow-mimic[speech]"'):
    audio.read_samples(write(tmp_path / 'x.wav', riff(make_samples())))


# Phones ---------------------------------------------------------------------


def _segments(tmp_path, text, samples=1000):
  return transcripts.read_segments(write(tmp_path / 'x.phn', text), samples)


@pytest.mark.parametrize(
    ('text', 'line', 'fault'),
    [
        ('0 200 h#\n201 980 aa', 2,
         'a gap: the phone starts at 201, the one before it stops at 200'),
        ('0 200 h#\n\n199 980 aa', 3,
         'an overlap: the phone starts at 199, the one before it stops at'
         ' 200'),
        ('0 200 h#\n200 980 xx', 2, "'xx' is none of the 61 phones of TIMIT"),
        ('0 200 h#\n200 aa', 2, "'200 aa' is not `start stop phone`"),
        ('0 200 h# x', 1, "'0 200 h# x' is not `start stop phone`"),
        ('0 2e2 h#', 1, "'0 2e2 h#' is not `start stop phone`"),
        ('-5 200 h#', 1, "'-5 200 h#' is not `start stop phone`"),
        ('0 99999999999 h#', 1,
         "'0 99999999999 h#' is not `start stop phone`"),
        ('0 200 h#\n200 200 aa', 2,
         'the phone starts at 200 and stops at 200'),
        ('0 200 h#\n200 100 aa', 2,
         'the phone starts at 200 and stops at 100'),
        ('0 200 h#\n200 1401 aa', 2,
         'the phone stops at 1401, past the end of the recording (1000'
         ' samples)'),
        ('0 1000 h#\n1000 1100 aa', 2,
         'the phone stops at 1100, past the end of the recording (1000'
         ' samples)'),
    ])
def test_damaged_phones(tmp_path, text, line, fault):
  with _refused(f'{tmp_path / "x.phn"}, line {line}: {fault}'):
    _segments(tmp_path, text)


@pytest.mark.parametrize('text', ['', '\n \r\n'])
def test_empty_phones(tmp_path, text):
  with _refused(f'{tmp_path / "x.phn"} is empty; it must list the phones'):
    _segments(tmp_path, text)


def test_unlabelled_edges(tmp_path):
  path = tmp_path / 'x.phn'
  read = _segments(tmp_path, '16000 16500 h#', 32_500)
  assert (read.starts[0], read.stops[0]) == (16_000, 16_500)
  with _refused(f'{path}: the first phone starts only at 16001, more than a'
                ' second into the recording'):
    _segments(tmp_path, '16001 16500 h#', 17_000)
  with _refused(f'{path}: the last phone stops at 500, more than a second'
                ' before the end of the recording (16501 samples)'):
    _segments(tmp_path, '0 500 h#', 16_501)


def test_a_slight_overrun_is_cut(tmp_path):
  read = _segments(tmp_path, '0 999 h#\r\n999 1400 AA\r\n')
  np.testing.assert_array_equal(read.stops, [999, 1000])
  np.testing.assert_array_equal(read.phones, [27, 0])


# The genuine sample ---------------------------------------------------------


@small_timit.needs_sample
def test_the_sample_is_read_whole():
  utterances = [corpus.read_utterance(entry)
                for entry in corpus.find_entries(SAMPLE)]
  assert len(utterances) == 128
  assert len({utterance.speaker for utterance in utterances}) == 16
  assert {utterance.portion for utterance in utterances} == {'sample'}
  assert sum(len(item.samples) for item in utterances) == 6_243_071
  every = np.concatenate([item.segments.phones for item in utterances])
  assert len(every) == 4988 and len(set(every)) == 61
  [odd] = [item for item in utterances if item.name == 'fvmh0-si836']
  assert len(odd.samples) == 68_813  # SPHERE, whatever its name says.


@small_timit.needs_sample
def test_all_160_transcripts_are_accepted():
  paths = sorted(SAMPLE.glob('dr*/*.phn'))
  assert len(paths) == 160
  count = 0
  for path in paths:
    samples = audio.read_samples(path.with_suffix('.wav'))
    segments = transcripts.read_segments(path, len(samples))
    assert segments.starts[0] == 0
    assert 0 <= len(samples) - segments.stops[-1] <= 2802
    count += len(segments.phones)
  assert count == 6185


@small_timit.needs_sample
def test_the_sample_in_the_layout_of_the_ldc(tmp_path):
  entries = corpus.find_entries(SAMPLE)
  originals = [corpus.read_utterance(entry) for entry in entries]
  for entry, item in zip(entries, originals, strict=True):
    stem = (tmp_path / 'TIMIT/TRAIN' / entry.dialect.upper()
            / entry.speaker.upper() / entry.sentence.upper())
    write(stem.with_suffix('.WAV'), sphere(item.samples))
    write(stem.with_suffix('.PHN'), entry.phones.read_bytes())
  copies = [corpus.read_utterance(entry)
            for entry in corpus.find_entries(tmp_path)]
  assert len(copies) == len(originals)
  for copy, item in zip(copies, originals, strict=True):
    assert copy[:4] == (*item[:3], 'train')
    np.testing.assert_array_equal(copy.samples, item.samples)
    for mine, theirs in zip(copy.segments, item.segments, strict=True):
      np.testing.assert_array_equal(mine, theirs)
