"""The source `timit`: the folder of TIMIT, or of NLTK's sample, at `path`."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.sources import transfer
from shallow_mimic.data.sources.source import Shapes, Source
from shallow_mimic.speech import features, phones

if TYPE_CHECKING:
  from shallow_mimic import configs

# Training frames of the whole of TIMIT.
_FRAMES = 1_124_823


def _read(config: configs.Data, cache_dir: pathlib.Path) -> Dataset:
  from shallow_mimic.data.sources import timit_frames  # noqa: PLC0415

  return timit_frames.read_speech(
      config, transfer.transfer_specs(config), cache_dir)


def _digest(config: configs.Data) -> str:
  from shallow_mimic.data.sources import timit_builder  # noqa: PLC0415

  return timit_builder.folder_digest(config.path)


def _shapes(config: configs.Data) -> Shapes:
  maps = 3 * (2 * config.speech.reach + 1)  # Static, Δ and ΔΔ of a frame.
  return Shapes((features.STATIC, maps), phones.STATES,
                config.examples or _FRAMES)


SOURCE = Source(name='timit', read=_read, digest=_digest, shapes=_shapes,
                kinds=('waveforms', 'wavs'), speech=True)
