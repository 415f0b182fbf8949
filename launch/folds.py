r"""Runs an experiment once for each fold of the speakers, and pools the tests.

    python -m launch.folds --config=timit_sample --workdir=DIR \
        --config.data.path=../shared/data/timit_sample \
        --train_speakers=4,6,9

Each fold is a work directory DIR/fold-K (with --train_speakers
DIR/speakers-N/fold-K); DIR/pooled gets table.txt, pooled.csv, gains.csv and
learning.png. Start the same command again after a kill: it goes on. With
--workdir=DIR alone the configuration is that of the first fold there, and the
numbers of training speakers are those that are there.
"""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from absl import flags

from shallow_mimic import errors

from . import app

if TYPE_CHECKING:
  from shallow_mimic import configs

_FOLD, _SIZED_FOLD = 'fold-*', 'speakers-*/fold-*'
_TRAIN_SPEAKERS = flags.DEFINE_list(
    'train_speakers', [], 'Numbers of training speakers, for a learning curve;'
    ' none: as the config says, or the work directory.')


def parse_sizes(words: list[str], config: configs.Config) -> list[int]:
  """Numbers of training speakers, without repeats, ascending."""
  if not words:
    return [config.data.speech.train_speakers]
  for word in words:
    if not word.isascii() or not word.isdigit() or not int(word):
      raise errors.UserError(
          f'--train_speakers has {word!r}; give numbers from 1, as in 3,6,9')
  return sorted(set(map(int, words)))


def find_sizes(root: pathlib.Path) -> list[str]:
  """The N of DIR/speakers-N whose configuration is taken; none of a file's."""
  if app.has_config_file() or any(root.glob(f'{_FOLD}/config.json')):
    return []
  return [path.parent.parent.name.removeprefix('speakers-')
          for path in root.glob(f'{_SIZED_FOLD}/config.json')]


def main() -> None:
  """Runs every fold, or what is left of it, then pools."""
  from shallow_mimic import configs, pipeline  # noqa: PLC0415
  from shallow_mimic.curves.folds import pool as folds  # noqa: PLC0415
  from shallow_mimic.curves.folds import tables as fold_tables  # noqa: PLC0415

  config = configs.read_config(flags.FLAGS.config)
  root = app.chosen_workdir()
  folds.check_corpus(config)
  words = _TRAIN_SPEAKERS.value or find_sizes(root)
  sizes, found = parse_sizes(words, config), {}
  for size in sizes:
    folder = root / f'speakers-{size}' if words else root
    parts = []
    for fold in range(config.data.speech.folds):
      print(f'{folder / f"fold-{fold}"}', flush=True)
      place, one = folder / f'fold-{fold}', folds.choose_fold(
          config, fold, size)
      pipeline.run(one, place)
      parts.append(folds.join_counts(
          pipeline.read_run(place, config=one).read_counts(), place))
    found[size] = folds.pool(parts)
  print(fold_tables.write_pooled(
      root / 'pooled', found, seed=config.seed,
      width=config.report.figure_width))
  print(f'pooled: {root / "pooled"}')


def start() -> None:
  """Runs the script."""
  app.start(main, app.Script('timit_sample', places=(_FOLD, _SIZED_FOLD)))


if __name__ == '__main__':
  start()
