"""The source `mnist1d`: 4,000 + 1,000 signals, and as many more as wanted."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from shallow_mimic.data.dataset import Examples
from shallow_mimic.data.sources import transfer
from shallow_mimic.data.sources.source import Raw, Shapes, Source, without_dev

if TYPE_CHECKING:
  from shallow_mimic import configs


def _read(config: configs.Data, cache_dir: pathlib.Path) -> Raw:
  from shallow_mimic.data.sources import mnist1d_builder  # noqa: PLC0415

  folder = pathlib.Path(config.data_dir or cache_dir).expanduser()
  parts: dict[str, Examples] = {}
  for seed, size in (transfer.generated_sizes(config) or {0: 0}).items():
    made = mnist1d_builder.read_mnist1d(folder, size, seed)
    if size:
      parts[f'generated.{seed}'] = made.pop('transfer')
    parts |= made
  return Raw('mnist1d', mnist1d_builder.CLASSES, parts)


def _digest(config: configs.Data) -> list[str]:
  """The versions of the package that makes them and of how they are kept."""
  from shallow_mimic.data.sources import mnist1d_builder  # noqa: PLC0415

  del config
  return [mnist1d_builder.mnist1d_version(),
          str(mnist1d_builder.Mnist1d.VERSION)]


def _shapes(config: configs.Data) -> Shapes:
  return Shapes((40,), 10, without_dev(config, 4000, 'MNIST-1D'))


SOURCE = Source(name='mnist1d', read=_read, digest=_digest, shapes=_shapes,
                kinds=('generated',))
