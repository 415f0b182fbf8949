"""What the extras bring, and one line where one of them is not installed."""

from __future__ import annotations

import importlib.util

from shallow_mimic import errors

# What each extra is for, and the packages of it that we import. (What has no
# wheel on some platform is missed by whoever needs it, TensorFlow Datasets.)
_EXTRAS = {
    'run': ('running an experiment', (
        'flax', 'grain', 'matplotlib', 'ml_collections', 'mnist1d', 'orbax',
        'tensorflow_datasets', 'tqdm')),
    'speech': ('speech', (
        'kaldi_native_fbank', 'rapidfuzz', 'soundfile', 'soxr')),
    'export': ('exporting a student', ('flatbuffers', 'safetensors')),
}


class MissingPackageError(errors.UserError, ImportError):
  """An extra is not installed."""


def require(extra: str) -> None:
  """Checks, before hours are spent, that an extra is installed.

  Args:
    extra: 'run', 'speech' or 'export'.

  Raises:
    MissingPackageError: names the packages that are missing, and the extra.
  """
  purpose, names = _EXTRAS[extra]
  missing = [name for name in names if not importlib.util.find_spec(name)]
  if missing:
    raise MissingPackageError(
        f'{purpose} needs packages that are not installed'
        f' ({", ".join(missing)}); run: pip install "shallow-mimic[{extra}]"')
