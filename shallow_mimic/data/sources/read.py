"""From a configuration to a `Dataset`: the door into this folder.

Order: read → dev out of train, where the source gives none → limit train →
transfer sets → preprocessing fitted on train → applied to every split.
"""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shallow_mimic import errors
from shallow_mimic.data import store
from shallow_mimic.data.dataset import (
  Dataset,
  Examples,
  check_examples,
  check_one_scale,
  make_dataset,
)
from shallow_mimic.data.fields import as_mapping, field
from shallow_mimic.data.preprocessing import fit_preprocessing, parse_step
from shallow_mimic.data.sources import arrays, transfer, wavs
from shallow_mimic.data.splits import assign_folds, split_stratified
from shallow_mimic.data.store import make_preprocessed
from shallow_mimic.data.views import Views
from shallow_mimic.runs import files

if TYPE_CHECKING:
  from shallow_mimic import configs


class Raw(NamedTuple):
  """What a source gives: `train`, `test`, perhaps `dev`, and pools."""

  name: str
  classes: int
  parts: dict[str, Examples]


def read_source(config: configs.Data, *, cache_dir: os.PathLike | str,
                directory: os.PathLike | str | None = None) -> Dataset:
  """Reads, splits and preprocesses what a configuration describes.

  Args:
    config: the data configuration:
      `source`: 'mnist1d', 'tfds', 'arrays' or 'timit';
      `name`: TFDS data set; `path`: `.npz` file (see `arrays.read_arrays`);
      `data_dir`: folder of prepared TFDS data, '' for the default;
      `splits`: TFDS splits to use as train, dev and test, where they are not
        'train', 'validation' or 'dev' (if there) and 'test'; none may share
        examples;
      `dev`: number of training examples to set apart, where the source has
        no dev split; `limit_train`: 0, or how many of the rest to keep;
      `seed`: of the dev split, the limit, and the transfer sets;
      `preprocessing`: steps, as for `fit_preprocessing`;
      `transfer`: name → dict(kind=…, …), see `transfer.py`;
      `folds`: 0, or into how many folds to cut the training examples.
    cache_dir: where data that are made, not read, may be kept.
    directory: where `store.write_dataset` will write them: the inputs are
      written there at once, part by part, and mapped; None: in memory.

  Raises:
    UserError: whatever is wrong with the configuration or the data.
  """
  check_name(config.source)
  steps = tuple(field(config, 'preprocessing', ()))
  for step in steps:
    parse_step(step)
  specs = transfer.transfer_specs(config)
  if config.source == 'timit':
    from shallow_mimic.data.sources import timit as timit_source  # noqa: PLC0415

    return timit_source.read_speech(config, specs, cache_dir)
  raw = _READERS[config.source](config, pathlib.Path(cache_dir))
  parts = _split_train(config, raw)
  folds = _make_folds(config, specs, parts['train'].y)
  sets = _read_transfer_sets(config, specs, parts, folds.get('train'),
                             raw.classes)
  fitted = fit_preprocessing(steps, parts['train'].x)

  def finish(split: str, part: Examples, dtype: str = 'float32') -> Examples:
    path = directory and pathlib.Path(directory) / store.inputs_file(split)
    return Examples(make_preprocessed(fitted, part.x, path, dtype), part.y)

  return make_dataset(
      name=raw.name,
      classes=raw.classes,
      train=finish('train', parts['train']),
      dev=finish('dev', parts['dev']),
      test=finish('test', parts['test']),
      transfer={name: finish(f'transfer.{name}', part,
                             specs[name].get('dtype', 'float32'))
                for name, part in sets.items()},
      fitted=fitted,
      folds=folds,
      # What `preprocessing.as_float` tells apart.
      raw_dtype='uint8' if parts['train'].x.dtype == np.uint8 else 'float32',
  )


def _read_transfer_sets(config, specs, parts, folds, classes):
  """The raw transfer sets by name, checked."""
  sets = {name: transfer.read_transfer(name, spec, config, parts, folds)
          for name, spec in specs.items()}
  # Views are of training inputs, which have been checked, scaled as they are.
  read = {f'transfer.{name}': part for name, part in sets.items()
          if not isinstance(part.x, Views)}
  for split, part in read.items():
    check_examples(split, part, classes, shape=parts['train'].x.shape[1:],
                   labelled=False)
  check_one_scale({
      split: parts[split] for split in ('train', 'dev', 'test')} | read)
  return sets


def _make_folds(config: configs.Data, specs: dict[str, Any],
                labels: np.ndarray) -> dict[str, np.ndarray]:
  """Folds of train, and of the views of it, by split."""
  count = field(config, 'folds', 0)
  if not count:
    return {}
  folds = assign_folds(labels, count, field(config, 'seed', 0))
  views = {f'transfer.{name}': np.tile(folds, spec['copies'])
           for name, spec in specs.items() if spec['kind'] == 'views'}
  return {'train': folds, **views}


