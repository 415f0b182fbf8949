"""Frames of TIMIT as a data set: splits, views, folds, labels, inputs."""

import types

import numpy as np
import pytest
import small_timit as small

from shallow_mimic import configs, errors
from shallow_mimic.data import pools, store
from shallow_mimic.data.sources import read, timit_builder
from shallow_mimic.data.sources import timit_frames as source
from shallow_mimic.speech import alignment, audio, features, phones
from shallow_mimic.speech import corpus as speech_corpus

SPEAKERS = tuple(f'{sex}abc{number}' for sex in 'fm' for number in range(4))
SPEECH = types.SimpleNamespace(
    fold=0, folds=2, dev_speakers=1, train_speakers=0, damaged='refuse',
    reach=2)
VIEWS = ({'speed': 0.9}, {'snr': 10.0})


@pytest.fixture(name='corpus', scope='module')
def make_corpus(tmp_path_factory):
  folder = tmp_path_factory.mktemp('corpus')
  for number, speaker in enumerate(SPEAKERS):
    for sentence in ('si1', 'sx2'):
      samples = small.make_samples(4000 + 160 * number, seed=number)
      end = len(samples) - 20
      small.write_utterance(
          folder, f'dr1-{speaker}/{sentence}', small.riff(samples),
          f'0 1000 h#\n1000 2500 aa\n2500 {end} s\n')
  return folder


def make_config(corpus, **changes):
  config = configs.default_config()
  config.data.update({'source': 'timit', 'path': str(corpus), 'folds': 2,
                      **changes})
  config.data.speech.update(vars(SPEECH))
  config.data.transfer = {'views': {'kind': 'waveforms', 'views': VIEWS}}
  return config.data


@pytest.fixture(name='dataset', scope='module')
def make_data(corpus, tmp_path_factory):
  return read.read_source(
      make_config(corpus), cache_dir=tmp_path_factory.mktemp('cache'))


def test_splits_are_by_speaker(dataset):
  speakers = {split: set(part.speakers)
              for split, part in dataset.sequences.items()}
  assert speakers['transfer.views'] == speakers['train']
  apart = [name for split in ('train', 'dev', 'test')
           for name in speakers[split]]
  assert sorted(apart) == sorted(SPEAKERS)


def test_inputs_are_frames_with_their_neighbours(dataset, corpus, tmp_path):
  assert dataset.input_shape == (features.STATIC, 5 * 3)
  assert dataset.classes == phones.STATES
  utterances = {f'{one.speaker}/{one.sentence}': one for one in
                timit_builder.read_timit(corpus, tmp_path)}
  raw = {name: features.compute_features(one.samples)
         for name, one in utterances.items()}
  names = dataset.sequences['train'].names
  x = np.concatenate([raw[name] for name in names])
  frames = (x - x.mean(0)) / x.std(0)
  got = pools.take(dataset.pool('train'), np.arange(len(x)))
  starts = dataset.sequences['train'].starts
  row = starts[1]  # The first frame of the second utterance repeats itself.
  window = frames[[row, row, row, row + 1, row + 2]].reshape(5, 3, 41)
  np.testing.assert_allclose(
      got[row], window.transpose(2, 0, 1).reshape(41, 15), atol=2e-3)
  one = utterances[names[1]]
  want = alignment.frame_states(*one.segments, len(raw[names[1]]))
  np.testing.assert_array_equal(
      dataset.train.y[row:row + len(want)], want)


def test_the_layout_of_the_ldc_gives_the_same_frames(corpus, tmp_path):
  for entry in speech_corpus.find_entries(corpus):
    samples = audio.read_samples(entry.audio)
    small.write_utterance(
        tmp_path / 'TIMIT', '/'.join(('TRAIN', *entry[2::-2], entry.sentence)
                                     ).upper(),
        small.sphere(samples), entry.phones.read_text(encoding='utf-8').upper())
  ours, theirs = (source.make_frames(
      timit_builder.read_timit(folder, tmp_path / 'cache'), {'fabc0': 1})
                  for folder in (corpus, tmp_path / 'TIMIT'))
  for one, other in zip((*ours[:2], ours.folds, *ours.sequences),
                        (*theirs[:2], theirs.folds, *theirs.sequences),
                        strict=True):
    np.testing.assert_array_equal(one, other)


