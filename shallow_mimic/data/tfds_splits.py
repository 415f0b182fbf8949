"""Which splits of a TFDS data set are train, dev and test."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

import tensorflow_datasets as tfds

from shallow_mimic import errors
from shallow_mimic.data import tfds_source


def name_splits(builder: tfds.core.DatasetBuilder,
                given: Mapping[str, str]) -> dict[str, str]:
  """The splits to read as train, test and, where there is one, dev.

  Args:
    builder: from `open_tfds`.
    given: what a user says of them. A 'validation' or 'dev' that it does not
      use otherwise is dev.

  Raises:
    UserError: two of them share examples.
  """
  used = set(re.findall(r'\w+', ' '.join(given.values())))
  free = [split for split in ('dev', 'validation')
          if split in builder.info.splits and split not in used]
  named = {'train': 'train', 'test': 'test', **given}
  if free:
    named.setdefault('dev', free[-1])
  ranges = {part: _find_ranges(builder, split) for part, split in named.items()}
  for one, other in itertools.combinations(named, 2):
    if shared := _count_shared(ranges[one], ranges[other]):
      raise errors.UserError(
          f'TFDS data set {tfds_source.full_name(builder)!r}: {shared:,}'
          f' examples are in both {one} ({named[one]!r}) and {other}'
          f' ({named[other]!r}); set config.data.splits so that none are')
  return named


def _find_ranges(builder, split):
  """(file, first example, the one behind the last) of all that it is of."""
  with tfds_source.clear_read_errors(builder, split):
    return [(part.filename, part.skip, part.skip + part.take)
            for part in builder.info.splits[split].file_instructions]


def _count_shared(one, other):
  return sum(max(min(stop, end) - max(start, begin), 0)
             for file, start, stop in one for name, begin, end in other
             if file == name)
