"""Experiments that come with the package, by name."""

from __future__ import annotations

import importlib.util
import pathlib

import ml_collections

from shallow_mimic import errors

_PACKAGE = pathlib.Path(__file__).parents[1]
# Of an installed copy; of a clone, where `launch` lies beside the package.
_FOLDERS = (_PACKAGE / 'launch' / 'configs',
            _PACKAGE.parent / 'launch' / 'configs')


def load(name: str, *options: str) -> ml_collections.ConfigDict:
  """The configuration of an experiment that comes with the package.

  A file for --config can begin from one: `configs.load('cifar10')`.

  Args:
    name: the experiment, as --config takes it.
    *options: for `get_config`, as what follows the colon in arrays:transfer.

  Raises:
    UserError: there is none of that name.
  """
  found = {path.stem: path for folder in reversed(_FOLDERS)
           for path in sorted(folder.glob('*.py')) if path.stem != '__init__'}
  if name not in found:
    raise errors.UserError(
        f'there is no experiment {name!r}; known: {", ".join(found)}')
  spec = importlib.util.spec_from_file_location(name, found[name])
  assert spec and spec.loader
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(*options)
