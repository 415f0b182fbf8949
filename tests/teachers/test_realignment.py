"""Labels found anew: the true times come back, and only train is relabelled."""

import shutil
import sys

import numpy as np
import pytest
import tiny_experiment
import tiny_speech
from work_dirs import read_all

from shallow_mimic import errors, pipeline, teachers
from shallow_mimic.data import mixtures, pools
from shallow_mimic.data.dataset import Examples, make_dataset
from shallow_mimic.data.utterances import make_sequences
from shallow_mimic.pipeline import validation
from shallow_mimic.runs import files, kept
from shallow_mimic.speech import alignment, hmm, phones
from shallow_mimic.teachers import realignment

# What is not put in place any more, and what the next start goes on with.
FATAL = [
    ('checkpoints/10', 'realign 1 from 9 of 20'),
    ('realignments/2/net', 'realign 2 from 20 of 20'),
    ('2/.labels.tmp/views.npy', 'realign 2: there already, verified'),
]


# One round, on states that are known ----------------------------------------


def make_truth(seed, utterances=70):
  """Random durations of every state, and the labels of a uniform split."""
  rng = np.random.default_rng(seed)
  said, truth, uniform = [], [], []
  for _ in range(utterances):
    spoken = rng.integers(0, len(phones.PHONES), rng.integers(1, 40))
    frames = rng.integers(1, 9, (len(spoken), phones.STATES_PER_PHONE))
    states = 3 * spoken[:, None] + np.arange(phones.STATES_PER_PHONE)
    stops = 160 * np.cumsum(frames.sum(1))
    said.append(spoken)
    truth.append(np.repeat(states.ravel(), frames.ravel()))
    uniform.append(alignment.frame_states(
        spoken, np.concatenate([[0], stops[:-1]]), stops, frames.sum()))
  names = [f'fabc0/si{i}' for i in range(utterances)]
  sequences = make_sequences([len(path) for path in truth], said, names)
  model = hmm.fit_hmm(said, uniform, phones=len(phones.PHONES),
                      states=phones.STATES)
  return sequences, model, np.concatenate(truth), np.concatenate(uniform)


def test_oracle_posteriors_recover_the_true_times():
  sequences, model, truth, uniform = make_truth(0)
  assert np.mean(truth != uniform) > 0.3
  rng = np.random.default_rng(1)
  logits = rng.normal(size=(len(truth), phones.STATES)).astype(np.float32)
  logits[np.arange(len(truth)), truth] += 30
  asked = []

  def logits_of(start, stop):
    asked.append((start, stop))
    return logits[start:stop]

  found = realignment.align_utterances(logits_of, sequences, model)
  np.testing.assert_array_equal(found, truth)
  assert len(asked) == 3 and asked[-1][1] == len(truth)


def test_every_utterance_passes_its_own_phones():
  sequences, model, truth, _ = make_truth(2, utterances=5)
  logits = np.random.default_rng(3).normal(size=(len(truth), phones.STATES))
  found = realignment.align_utterances(
      lambda start, stop: logits[start:stop], sequences, model)
  for path, said in zip(np.split(found, sequences.stops[:-1]),
                        sequences.references, strict=True):
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    visited = path[starts]
    want = (3 * said[:, None] + np.arange(3)).ravel()
    np.testing.assert_array_equal(visited, want)


def test_cut_pools_keep_their_neighbours():
  x = np.arange(18.0).reshape(9, 1, 2)
  pool = pools.make_pool(x, np.array([2, 5, 9]), 2)
  cut = pools.cut_pool(pool, 2, 9)
  np.testing.assert_array_equal(
      pools.take(cut, np.arange(7)), pools.take(pool, np.arange(2, 9)))


def test_labels_found_anew_are_part_of_their_sets(tmp_path):
  """Of these alone; of recordings without labels there is nothing to find."""
  def part(labels):
    return Examples(np.arange(4.0)[:, None], np.array(labels))

  made = make_dataset(
      name='made', classes=3, train=part([0, 1, 2, 0]), dev=part([0, 1, 2, 1]),
      test=part([0, 1, 2, 2]), transfer={
          'views': part([0, 1, 1, 0]), 'own': part([-1, -1, -1, -1])})
  found = []
  for labels in ([0, 1, 1, 0], [0, 1, 2, 0]):
    for name in ('train', 'views'):
      files.write_array(tmp_path / f'{name}.npy', np.array(labels, np.int32))
    found.append(realignment.read_labels(tmp_path, made))
    assert {key for key, digest in made.digests.items()
            if digest != found[-1].digests[key]} == {'train', 'transfer.views'}
    np.testing.assert_array_equal(found[-1].transfer['views'].y, labels)
  assert found[0].digests['train'] != found[1].digests['train']
  # The same labels, but of other inputs.
  assert found[0].digests['train'] != found[0].digests['transfer.views']


# The stage ------------------------------------------------------------------


def make_config(corpus):
  config = tiny_speech.make_config(corpus)
  config.data.speech.realign = 2
  return config


