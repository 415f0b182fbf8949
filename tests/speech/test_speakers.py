"""Splits: the official counts, and folds in which no speaker meets himself."""

import collections
import re

import places
import pytest

from shallow_mimic import errors
from shallow_mimic.speech import speakers

Item = collections.namedtuple('Item', 'speaker sentence portion')


def _refused(message):
  return pytest.raises(errors.UserError, match=f'^{re.escape(message)}$')


def _whole():
  train = [f'm{chr(97 + i // 26)}{chr(97 + i % 26)}x0' for i in range(462)]
  others = [f'f{chr(97 + i // 26)}{chr(97 + i % 26)}x9' for i in range(94)]
  test = [*speakers.DEV_SPEAKERS, *speakers.CORE_TEST_SPEAKERS, *others]
  return [Item(name, f'si{number}', portion)
          for portion, names in (('train', train), ('test', test))
          for name in names for number in range(8)]


def test_the_lists():
  core, dev = speakers.CORE_TEST_SPEAKERS, speakers.DEV_SPEAKERS
  assert (len(set(core)), len(set(dev))) == (len(core), len(dev)) == (24, 50)
  assert not set(core) & set(dev)
  assert all(re.fullmatch(r'[fm][a-z]{3}\d', name) for name in core + dev)
  # One woman and two men of each of eight dialects (testset.doc).
  assert sum(name[0] == 'f' for name in core) == 8


def test_the_lists_are_those_of_the_notes():
  notes = places.SHARED / 'PAPER.md'
  if not notes.is_file():
    pytest.skip(f'no {notes}')
  text = notes.read_text(encoding='utf-8')
  for title, names in (('Core test', speakers.CORE_TEST_SPEAKERS),
                       ('Dev', speakers.DEV_SPEAKERS)):
    line = re.search(rf'^{title} speakers: (.*)$', text, re.M)
    assert tuple(line[1].split()) == names


def test_the_whole_corpus(warnings):
  items = _whole()
  assert len(items) == 3696 + 1344
  splits = speakers.official_splits(items)
  assert [len(split) for split in splits] == [3696, 400, 192]
  assert {item.speaker for item in splits.dev} == set(speakers.DEV_SPEAKERS)
  assert {item.speaker for item in splits.test} == set(
      speakers.CORE_TEST_SPEAKERS)
  assert splits.train == items[:3696]
  assert warnings == []


def test_a_part_of_the_corpus_is_told_in_one_line(warnings):
  items = [item for item in _whole() if item.sentence == 'si0'][10:]
  splits = speakers.official_splits(items)
  assert [len(split) for split in splits] == [452, 50, 24]
  assert warnings == [
      'this is not the whole of TIMIT: train has 452 speakers and 452'
      ' utterances of 462 and 3696; dev has 50 speakers and 50 utterances of'
      ' 50 and 400; test has 24 speakers and 24 utterances of 24 and 192;'
      ' results on it do not compare with published ones']


def test_one_utterance_less_is_noticed(warnings):
  speakers.official_splits(_whole()[1:])
  assert len(warnings) == 1 and '3695 utterances of 462' in warnings[0]


def test_speaker_in_both_portions():
  items = [*_whole(), Item('maax0', 'si9', 'test')]
  with _refused('speaker maax0 is in both TRAIN and TEST'):
    speakers.official_splits(items)


def test_held_out_speaker_in_train():
  items = [Item('mdab0', 'si1', 'train'), Item('faks0', 'si1', 'test')]
  with _refused('speaker mdab0 is in two splits, train and test'):
    speakers.official_splits(items)


@pytest.mark.parametrize(
    ('portion', 'missing'), [('train', '50 speakers of the dev'),
                             ('sample', '462 speakers of the train')])
def test_an_empty_split(portion, missing):
  with _refused(
      f'TIMIT: none of the {missing} split is here; give a folder with both'
      ' TRAIN and TEST (the NLTK sample has no official splits: use its'
      ' folds)'):
    speakers.official_splits([Item('fvmh0', 'si1', portion)])


SIXTEEN = [f'{sex}abc{number}' for sex in 'fm' for number in range(8)]


@pytest.mark.parametrize(('first', 'folds'), [
    *((0, folds) for folds in (2, 3, 4, 5, 8, 16)),
    *((3, folds) for folds in (2, 3, 4, 5, 8)),
    *((6, folds) for folds in (2, 3, 4, 5, 8))])
def test_each_speaker_is_tested_once(first, folds):
  names = SIXTEEN[first:]
  tests, sizes, women = [], [], []
  for fold in range(folds):
    splits = speakers.sample_splits(names, fold, folds, 2, 5)
    everyone = [name for split in splits for name in split]
    assert sorted(everyone) == sorted(names)  # Disjoint and whole.
    assert all(split and split == sorted(split) for split in splits)
    assert len(splits.dev) == 2
    tests += splits.test
    sizes.append(len(splits.test))
    women.append(sum(name[0] == 'f' for name in splits.test))
  assert sorted(tests) == sorted(names)
  assert max(sizes) - min(sizes) <= 1 and max(women) - min(women) <= 1


@pytest.mark.parametrize('fold', range(4))
def test_sexes_of_sixteen_in_four_folds(fold):
  splits = speakers.sample_splits(SIXTEEN, fold, 4, 4, 0)
  sexes = [sum(name[0] == 'f' for name in split) for split in splits]
  assert sexes == [4, 2, 2]
  assert [len(split) for split in splits] == [8, 4, 4]


def test_splits_depend_on_the_seed_alone():
  made = speakers.sample_splits(SIXTEEN, 1, 4, 3, 7)
  assert speakers.sample_splits(SIXTEEN[::-1] * 8, 1, 4, 3, 7) == made
  assert speakers.sample_splits(SIXTEEN, 1, 4, 3, 8) != made
  assert made == speakers.sample_splits(SIXTEEN, 1, 4, 3, 7)
  assert all(type(name) is str for split in made for name in split)


def test_one_sex_alone():
  splits = speakers.sample_splits(SIXTEEN[:5], 0, 5, 1, 0)
  assert [len(split) for split in splits] == [3, 1, 1]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [((4, 4, 2, 0), 'fold = 4 must be from 0 to 3'),
     ((-1, 4, 2, 0), 'fold = -1 must be from 0 to 3'),
     ((0, 1, 2, 0), 'folds = 1 must be from 2 to the 16 speakers'),
     ((0, 17, 2, 0), 'folds = 17 must be from 2 to the 16 speakers'),
     ((0, 4, 0, 0), 'dev_speakers = 0 must be from 1 to 11: 16 speakers, of'
      ' which fold 0 tests 4'),
     ((2, 4, 12, 0), 'dev_speakers = 12 must be from 1 to 11: 16 speakers, of'
      ' which fold 2 tests 4')])
def test_impossible_folds(arguments, message):
  with _refused(message):
    speakers.sample_splits(SIXTEEN, *arguments)


def test_items_go_with_their_speaker():
  items = [Item(name, sentence, 'sample') for sentence in ('si1', 'si2')
           for name in ('fa', 'fb', 'mc', 'md')]
  splits = speakers.split_by_speaker(
      items, {'train': ['fa', 'mc'], 'dev': ['fb'], 'test': []})
  assert splits == ([items[0], items[2], items[4], items[6]],
                    [items[1], items[5]], [])


def test_speaker_in_two_splits():
  with _refused('speaker fb is in two splits, train and dev'):
    speakers.split_by_speaker(
        [], {'train': ['fa', 'fb'], 'dev': ['fb'], 'test': []})
