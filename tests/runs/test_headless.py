"""Modules that bring matplotlib along, whatever MPLBACKEND says."""

import os
import subprocess
import sys

import pytest

from shallow_mimic.runs.headless import import_headless


@pytest.mark.parametrize(('backend', 'used'), [
    ('module://matplotlib_inline.backend_inline', None), ('nonsense', None),
    ('', None), ('svg', 'svg')])
def test_a_backend_that_is_not_here_is_no_matter(backend, used):
  code = (
      'import os\n'
      'from shallow_mimic.runs.headless import import_headless\n'
      'import_headless("mnist1d.data").get_templates()\n'  # Brings pyplot.
      'found = import_headless("matplotlib").rcParams\n'
      'print(os.environ["MPLBACKEND"], dict.get(found, "backend"))')
  done = subprocess.run(
      [sys.executable, '-c', code], text=True, capture_output=True,
      check=False, env=os.environ | {'MPLBACKEND': backend})
  assert done.returncode == 0, done.stderr
  # A user's own figures are shown as they would be without us.
  first, second = done.stdout.removesuffix('\n').split(' ', maxsplit=1)
  assert first == backend and (second == used or not used)


@pytest.mark.parametrize('backend', [None, 'agg'])
def test_a_module_that_is_not_here_is_still_missed(monkeypatch, backend):
  monkeypatch.delitem(sys.modules, 'matplotlib', raising=False)
  monkeypatch.delenv('MPLBACKEND', raising=False)
  if backend:
    monkeypatch.setenv('MPLBACKEND', backend)
  with pytest.raises(ModuleNotFoundError, match='no_such_module'):
    import_headless('no_such_module')
  assert os.environ.get('MPLBACKEND') == backend
