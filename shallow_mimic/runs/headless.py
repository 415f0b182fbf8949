"""matplotlib without a screen, whatever the environment says of its backend."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import Any


def import_headless(name: str) -> Any:
  """Imports a module that needs matplotlib, or brings it along.

  A notebook's child inherits MPLBACKEND, the notebook's way to show figures.
  Where that backend is not installed, matplotlib refuses to be imported: so
  it learns of it afterwards, and may refuse. Nothing here is shown on a screen.
  """
  if 'matplotlib' in sys.modules or not os.environ.get('MPLBACKEND'):
    return importlib.import_module(name)
  backend = os.environ.pop('MPLBACKEND')
  try:
    module = importlib.import_module(name)
  finally:
    os.environ['MPLBACKEND'] = backend
  if matplotlib := sys.modules.get('matplotlib'):
    with contextlib.suppress(ValueError):
      matplotlib.rcParams['backend'] = backend
  return module
