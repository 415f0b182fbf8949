"""Whether what speech needs beside the package itself is installed."""

from __future__ import annotations

import importlib.util

from shallow_mimic import errors

# What the modules here import where they use it: the extra `speech`.
PACKAGES = ('kaldi_native_fbank', 'rapidfuzz', 'soundfile', 'soxr')


def check_packages() -> None:
  """UserError that names what is missing, before hours are spent."""
  missing = [name for name in PACKAGES if not importlib.util.find_spec(name)]
  if missing:
    raise errors.UserError(
        f'speech needs packages that are not installed ({", ".join(missing)});'
        ' run: pip install "shallow-mimic[speech]"')