def source_digest(config: configs.Data) -> str:
  """SHA-256 that changes when the source's files do; reads no examples.

  Of the `.npz`, of every file of a TFDS data set (transfer sets' too), of the
  version of the `mnist1d` package: not of the configuration.

  Raises:
    UserError: the source is absent.
  """
  check_name(config.source)
  identity: dict[str, Any] = {'source': config.source}
  if config.source == 'mnist1d':
    from shallow_mimic.data.sources import mnist1d  # noqa: PLC0415

    identity['mnist1d'] = [mnist1d.mnist1d_version(),
                           str(mnist1d.Mnist1d.VERSION)]
  if config.source == 'timit':
    from shallow_mimic.data.sources import timit_builder as timit  # noqa: PLC0415

    identity['timit'] = timit.folder_digest(config.path)
  if config.source == 'arrays':
    if not config.path:
      raise errors.UserError(
          'config.data.path is not set; say --config.data.path=MY.npz')
    identity['arrays'] = _digest_present(
        pathlib.Path(config.path).expanduser())
  if config.source == 'tfds':
    identity['tfds'] = _tfds_digests(
        config.name, field(config, 'data_dir', ''))
  for name, spec in transfer.transfer_specs(config).items():
    if spec['kind'] == 'tfds':
      identity[f'transfer.{name}'] = _tfds_digests(
          spec['name'], transfer.transfer_data_dir(spec, config))
    if spec['kind'] == 'wavs':
      identity[f'transfer.{name}'] = wavs.folder_digest(spec['path'])
  return files.digest_json(identity)


def _split_train(config: configs.Data, raw: Raw) -> dict[str, Examples]:
  """Checks the raw parts, takes dev out of train, limits what is left."""
  parts = dict(raw.parts)
  shape = parts['train'].x.shape[1:]
  for split in ('train', 'dev', 'test'):
    if split in parts:
      check_examples(split, parts[split], raw.classes, shape=shape)
  seed = field(config, 'seed', 0)
  if 'dev' not in parts:
    rest, dev = split_stratified(
        parts['train'].y, field(config, 'dev', 0), seed,
        wanted_for='dev split, which this source does not give (dev = …)')
    parts['dev'] = _rows(parts['train'], dev)
    parts['train'] = _rows(parts['train'], rest)
  limit = field(config, 'limit_train', 0)
  if limit and limit != len(parts['train'].y):
    _, kept = split_stratified(
        parts['train'].y, limit, seed, wanted_for='limit_train')
    parts['train'] = _rows(parts['train'], kept)
  return parts


def _rows(examples: Examples, rows: Any) -> Examples:
  return Examples(examples.x[rows], examples.y[rows])


def check_name(source: str) -> None:
  """UserError unless it is one of the sources."""
  known = [*_READERS, 'timit']
  if source not in known:
    raise errors.UserError(
        f'unknown data source {source!r}; known: {", ".join(known)}')


def _read_mnist1d(config: configs.Data, cache_dir: pathlib.Path) -> Raw:
  # Imports TFDS, which arrays do without.
  from shallow_mimic.data.sources import mnist1d  # noqa: PLC0415

  folder = pathlib.Path(
      field(config, 'data_dir', '') or cache_dir).expanduser()
  parts = {}
  for seed, size in (transfer.generated_sizes(config) or {0: 0}).items():
    made = mnist1d.read_mnist1d(folder, size, seed)
    if size:
      parts[f'generated.{seed}'] = made.pop('transfer')
    parts |= made
  return Raw('mnist1d', mnist1d.CLASSES, parts)


def _read_arrays(config: configs.Data, cache_dir: pathlib.Path) -> Raw:
  del cache_dir
  parts = arrays.read_arrays(config.path)
  labels = parts['train'].y
  return Raw(pathlib.Path(config.path).stem,
             int(labels.max()) + 1 if len(labels) else 0, parts)


def _read_tfds(config: configs.Data, cache_dir: pathlib.Path) -> Raw:
  del cache_dir
  from shallow_mimic.data.sources import tfds as tfds_source  # noqa: PLC0415

  builder = tfds_source.open_tfds(config.name, field(config, 'data_dir', ''))
  named = tfds_source.name_splits(
      builder, as_mapping(field(config, 'splits', {})))
  return Raw(builder.name, tfds_source.class_count(builder), {
      part: tfds_source.read_tfds(builder, split)
      for part, split in named.items()})


def _tfds_digests(name: str, data_dir: str) -> dict[str, str]:
  from shallow_mimic.data.sources import tfds as tfds_source  # noqa: PLC0415

  folder = pathlib.Path(tfds_source.open_tfds(name, data_dir).data_path)
  return {path.name: _digest_present(path)
          for path in sorted(folder.iterdir()) if path.is_file()}


def _digest_present(path: pathlib.Path) -> str:
  try:
    return files.digest_file(path)
  except OSError as error:
    raise errors.UserError(f'cannot read {path}: {error.strerror}') from error


_READERS = {
    'mnist1d': _read_mnist1d, 'tfds': _read_tfds, 'arrays': _read_arrays}
