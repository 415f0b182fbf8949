"""CIFAR-10 made small, for tests: all of `cifar10` on few images and steps.

    python -m launch.run --config=launch/configs/cifar10_smoke.py \
        --config.data.data_dir=FOLDER

Every curve, transfer set and figure of `cifar10`, whatever it holds, in a few
minutes on two cores, most of them compiling: the numbers mean nothing.
"""

import re

import ml_collections

from shallow_mimic import configs

# Of all numbers of images, those of limits among them.
_SHARE = 100


def get_config() -> ml_collections.ConfigDict:
  """The experiment, shrunk."""
  config = configs.load('cifar10')
  config.title = 'CIFAR-10, smoke test'
  data = config.data
  data.splits = {'train': 'train[:2%]', 'test': 'test[:2%]'}
  data.dev, data.limit_train, data.examples = 100, 450, 450
  for spec in data.transfer.values():
    if 'size' in spec:
      spec['size'] //= _SHARE
  for group in config.teachers.values():
    group.inputs = _shrink(group.inputs)
    group.steps, group.eval_every, group.batch = 4, 2, 16
  students = config.students
  students.steps, students.search_steps, students.eval_every = 6, 2, 3
  students.batch, students.seeds = 16, 2
  students.widths = students.widths[:2]  # The widest is two more compilations.
  for curve in students.curves.values():
    curve.inputs = _shrink(curve.inputs)
  return config


def _shrink(inputs: str) -> str:
  """The same sets with smaller limits.

  >>> _shrink('train+views[:45000]')
  'train+views[:450]'
  """
  return re.sub(r'\[:(\d+)\]', lambda match: f'[:{_limit(match[1])}]', inputs)


def _limit(number: str) -> int:
  return max(int(number) // _SHARE, 1)