def test_views_bring_their_labels_and_folds(dataset):
  train, views = (dataset.sequences[name]
                  for name in ('train', 'transfer.views'))
  assert views.names == 2 * train.names
  slower, noisy = np.split(np.diff(views.stops, prepend=0), 2)
  assert (slower > np.diff(train.stops, prepend=0)).all()
  np.testing.assert_array_equal(noisy, np.diff(train.stops, prepend=0))
  np.testing.assert_array_equal(
      dataset.transfer['views'].y[-len(dataset.train.y):], dataset.train.y)
  for part, folds in ((train, dataset.folds['train']),
                      (views, dataset.folds['transfer.views'])):
    known = sorted(set(train.speakers))
    want = [known.index(name) % 2 for name in part.speakers]
    np.testing.assert_array_equal(folds[part.starts], want)
    np.testing.assert_array_equal(folds[part.stops - 1], want)


def test_the_store_keeps_all_of_it(dataset, tmp_path):
  store.write_dataset(tmp_path, dataset)
  got = store.read_dataset(tmp_path)
  assert (got.fingerprint, got.reach) == (dataset.fingerprint, 2)
  for split, part in dataset.sequences.items():
    theirs = got.sequences[split]
    assert theirs.names == part.names
    for one, other in zip(part[:3], theirs[:3], strict=True):
      np.testing.assert_array_equal(one, other)
  for split, folds in dataset.folds.items():
    np.testing.assert_array_equal(got.folds[split], folds)


def test_recordings_without_labels(dataset, corpus, tmp_path):
  """The corpus as its own transfer set: all but the held-out speakers."""
  config = make_config(corpus)
  config.transfer = {'own': {'kind': 'wavs', 'path': str(corpus)},
                     'less': {'kind': 'wavs', 'path': str(corpus), 'size': 50}}
  made = read.read_source(config, cache_dir=tmp_path)
  own, train = made.sequences['transfer.own'], made.sequences['train']
  assert own.names == tuple(
      f'dr1-{name}.wav' for name in train.names)
  np.testing.assert_array_equal(own.stops, train.stops)
  np.testing.assert_array_equal(made.transfer['own'].x, made.train.x)
  np.testing.assert_array_equal(made.transfer['less'].x, made.train.x[:50])
  assert (made.transfer['own'].y == -1).all() and own.phones.size == 0
  assert (made.folds['transfer.own'] == -1).all()
  np.testing.assert_array_equal(
      made.fitted.steps[0].arrays['mean'],
      dataset.fitted.steps[0].arrays['mean'])
  store.write_dataset(tmp_path, made)
  got = store.read_dataset(tmp_path)
  assert got.sequences['transfer.own'].names == own.names
  assert len(got.sequences['transfer.own'].references) == len(own.names)


def test_the_digest_follows_the_recordings(corpus, tmp_path):
  config = make_config(corpus)
  config.transfer = {'own': {'kind': 'wavs', 'path': str(tmp_path)}}
  small.write(tmp_path / 'a.wav', small.riff(small.make_samples()))
  before = read.source_digest(config)
  small.write(tmp_path / 'b.wav', small.riff(small.make_samples()))
  assert before != read.source_digest(config)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'folds': 3}, 'config.data.folds is 3; it must be from 2 to the 1'
     ' training speakers'),
    ({'transfer': {'v': {'kind': 'views', 'copies': 1}}},
     "transfer set 'v': the data source 'timit' has the kinds 'waveforms' and"
     " 'wavs', not 'views'")])
def test_refusals(corpus, tmp_path, changes, message):
  config = make_config(corpus)
  config.unlock()
  for name, value in changes.items():
    config[name] = value
  config.speech.train_speakers = 1
  with pytest.raises(errors.UserError) as error:
    read.read_source(config, cache_dir=tmp_path)
  assert str(error.value) == message


def test_too_many_training_speakers(corpus, tmp_path):
  utterances = timit_builder.read_timit(corpus, tmp_path)
  speech = types.SimpleNamespace(**(vars(SPEECH) | {'train_speakers': 9}))
  with pytest.raises(errors.UserError) as error:
    source.split_utterances(utterances, speech, 0)
  assert str(error.value) == (
      'config.data.speech.train_speakers is 9; there are 3 training speakers'
      ' (0: all)')


def test_the_digest_follows_the_files(corpus, tmp_path):
  config = make_config(corpus)
  before = read.source_digest(config)
  assert before == read.source_digest(config)
  small.write_utterance(corpus, 'dr1-mabc0/sx3')
  assert before != read.source_digest(config)
