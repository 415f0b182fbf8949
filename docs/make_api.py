"""Builds the API reference from the docstrings: what each room shows.

    python docs/make_api.py docs/api

A warning is an error. Nothing is fetched; the pages need no network either.
"""

from __future__ import annotations

import pathlib
import pkgutil
import re
import sys
import warnings

import jax
import pdoc
import pdoc.render

# Modules that are a door of their own, beside the faces of packages.
_DOORS = ('shallow_mimic.ensembles', 'shallow_mimic.errors')


class ArrayLike:
  """Stands for JAX's union of eight types, so that signatures can be read."""

  __module__ = 'jax.typing'


def find_specs() -> list[str]:
  """The package and its rooms, each without the modules inside it."""
  import shallow_mimic  # noqa: PLC0415  (after `ArrayLike` is in place)

  rooms = sorted(
      module.name for module in pkgutil.walk_packages(
          shallow_mimic.__path__, 'shallow_mimic.')
      if module.ispkg and '.launch' not in module.name)
  specs = []
  for name in ('shallow_mimic', *rooms):
    specs += [name, f'!{re.escape(name)}\\..*']
  return [*specs, *_DOORS]


def main(folder: str) -> None:
  """Writes the pages, and says where."""
  warnings.simplefilter('error')
  # It cannot look up types of a NamedTuple's constructor: it prints their text.
  warnings.filterwarnings('ignore', r'Error parsing .*\.__init__\.')
  jax.typing.ArrayLike = ArrayLike
  jax.Array.__qualname__ = 'Array'
  here, target = pathlib.Path(__file__).parent, pathlib.Path(folder)
  pdoc.render.configure(docformat='google', show_source=False,
                        template_directory=here / 'templates')
  pdoc.pdoc(*find_specs(), output_directory=target)
  print(target / 'index.html')


if __name__ == '__main__':
  main(*sys.argv[1:])
