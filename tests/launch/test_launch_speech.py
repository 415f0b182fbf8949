"""Damaged corpora as a user meets them: one line that names the file, status 2.

What each reader accepts is tested beside it; here, that nothing on the way to
the script swallows, wraps or repeats its line.
"""

import pytest
import small_timit as small
import tiny_speech
from scripts import check_refused

from launch import run

pytestmark = pytest.mark.filterwarnings(
    'ignore:the load_module:DeprecationWarning')
CONFIG = f'--config={tiny_speech.__file__}'
AUDIO, PHONES = 'dr1-fabc1/si1.wav', 'dr1-fabc1/si1.phn'
SAMPLES = small.make_samples(4000)
SKIP = "; mend it, or set damaged = 'skip' to leave such utterances out\n"

DAMAGE = {
    'too short': (AUDIO, small.riff(SAMPLES[:399]),
                  ' has 399 samples, less than one window of 25 ms (400)'),
    'a gap': (PHONES, '0 900 h#\n901 4000 aa\n', ', line 2: a gap: the phone'
              ' starts at 901, the one before it stops at 900'),
    'an overlap': (PHONES, '0 900 h#\n899 4000 aa\n', ', line 2: an overlap:'
                   ' the phone starts at 899, the one before it stops at 900'),
    'an unknown label': (PHONES, '0 900 h#\n900 4000 xyz\n', ", line 2: 'xyz'"
                         ' is none of the 61 phones of TIMIT'),
    'past the end': (PHONES, '0 900 h#\n900 4401 aa\n', ', line 2: the phone'
                     ' stops at 4401, past the end of the recording (4000'
                     ' samples)'),
    'a header that lies': (AUDIO, small.sphere(SAMPLES, count=5000), ': its'
                           ' header promises 5000 samples, it holds 4000'),
    'compressed': (AUDIO, small.sphere(
        SAMPLES, coding='pcm,embedded-shorten-v2.00'), ' is a SPHERE file'
                   ' compressed with shorten; decompress it: sph2pipe -f wav'
                   ' OLD NEW'),
    'another rate': (AUDIO, small.riff(SAMPLES, rate=8000),
                     ' is sampled at 8000 Hz; 16000 Hz are needed'),
    'two channels': (AUDIO, small.riff(SAMPLES, channels=2),
                     ' has 2 channels; one is needed'),
}


@pytest.fixture(name='corpus')
def fixture_corpus(tmp_path):
  folder = tiny_speech.write_corpus(tmp_path / 'corpus')
  small.write(folder / AUDIO, small.riff(SAMPLES))
  small.write(folder / PHONES, '0 900 h#\n900 4000 aa\n')
  return folder


@pytest.mark.parametrize('damage', DAMAGE)
def test_damage_is_refused(launch, corpus, damage):
  name, data, fault = DAMAGE[damage]
  path = small.write(corpus / name, data)
  result = launch(run.main, CONFIG, f'--config.data.path={corpus}')
  check_refused(result)
  assert result[2] == f'error: {path}{fault}{SKIP}'


@pytest.mark.parametrize('damage', ['a gap', 'another rate'])
def test_damage_is_skipped_by_name(launch, corpus, caplog, damage):
  name, data, fault = DAMAGE[damage]
  path = small.write(corpus / name, data)
  status, stdout, _ = launch(
      run.main, '--stages=data', CONFIG, f'--config.data.path={corpus}',
      '--config.data.speech.damaged=skip', '--workdir=here')
  assert status == 0 and stdout.endswith('data: done\n')
  assert caplog.messages == [
      f'left out fabc1-si1: {path}{fault}',
      f'TIMIT in {corpus}: 1 of 16 utterances are damaged and left out:'
      ' fabc1-si1']


def test_a_recording_without_labels(launch, corpus, tmp_path):
  path = small.write(tmp_path / 'own/a.wav', small.riff(SAMPLES, rate=44_100))
  own = f"{{'own': {{'kind': 'wavs', 'path': '{path.parent}'}}}}"
  config = small.write(tmp_path / 'mine.py', (
      'import tiny_speech\n'
      'def get_config():\n'
      '  config = tiny_speech.get_config()\n'
      f'  config.data.transfer = {own}\n'
      "  config.teachers.DNN.inputs = 'train'\n"
      "  config.students.curves['SNN-MIMIC'].inputs = 'train+own'\n"
      '  return config\n'))
  result = launch(
      run.main, f'--config={config}', f'--config.data.path={corpus}')
  check_refused(result)
  assert result[2] == (
      f"error: transfer set 'own': {path} is sampled at 44100 Hz; 16000 Hz are"
      " needed; mend it, or set damaged = 'skip' to leave such recordings"
      ' out\n')


def test_an_empty_folder(launch, tmp_path):
  (tmp_path / 'empty').mkdir()
  check_refused(
      launch(run.main, CONFIG, f'--config.data.path={tmp_path}/empty'),
      f'there are no utterances in {tmp_path}/empty; expected are')


def test_a_folder_that_is_not_there(launch, tmp_path):
  check_refused(
      launch(run.main, CONFIG, f'--config.data.path={tmp_path}/none'),
      f'there is no folder {tmp_path}/none')


def test_a_speaker_in_two_splits(launch, tmp_path):
  for name in ('TRAIN/DR1/FVMH0/SI1', 'TEST/DR1/FVMH0/SI2'):
    small.write_utterance(tmp_path / 'ldc', name)
  check_refused(
      launch(run.main, CONFIG, f'--config.data.path={tmp_path}/ldc'),
      'speaker fvmh0 is in two portions, ', f'{tmp_path}/ldc/T')


def test_a_file_that_is_missing(launch, corpus):
  (corpus / PHONES).unlink()
  check_refused(
      launch(run.main, CONFIG, f'--config.data.path={corpus}'),
      f'{corpus / PHONES} is missing; it must list the phones of'
      f' {corpus / AUDIO}')
