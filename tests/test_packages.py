import importlib.util
import re
import subprocess
import sys

import places
import pytest
from scripts import make_environment

from shallow_mimic import errors, packages


@pytest.mark.parametrize('extra', ['run', 'speech', 'export'])
def test_all_are_there(extra):
  packages.require(extra)


def test_what_is_missing_is_named(monkeypatch):
  found = importlib.util.find_spec
  monkeypatch.setattr(
      importlib.util, 'find_spec',
      lambda name: None if name in ('rapidfuzz', 'soxr') else found(name))
  message = ('speech needs packages that are not installed (rapidfuzz, soxr);'
             ' run: pip install "shallow-mimic[speech]"')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    packages.require('speech')


BLOCKED = """
import importlib.machinery, runpy, sys

class Finder(importlib.machinery.PathFinder):
  @classmethod
  def find_spec(cls, name, path=None, target=None):
    if name.split('.')[0] not in ('flax', 'ml_collections', 'orbax'):
      return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Finder
"""
LINE = ('running an experiment needs packages that are not installed (flax,'
        ' ml_collections, orbax); run: pip install "shallow-mimic[run]"\n')


def run_light(code):
  """Code in a process that has only the packages of the light install."""
  found = subprocess.run(
      [sys.executable, '-c', BLOCKED + code], cwd=places.ROOT, check=False,
      capture_output=True, text=True, encoding='utf-8', env=make_environment())
  return found.returncode, found.stdout, found.stderr


@pytest.mark.parametrize('script', ['run', 'plan', 'report', 'export', 'folds'])
def test_a_script_names_the_extra(script):
  code = (f"sys.argv = ['script', '--config=mnist1d_smoke']\n"
          f"runpy.run_module('launch.{script}', run_name='__main__')")
  assert run_light(code) == (2, '', f'error: {LINE}')


@pytest.mark.parametrize('module', ['pipeline', 'configs'])
def test_an_import_names_the_extra(module):
  status, _, stderr = run_light(f'import shallow_mimic.{module}')
  assert status == 1
  assert stderr.endswith(f'MissingPackageError: {LINE}')
  code = (f'try:\n  import shallow_mimic.{module}\n'
          'except ImportError:\n  print(1)')
  assert run_light(code) == (0, '1\n', '')


def test_help_needs_no_extra():
  code = ("sys.argv = ['script', '--help']\n"
          "runpy.run_module('launch.run', run_name='__main__')")
  status, stdout, stderr = run_light(code)
  assert (status, stderr) == (0, '')
  assert '  mnist1d_smoke ' in stdout
