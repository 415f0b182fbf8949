"""Any prepared TFDS data set of images or tensors, without TensorFlow."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from shallow_mimic import errors
from shallow_mimic.data.dataset import Examples
from shallow_mimic.runs import limits, refusals

# Threads were measured not to help: decoding holds Python's lock.
_ROWS = 1000


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
  """Silences the progress and the hints that TFDS prints."""
  verbosity = logging.get_verbosity()
  tfds.display_progress_bar(enable=False)
  logging.set_verbosity(logging.ERROR)
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    logging.set_verbosity(verbosity)


def open_tfds(
    name: str, data_dir: os.PathLike | str = ''
) -> tfds.core.DatasetBuilder:
  """Opens a prepared data set; never downloads.

  Args:
    name: as TFDS takes it: 'cifar10', 'name/config', 'name:1.0.0'.
    data_dir: the folder of prepared data sets; '' for TFDS's own, which is
      $TFDS_DATA_DIR or ~/tensorflow_datasets.

  Raises:
    UserError: absent (MissingError) or half prepared; says how to prepare it.
  """
  root = pathlib.Path(
      os.fspath(data_dir) or tfds.core.constants.DATA_DIR).expanduser()
  folder = root / re.split('[/:]', name)[0]
  # Looked at first, because TFDS asks the network about an absent data set.
  if not name or not os.path.isdir(folder):
    raise errors.MissingError(_how(name, root, f'there is no folder {folder}'))
  try:
    with quiet_tfds():
      builder = tfds.builder(name, data_dir=root)
      prepared = builder.is_prepared()
  except Exception as error:  # TFDS raises what its many parsers raise.
    refusals.raise_refusal(folder, error)
    raise errors.UserError(_how(name, root, first_line(error))) from error
  if not prepared:
    missing = pathlib.Path(builder.data_path) / 'dataset_info.json'
    kind = (errors.UserError if os.path.isdir(missing.parent)
            else errors.MissingError)
    raise kind(_how(name, root, f'{missing} is missing'))
  return builder


def read_tfds(
    builder: tfds.core.DatasetBuilder, split: str, *, size: int = 0
) -> Examples:
  """Reads one split into memory.

  Args:
    builder: from `open_tfds`.
    split: 'train', 'train[:50%]' and so on.
    size: only the first so many examples (TFDS shuffled them when it prepared
      them); 0 for all.

  Returns:
    x [N, *shape] in the type that TFDS gives (uint8 for images), y [N] int64.

  Raises:
    UserError: unknown split, missing or damaged files, or features that are
      not one image or tensor and one label.
  """
  with quiet_tfds(), clear_read_errors(builder, split):
    paths = split_files(builder, split)
    if not paths:
      raise errors.UserError(
          f'TFDS data set {full_name(builder)!r}: split {split!r} has no'
          ' example')
    missing = [path for path in paths if not path.is_file()]
    if missing:
      raise FileNotFoundError(f'{missing[0]} is missing')
    source = open_records(builder, split)
    if size > len(source):
      raise errors.UserError(
          f'TFDS data set {full_name(builder)!r}, split {split!r}: size ='
          f' {size} is more than its {len(source)} examples')
    x, y, shapes = _read_rows(
        source, size or len(source), *feature_keys(builder))
  if len(shapes) > 1:
    raise errors.UserError(
        f'TFDS data set {full_name(builder)!r}, split {split!r}: inputs have'
        f' several shapes ({", ".join(map(str, shapes))}); all must have one')
  return Examples(x, y)


def open_records(builder: tfds.core.DatasetBuilder, split: str) -> Any:
  """The records of a split; UserError where the machine lacks the threads."""
  limits.check_records()
  return builder.as_data_source(split)


def split_files(
    builder: tfds.core.DatasetBuilder, split: str
) -> list[pathlib.Path]:
  """The record files that hold a split."""
  return [pathlib.Path(instruction.filename)
          for instruction in builder.info.splits[split].file_instructions]


def feature_keys(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
  """Names of the input's and the label's feature.

  Raises:
    UserError: there is not one of each.
  """
  supervised = builder.info.supervised_keys
  if (isinstance(supervised, Sequence) and len(supervised) == 2
      and all(isinstance(key, str) for key in supervised)):
    return supervised[0], supervised[1]
  features = dict(builder.info.features)
  labels = [key for key, feature in features.items()
            if isinstance(feature, tfds.features.ClassLabel)]
  inputs = [key for key, feature in features.items()
            if key not in labels and _is_tensor(feature)]
  if len(inputs) != 1 or len(labels) != 1:
    raise errors.UserError(
        f'TFDS data set {full_name(builder)!r} has the features'
        f' {", ".join(sorted(features))}; one image or tensor and one class'
        ' label are needed')
  return inputs[0], labels[0]


def class_count(builder: tfds.core.DatasetBuilder) -> int:
  """C, as the label's feature declares it.

  Raises:
    UserError: the label is not a class label.
  """
  _, key = feature_keys(builder)
  feature = builder.info.features[key]
  if not isinstance(feature, tfds.features.ClassLabel):
    raise errors.UserError(
        f'TFDS data set {full_name(builder)!r}: {key!r} is not a class'
        ' label, so there are no classes to learn')
  return feature.num_classes


def full_name(builder: tfds.core.DatasetBuilder) -> str:
  """'name', or 'name/config' where there are several."""
  config = builder.builder_config
  return f'{builder.name}/{config.name}' if config else builder.name


def first_line(error: Exception) -> str:
  """What TFDS says in many lines, in one."""
  return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _read_rows(
    source: Any, size: int, input_key: str, label_key: str
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, ...]]]:
  """Inputs, labels, and the inputs' shapes: it stops where there are two."""
  x, y = np.empty(0), np.empty(size, np.int64)
  shapes: dict[tuple[int, ...], None] = {}
  for start in range(0, size, _ROWS):
    stop = min(start + _ROWS, size)
    rows = source.__getitems__(list(range(start, stop)))
    shapes |= dict.fromkeys(row[input_key].shape for row in rows)
    if len(shapes) > 1:
      break
    block = np.stack([row[input_key] for row in rows])
    if not start:
      x = np.empty((size, *block.shape[1:]), block.dtype)
    x[start:stop] = block
    y[start:stop] = [row[label_key] for row in rows]
  return x, y, list(shapes)


