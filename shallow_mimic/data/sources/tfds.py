"""The source `tfds`: the data set `name` that TFDS prepared in `data_dir`.

`splits` are those to use as train, dev and test, where they are not 'train',
'validation' or 'dev' (if there) and 'test'; none may share examples.
"""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from shallow_mimic.data.sources.digests import digest_files
from shallow_mimic.data.sources.source import Raw, Source, present

if TYPE_CHECKING:
  from shallow_mimic import configs


def _read(config: configs.Data, cache_dir: pathlib.Path) -> Raw:
  from shallow_mimic.data.sources import tfds_reader  # noqa: PLC0415

  del cache_dir
  builder = tfds_reader.open_tfds(config.name, config.data_dir)
  named = tfds_reader.name_splits(builder, present(config.splits))
  return Raw(builder.name, tfds_reader.class_count(builder), {
      part: tfds_reader.read_tfds(builder, split)
      for part, split in named.items()})


def digest_tfds(name: str, data_dir: str) -> dict[str, str]:
  """SHA-256 of every file of a prepared data set, by the file's name."""
  from shallow_mimic.data.sources import tfds_reader  # noqa: PLC0415

  folder = pathlib.Path(tfds_reader.open_tfds(name, data_dir).data_path)
  paths = sorted(path for path in folder.iterdir() if path.is_file())
  return {path.name: digest for path, digest in zip(
      paths, digest_files(name, paths), strict=True)}


def _digest(config: configs.Data) -> dict[str, str]:
  return digest_tfds(config.name, config.data_dir)


def _shapes(config: configs.Data) -> None:
  """A plan is made before the data are prepared: the configuration says it."""


SOURCE = Source(name='tfds', read=_read, digest=_digest, shapes=_shapes,
                kinds=('split',))
