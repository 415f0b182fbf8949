"""MNIST-1D as a TFDS builder that makes its data: no network, no TensorFlow.

A record holds a block of up to 1,000 signals: one record per signal was
measured 15 times slower to prepare and to read. The tensors are stored as
bytes, because TFDS rounds plain float64 tensors to float32 and the published
signals are kept bit for bit.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from importlib import metadata
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from shallow_mimic import errors
from shallow_mimic.data.dataset import Examples
from shallow_mimic.data.sources import mnist1d_signals, prepared, tfds_reader

CLASSES = 10
SAMPLES = 40


@dataclasses.dataclass(eq=False, kw_only=True)
class Mnist1dConfig(tfds.core.BuilderConfig):
  """How many unlabelled transfer signals, and the seed they come from."""

  size: int = 0
  seed: int = 0


_LABELLED = Mnist1dConfig(
    name='labelled', description='The published signals alone.')


class Mnist1d(tfds.core.GeneratorBasedBuilder):
  """4,000 + 1,000 published signals in 10 classes, and a transfer split.

  A transfer split of 0 signals is left out. Features: `signals` [B, 40]
  float64 and `labels` [B] int64, -1 in the transfer split.
  """

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS: ClassVar = [_LABELLED]

  def _info(self) -> tfds.core.DatasetInfo:
    encoding = tfds.features.Encoding.BYTES
    features = tfds.features.FeaturesDict({
        'signals': tfds.features.Tensor(
            shape=(None, SAMPLES), dtype=np.float64, encoding=encoding),
        'labels': tfds.features.Tensor(
            shape=(None,), dtype=np.int64, encoding=encoding),
    })
    return tfds.core.DatasetInfo(
        builder=self,
        description='MNIST-1D in blocks of signals, made by its own program.',
        features=features,
        homepage='https://github.com/greydanus/mnist1d',
        disable_shuffling=True,  # The published order is part of the data.
    )

  def _split_generators(self, dl_manager: object) -> dict:
    del dl_manager
    published = mnist1d_signals.read_published()
    splits = {
        'train': self._generate_examples(
            _blocks(published['x']), _blocks(published['y'])),
        'test': self._generate_examples(
            _blocks(published['x_test']), _blocks(published['y_test'])),
    }
    config = self.builder_config
    if config.size:
      splits['transfer'] = self._generate_examples(
          mnist1d_signals.make_transfer_blocks(config.size, config.seed), None)
    return splits

  def _generate_examples(
      self, signals: Iterator[np.ndarray], labels: Iterator[np.ndarray] | None
  ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    for index, block in enumerate(signals):
      known = np.full(len(block), -1) if labels is None else next(labels)
      yield index, {'signals': block, 'labels': known.astype(np.int64)}


def prepare_mnist1d(
    data_dir: os.PathLike | str, size: int = 0, seed: int = 0
) -> Mnist1d:
  """Makes and stores MNIST-1D under `data_dir`, if it is not there whole.

  Args:
    data_dir: a TFDS data folder; it is made where missing.
    size: number of unlabelled transfer signals; 0 for none.
    seed: what the transfer signals are drawn from.

  Returns:
    The prepared builder: `builder.as_data_source('transfer')`.

  Raises:
    UserError: `mnist1d` is not installed, or see `prepared.open_copy`.
  """
  config = Mnist1dConfig(
      name=f'transfer_{size}_seed_{seed}', size=size, seed=seed,
      description=f'{size} transfer signals of seed {seed}.',
  ) if size else _LABELLED
  return prepared.open_copy(Mnist1d, data_dir, config, {
      'mnist1d': mnist1d_version(), 'size': size, 'seed': seed})


def read_mnist1d(
    data_dir: os.PathLike | str, size: int = 0, seed: int = 0
) -> dict[str, Examples]:
  """Reads `train`, `test` and, if `size`, `transfer`; see `prepare_mnist1d`.

  Returns:
    Examples by split: x [N, 40] float64, y [N] int32, -1 in `transfer`.
  """
  builder = prepare_mnist1d(data_dir, size, seed)
  with prepared.clear_copy_errors('MNIST-1D', data_dir):
    return _read_splits(builder)


def mnist1d_version() -> str:
  """Version of the installed `mnist1d` package.

  Raises:
    UserError: it is not installed.
  """
  try:
    return metadata.version('mnist1d')
  except metadata.PackageNotFoundError as error:
    raise errors.UserError(
        'the MNIST-1D data are made by the package `mnist1d`, which is not'
        ' installed; run: pip install mnist1d'
    ) from error


def _read_splits(builder: Mnist1d) -> dict[str, Examples]:
  examples = {}
  for split in builder.info.splits:
    source = tfds_reader.open_records(builder, split)
    blocks = source.__getitems__(list(range(len(source))))
    examples[split] = Examples(
        np.concatenate([block['signals'] for block in blocks]),
        np.concatenate([block['labels'] for block in blocks], dtype=np.int32,
                       casting='same_kind'))
  return examples


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
  for start in range(0, len(rows), mnist1d_signals.BLOCK):
    yield rows[start:start + mnist1d_signals.BLOCK]
