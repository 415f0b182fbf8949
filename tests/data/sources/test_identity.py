"""What of a configuration the data depend on, and what not."""

import dataclasses
import json

import pytest

from shallow_mimic import configs, data

SETS = {'v': {'kind': 'views', 'copies': 2, 'shift': 1}, 't': {
    'kind': 'tfds', 'name': 'inner_images', 'size': 3, 'data_dir': '/a'}}


def identify(**changes):
  config = configs.default_config()
  given = {'source': 'arrays', 'path': 'a.npz', 'transfer': SETS, **changes}
  config.data.update({key: value for key, value in given.items()
                      if '.' not in key})
  for key, value in given.items():
    if '.' in key:
      config.data.speech[key.partition('.')[2]] = value
  section = configs.read_config(config).data
  found = data.identify_settings(section)
  assert found == json.loads(json.dumps(found))
  assert found == data.identify_settings(config.data)  # As it is written, too.
  return found


@pytest.mark.parametrize('changes', [
    {'path': 'b.npz'}, {'data_dir': '/b'}, {'memory_gib': 0.5},
    {'input_shape': (3, 3), 'classes': 4, 'examples': 5},
    {'speech.realign': 2}, {'speech.aligner': 'CNN'},
    {'speech.reach': 3},  # Of a source that is none of speech.
    {'preprocessing': (('standardise', {}),)},
    {'transfer': {**SETS, 't': {**SETS['t'], 'data_dir': '/b'}}},
    {'transfer': {**SETS, 't': {**SETS['t'], 'dtype': 'float32',
                                'split': 'train', 'data_dir': None}}},
    {'transfer': {**SETS, 'v': {**SETS['v'], 'seed': 0, 'noise': 0.0}}},
    {'transfer': dict(reversed(SETS.items()))}], ids=str)
def test_places_and_what_equals_bits_are_no_settings(changes):
  assert identify(**changes) == identify()


@pytest.mark.parametrize('changes', [
    {'source': 'mnist1d', 'transfer': {}}, {'name': 'a'}, {'dev': 3},
    {'splits': {'dev': 'x'}}, {'limit_train': 9}, {'seed': 1}, {'folds': 2},
    {'preprocessing': ('gcn',)},
    {'preprocessing': (('zca', {'eps': 0.2}), 'standardise')},
    {'transfer': {'v': SETS['v']}},
    {'transfer': {**SETS, 'v': {**SETS['v'], 'shift': 2}}},
    {'transfer': {**SETS, 'v': {**SETS['v'], 'seed': 1}}},
    {'transfer': {**SETS, 'v': {**SETS['v'], 'dtype': 'float16'}}},
    {'transfer': {**SETS, 't': {**SETS['t'], 'name': 'other'}}}], ids=str)
def test_what_changes_the_data_is_a_setting(changes):
  assert identify(**changes) != identify()


SPEECH = {'source': 'timit', 'transfer': {
    'w': {'kind': 'wavs', 'path': '/a', 'size': 5},
    'v': {'kind': 'waveforms', 'views': ({'snr': 20.0},)}}}


@pytest.mark.parametrize(('changes', 'same'), [
    ({'speech.realign': 2}, True), ({'speech.aligner': 'CNN'}, True),
    ({'path': '/b'}, True), ({'examples': 100}, True),
    ({'transfer': {**SPEECH['transfer'], 'w': {
        'kind': 'wavs', 'path': '/b', 'size': 5}}}, True),
    *(({f'speech.{key}': 1}, False) for key in (
        'fold', 'folds', 'dev_speakers', 'train_speakers', 'reach')),
    ({'speech.damaged': 'skip'}, False),
    ({'transfer': {**SPEECH['transfer'], 'w': {
        'kind': 'wavs', 'path': '/a', 'size': 6}}}, False),
    ({'transfer': {**SPEECH['transfer'], 'v': {
        'kind': 'waveforms', 'views': ({'snr': 10.0},)}}}, False)], ids=str)
def test_settings_of_speech(changes, same):
  assert (identify(**{**SPEECH, **changes}) == identify(**SPEECH)) == same


def test_every_field_is_a_setting_or_said_to_be_none():
  """A new field counts until somebody says that it changes nothing."""
  fields = {field.name for field in dataclasses.fields(configs.Data)}
  found = identify(**SPEECH)
  assert fields - found.keys() == {
      'path', 'data_dir', 'memory_gib', 'input_shape', 'classes', 'examples'}
  speech = {field.name for field in dataclasses.fields(configs.Speech)}
  assert speech - found['speech'].keys() == {'realign', 'aligner'}
