"""From a configuration to a `Dataset`: the door into this folder.

Order: read → dev out of train, where the source gives none → limit train →
transfer sets → preprocessing fitted on train → applied to every split.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
from shallow_mimic.data.preprocessing import fit_preprocessing, parse_step
from shallow_mimic.data.sources import transfer
from shallow_mimic.data.sources.identity import identify_settings, source_digest
from shallow_mimic.data.sources.source import (
  Raw,
  call_source,
  check_raw,
  find_source,
)
from shallow_mimic.data.splits import assign_folds, split_stratified
from shallow_mimic.data.store import make_preprocessed
from shallow_mimic.data.views import Views

if TYPE_CHECKING:
  from shallow_mimic import configs


def read_source(config: configs.Data, *, cache_dir: os.PathLike | str,
                directory: os.PathLike | str | None = None,
                digest: str = '') -> Dataset:
  """Reads, splits and preprocesses what a configuration describes.

  Args:
    config: the data configuration:
      `source`: the name of one, which reads `name`, `path`, `data_dir` and
        `splits` as its file says;
      `dev`: number of training examples to set apart, where the source has
        no dev split; `limit_train`: 0, or how many of the rest to keep;
      `seed`: of the dev split, the limit, and the transfer sets;
      `preprocessing`: steps, as for `fit_preprocessing`;
      `transfer`: name → dict(kind=…, …), see `transfer.py`;
      `folds`: 0, or into how many folds to cut the training examples.
    cache_dir: where data that are made, not read, may be kept.
    directory: where `store.write_dataset` will write them: the inputs are
      written there at once, part by part, and mapped; None: in memory.
    digest: `source_digest`, where it is known.

  Raises:
    UserError: whatever is wrong with the configuration or the data.
  """
  steps = tuple(config.preprocessing)
  for step in steps:
    parse_step(step)
  specs = transfer.transfer_specs(config)
  found = call_source(config, 'read', pathlib.Path(cache_dir))
  if find_source(config).speech:
    return _check_speech(config, found)
  raw = check_raw(config, found)
  parts = _split_train(config, raw)
  folds = _make_folds(config, specs, parts['train'].y)
  sets = _read_transfer_sets(config, specs, parts, folds.get('train'),
                             raw.classes)
  fitted = fit_preprocessing(steps, parts['train'].x)
  # Whitening differs in its last bits from machine to machine.
  origin = directory and {
      'source': digest or source_digest(config), 'fitted': fitted.record,
      'settings': identify_settings(config)}

  def finish(split: str, part: Examples, dtype: str = 'float32') -> Examples:
    path = directory and pathlib.Path(directory) / store.inputs_file(split)
    return Examples(make_preprocessed(
        fitted, part.x, path, dtype, origin=origin), part.y)

  return make_dataset(
      name=raw.name,
      classes=raw.classes,
      train=finish('train', parts['train']),
      dev=finish('dev', parts['dev']),
      test=finish('test', parts['test']),
      transfer={name: finish(f'transfer.{name}', part, specs[name]['dtype'])
                for name, part in sets.items()},
      fitted=fitted,
      folds=folds,
      # What `preprocessing.as_float` tells apart.
      raw_dtype='uint8' if parts['train'].x.dtype == np.uint8 else 'float32',
  )


def _check_speech(config: configs.Data, found: Any) -> Dataset:
  if not isinstance(found, Dataset):
    raise errors.UserError(
        f'the data source {config.source!r} is of speech: its `read` must'
        f' give a data.Dataset, not {type(found).__name__}')
  return found


def _read_transfer_sets(
    config: configs.Data, specs: Mapping[str, Mapping[str, Any]],
    parts: Mapping[str, Examples], folds: np.ndarray | None, classes: int,
) -> dict[str, Examples]:
  """The raw transfer sets by name, checked."""
  sets = {name: transfer.read_transfer(
      transfer.Wanted(name, spec, config, parts, folds))
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


def _make_folds(config: configs.Data, specs: Mapping[str, Mapping[str, Any]],
                labels: np.ndarray) -> dict[str, np.ndarray]:
  """Folds of train, and of the views of it, by split."""
  if not config.folds:
    return {}
  folds = assign_folds(labels, config.folds, config.seed)
  views = {f'transfer.{name}': np.tile(folds, spec['copies'])
           for name, spec in specs.items() if spec['kind'] == 'views'}
  return {'train': folds, **views}


def _split_train(config: configs.Data, raw: Raw) -> dict[str, Examples]:
  """Checks the raw parts, takes dev out of train, limits what is left."""
  parts = dict(raw.parts)
  shape = parts['train'].x.shape[1:]
  for split in ('train', 'dev', 'test'):
    if split in parts:
      check_examples(split, parts[split], raw.classes, shape=shape)
  seed = config.seed
  if 'dev' not in parts:
    rest, dev = split_stratified(
        parts['train'].y, config.dev, seed,
        wanted_for='dev split, which this source does not give (dev = …)')
    parts['dev'] = _rows(parts['train'], dev)
    parts['train'] = _rows(parts['train'], rest)
  limit = config.limit_train
  if limit and limit != len(parts['train'].y):
    _, kept = split_stratified(
        parts['train'].y, limit, seed, wanted_for='limit_train')
    parts['train'] = _rows(parts['train'], kept)
  return parts


def _rows(examples: Examples, rows: Any) -> Examples:
  return Examples(examples.x[rows], examples.y[rows])
