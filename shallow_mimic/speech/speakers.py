"""Who is in which split: no speaker is ever in two.

Of the whole corpus, the official splits: all of TRAIN, and from TEST the 50
speakers of the usual dev set and the 24 of the core test set (the corpus's
own testset.doc). Of the NLTK sample, folds that leave speakers out; results
on it are not TIMIT results.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from absl import logging

from shallow_mimic import errors

CORE_TEST_SPEAKERS = tuple(
    'mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0'
    ' mbpm0 mklt0 fnlp0 mcmj0 mjdh0 fmgd0 mgrt0 mnjm0 fdhc0 mjln0 mpam0 fmld0'
    .split())
DEV_SPEAKERS = tuple(
    'faks0 fdac1 fjem0 mgwt0 mjar0 mmdb1 mmdm2 mpdf0 fcmh0 fkms0 mbdg0 mbwm0'
    ' mcsh0 fadg0 fdms0 fedw0 mgjf0 mglb0 mrtk0 mtaa0 mtdt0 mthc0 mwjg0 fnmr0'
    ' frew0 fsem0 mbns0 mmjr0 mdls0 mdlf0 mdvc0 mers0 fmah0 fdrw0 mrcs0 mrjm4'
    ' fcal1 mmwh0 fjsj0 majc0 mjsw0 mreb0 fgjd0 fjmg0 mroa0 mteb0 mjfc0 mrjr0'
    ' fmml0 mrws1'.split())
# Speakers and utterances without `sa1` and `sa2`.
OFFICIAL_COUNTS = {'train': (462, 3696), 'dev': (50, 400), 'test': (24, 192)}


class Spoken(Protocol):
  """Anything of one speaker: an `Entry` or an `Utterance`."""

  @property
  def speaker(self) -> str:
    """Who speaks."""

  @property
  def portion(self) -> str:
    """'train', 'test' or 'sample'."""


_Item = TypeVar('_Item', bound=Spoken)


class Splits(NamedTuple):
  """Items, or speakers, of the three splits."""

  train: list
  dev: list
  test: list


def official_splits(items: Iterable[_Item]) -> Splits:
  """Splits TIMIT as published: 3,696, 400 and 192 utterances.

  Where anything is missing of these, or there is more, one warning says what
  is there. The other speakers of TEST are left out.

  Raises:
    UserError: a speaker in two splits, or a split with nothing in it.
  """
  items = list(items)
  train = {item.speaker for item in items if item.portion == 'train'}
  held_out = {item.speaker for item in items if item.portion == 'test'}
  for name in sorted(train & held_out):
    raise errors.UserError(f'speaker {name} is in both TRAIN and TEST')
  # A held-out speaker found in TRAIN is in two splits, and so refused.
  speakers = Splits(
      sorted(train),
      sorted(set(DEV_SPEAKERS) & (train | held_out)),
      sorted(set(CORE_TEST_SPEAKERS) & (train | held_out)))
  splits = split_by_speaker(items, speakers._asdict())
  for name, (count, _) in OFFICIAL_COUNTS.items():
    if not getattr(splits, name):
      raise errors.UserError(
          f'TIMIT: none of the {count} speakers of the {name} split is here;'
          ' give a folder with both TRAIN and TEST (the NLTK sample has no'
          ' official splits: use its folds)')
  _warn_unless_whole(splits)
  return splits


def sample_splits(
    speakers: Iterable[str], fold: int, folds: int, dev_speakers: int,
    seed: int
) -> Splits:
  """Splits the speakers of a small corpus for one fold of several.

  Over all folds each speaker is in test once; folds differ by at most one
  speaker, and by one of either sex (the first letter of the id). Dev is drawn
  from the rest, the sexes in their proportion. Depends on its arguments
  alone, not on the order of the speakers.

  Returns:
    Sorted ids of the speakers of train, dev and test.

  Raises:
    UserError: the numbers do not leave a speaker in each split.
  """
  known = sorted(set(speakers))
  if not 2 <= folds <= len(known):
    raise errors.UserError(
        f'folds = {folds} must be from 2 to the {len(known)} speakers')
  if not 0 <= fold < folds:
    raise errors.UserError(f'fold = {fold} must be from 0 to {folds - 1}')
  rng = np.random.default_rng(seed)
  order = [name for sex in _sexes(known) for name in rng.permutation(sex)]
  test = [str(name) for name in order[fold::folds]]
  rest = [name for name in known if name not in test]
  if not 1 <= dev_speakers < len(rest):
    raise errors.UserError(
        f'dev_speakers = {dev_speakers} must be from 1 to {len(rest) - 1}:'
        f' {len(known)} speakers, of which fold {fold} tests {len(test)}')
  dev = _mixed(rest, np.random.default_rng([seed, fold]))[:dev_speakers]
  train = [name for name in rest if name not in dev]
  return Splits(train, sorted(dev), sorted(test))


def split_by_speaker(
    items: Iterable[_Item], speakers: Mapping[str, Collection[str]]
) -> Splits:
  """Sorts items by the split of their speaker; others are left out.

  Args:
    items: entries or utterances; their order is kept.
    speakers: those of `train`, `dev` and `test`.

  Raises:
    UserError: a speaker is in two splits.
  """
  split_of: dict[str, str] = {}
  for split, names in speakers.items():
    for name in names:
      other = split_of.setdefault(name, split)
      if other != split:
        raise errors.UserError(
            f'speaker {name} is in two splits, {other} and {split}')
  splits = Splits([], [], [])
  for item in items:
    if item.speaker in split_of:
      getattr(splits, split_of[item.speaker]).append(item)
  return splits


def _sexes(speakers: Sequence[str]) -> tuple[list[str], list[str]]:
  female = [name for name in speakers if name.startswith('f')]
  return female, [name for name in speakers if name not in female]


def _mixed(speakers: Sequence[str], rng: np.random.Generator) -> list[str]:
  """A random order whose every beginning has both sexes in proportion."""
  places = []
  for sex in _sexes(speakers):
    places += [((rank + 0.5) / len(sex), str(name))
               for rank, name in enumerate(rng.permutation(sex))]
  return [name for _, name in sorted(places)]


def _warn_unless_whole(splits: Splits) -> None:
  counts = {name: (len({item.speaker for item in items}), len(items))
            for name, items in splits._asdict().items()}
  if counts == OFFICIAL_COUNTS:
    return
  told = '; '.join(
      f'{name} has {counts[name][0]} speakers and {counts[name][1]}'
      f' utterances of {speakers} and {utterances}'
      for name, (speakers, utterances) in OFFICIAL_COUNTS.items())
  logging.warning('this is not the whole of TIMIT: %s; results on it do not'
                  ' compare with published ones', told)