@pytest.fixture(name='done', scope='module')
def fixture_done(tmp_path_factory):
  """A corpus, and a run to the end of the teachers: two rounds."""
  folder = tmp_path_factory.mktemp('speech')
  corpus = tiny_speech.write_corpus(folder / 'corpus')
  said = []
  pipeline.run(make_config(corpus), folder / 'run', say=said.append,
               stages=('data', 'teachers'))
  return corpus, folder / 'run', said


def test_only_the_training_inputs_are_relabelled(done):
  corpus, root, _ = done
  config = make_config(corpus)
  first, last = (teachers.read_dataset(config, root, r) for r in (0, 2))
  assert last.fingerprint != first.fingerprint
  for name, before in mixtures.known_sets(first).items():
    after = mixtures.known_sets(last)[name]
    share = np.mean(after.y != before.y)
    assert 0 < share < 0.6
    # The phones spoken stay, in their order; times are not far off.
    assert np.mean(after.y // 3 != before.y // 3) < 0.5
    np.testing.assert_array_equal(after.x, before.x)
    changes = files.read_json(root / 'realignments/2/labels/changes.json')
    second = mixtures.known_sets(teachers.read_dataset(config, root, 1))[name].y
    assert changes[name] == np.mean(after.y != second)
  for split in ('dev', 'test'):
    np.testing.assert_array_equal(
        last.splits[split].y, first.splits[split].y)


def test_the_rounds_are_told_and_not_done_again(done):
  corpus, root, said = done
  rounds = [line for line in said if line.startswith('realign')]
  assert [line.split(':')[0] for line in rounds] == [
      f'realign {number}{end}' for number in (1, 2)
      for end in ('', ' labels', '')]
  assert rounds[2].endswith('% of the training frames changed state')
  again = []
  pipeline.run(make_config(corpus), root, say=again.append,
               stages=('data', 'teachers'))
  assert again[1:3] == [f'realign 1{end}: there already, verified'
                        for end in ('', ' labels')]
  assert again[-1] == 'teachers DNN: there already, verified'


def test_teachers_train_on_the_last_labels(done):
  corpus, root, _ = done
  made_from = kept.verify(root / 'teachers/DNN/0').made_from
  said = [mixtures.identify_data(
      teachers.read_dataset(make_config(corpus), root, number),
      ['train+views'], ['dev', 'test']) for number in range(3)]
  assert made_from['data'] == said[2]
  assert said[2] not in said[:2] and said[0] != said[1]


def test_other_labels_are_refused(done, tmp_path):
  corpus, root, _ = done
  copy = tmp_path / 'run'
  shutil.copytree(root, copy)
  path = copy / 'realignments/1/labels/train.npy'
  labels = files.read_array(path)
  files.write_array(path, labels[::-1])
  with pytest.raises(errors.UserError) as error:
    pipeline.run(make_config(corpus), copy, stages=('teachers',))
  assert str(error.value).startswith(f'{path} is damaged')
  shutil.rmtree(copy / 'realignments')
  with pytest.raises(errors.UserError) as error:
    pipeline.run(make_config(corpus), copy, stages=('ensembles',))
  assert str(error.value) == (
      f'{copy}/realignments/1/net is not finished; run the stage `teachers`'
      ' first')


def test_killed_in_any_round_ends_with_the_same_bits(done, tmp_path):
  corpus, reference, _ = done

  def start(fatal=''):
    return tiny_experiment.start(
        corpus, tmp_path / 'run', fatal, script=__file__)

  began = []
  for fatal, begins in FATAL:
    killed = start(fatal)
    assert killed.returncode == -9, killed.stderr
    assert not list((tmp_path / 'run').glob(f'**/{fatal}'))
    if began:
      assert began[-1] in killed.stdout
    began.append(begins)
  ended = start()
  assert ended.returncode == 0, ended.stderr
  assert began[-1] in ended.stdout
  ours, theirs = (read_all(root) for root in (tmp_path / 'run', reference))
  compared = [path for path in theirs if path.parts[0] in (
      'realignments', 'teachers')]
  assert len(compared) > 10
  assert {path: ours.get(path) for path in compared} == {
      path: theirs[path] for path in compared}


@pytest.mark.parametrize(('changes', 'message'), [
    ({'source': 'arrays'}, 'config.data.speech.realign is 2; it must be 0'
     " unless data.source is 'timit'"),
    ({'realign': -1}, 'config.data.speech.realign is -1; it must be 0 or more'),
    ({'aligner': 'CNN'}, "config.data.speech.aligner is 'CNN'; it must be one"
     ' of the teachers DNN'),
    ({'teachers': 2}, "config.data.speech.aligner is ''; it must be one of the"
     ' teachers DNN, RNN')])
def test_refusals(changes, message):
  config = make_config('corpus')
  config.data.source = changes.get('source', 'timit')
  for name in ('realign', 'aligner'):
    config.data.speech[name] = changes.get(name, config.data.speech[name])
  if 'teachers' in changes:
    config.teachers.RNN = config.teachers.DNN
  with pytest.raises(errors.UserError) as error:
    validation.check_config(config)
  assert str(error.value) == message


if __name__ == '__main__':
  tiny_experiment.main(make_config(sys.argv[1]), *sys.argv[2:],
                       stages=('data', 'teachers'))
