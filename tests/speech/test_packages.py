import importlib.util
import re

import pytest

from shallow_mimic import errors
from shallow_mimic.speech import packages


def test_all_are_there():
  packages.check_packages()


def test_what_is_missing_is_named(monkeypatch):
  found = importlib.util.find_spec
  monkeypatch.setattr(
      importlib.util, 'find_spec',
      lambda name: None if name in ('rapidfuzz', 'soxr') else found(name))
  message = ('speech needs packages that are not installed (rapidfuzz, soxr);'
             ' run: pip install "shallow-mimic[speech]"')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    packages.check_packages()