def _is_tensor(feature: object) -> bool:
  return (isinstance(feature, tfds.features.Image | tfds.features.Tensor)
          and len(feature.shape) > 0
          and np.issubdtype(feature.np_dtype, np.number))


@contextlib.contextmanager
def clear_read_errors(
    builder: tfds.core.DatasetBuilder, split: str
) -> Iterator[None]:
  """Turns what TFDS raises of a split into a UserError of one line."""
  # root / name / [config /] version
  root = pathlib.Path(builder.data_path).parents[
      2 if builder.builder_config else 1]
  try:
    yield
  except NotImplementedError as error:
    raise errors.UserError(_how(
        full_name(builder), root,
        'it is stored in another format than ArrayRecord')
    ) from error
  except errors.UserError:
    raise
  except Exception as error:  # TFDS raises what its many parsers raise.
    refusals.raise_refusal(builder.data_path, error)
    known = ', '.join(builder.info.splits)
    if str(error).startswith(('Unknown split', 'Error parsing split')):
      raise errors.UserError(
          f'TFDS data set {full_name(builder)!r} has no split {split!r}; it'
          f' has: {known}') from error
    raise errors.UserError(_how(
        full_name(builder), root, f'split {split!r}: {first_line(error)}')
    ) from error


def _how(name: str, root: pathlib.Path, what: str) -> str:
  return (
      f'TFDS data set {name!r} is not ready in {root}: {what}; delete what is'
      ' there of it (or choose another data_dir), then prepare it: python -c'
      ' "import tensorflow_datasets as tfds;'
      f" tfds.builder('{name}', file_format='array_record',"
      f" data_dir='{root}').download_and_prepare()\" (to prepare images, TFDS"
      ' needs: pip install tensorflow; to read them it does not)')


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
          f'TFDS data set {full_name(builder)!r}: {shared:,}'
          f' examples are in both {one} ({named[one]!r}) and {other}'
          f' ({named[other]!r}); set config.data.splits so that none are')
  return named


def _find_ranges(builder: tfds.core.DatasetBuilder,
                 split: str) -> list[tuple[str, int, int]]:
  """(file, first example, the one behind the last) of all that it is of."""
  with clear_read_errors(builder, split):
    return [(part.filename, part.skip, part.skip + part.take)
            for part in builder.info.splits[split].file_instructions]


def _count_shared(one: list[tuple[str, int, int]],
                  other: list[tuple[str, int, int]]) -> int:
  return sum(max(min(stop, end) - max(start, begin), 0)
             for file, start, stop in one for name, begin, end in other
             if file == name)
