"""With what results are made: versions, precision, cores and devices.

They are recorded with every result. Equal bits are promised where they are
equal: sums are split over the cores, so that another number of them can change
the last bits. Where they differ from today's it is told, never refused.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

import jax

from shallow_mimic import __version__
from shallow_mimic.runs import limits

_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'numpy')


def find_versions() -> dict[str, Any]:
  """Versions of the packages, x64 mode, cores and devices of this process."""
  found: dict[str, Any] = {'shallow_mimic': __version__}
  found |= {name: version for name in _PACKAGES
            if (version := _find_version(name))}
  device = jax.devices()[0]
  return found | {
      'x64': jax.dtypes.canonicalize_dtype('float64') == 'float64',
      'cores': limits.count_cores(),
      'devices': f'{jax.device_count()} × {device.platform}'
                 f' {device.device_kind}'}


@functools.cache
def _find_version(name: str) -> str:
  try:
    return metadata.version(name)
  except metadata.PackageNotFoundError:  # Losses alone need no Flax.
    return ''


def say_differences(made_with: Iterable[Mapping[str, Any]]) -> str:
  """One sentence on what was made with other versions than today's.

  '' where there is none.

  Args:
    made_with: of every result in use.
  """
  today = find_versions()
  others: dict[str, dict[str, None]] = {}
  for one in made_with:
    for name in sorted({*one, *today}):
      if one.get(name) != today.get(name):
        others.setdefault(name, {})[str(one.get(name))] = None
  if not others:
    return ''
  said = ', '.join(
      f'{name} {" and ".join(theirs)} (now {today.get(name)})'
      for name, theirs in others.items())
  return ('Made partly with other versions than today\'s, so that the last'
          f' bits may differ: {said}.')
