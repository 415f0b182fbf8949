"""Runs the main function of a script in this process."""

import functools
import sys

import pytest
from absl import flags

from launch import app


@pytest.fixture(name='launch')
def make_launch(monkeypatch, capfd, tmp_path):
  """launch(main, *arguments): status, stdout, stderr of a script, here.

  Absl keeps its flags for the whole process; they are taken out afterwards.
  """
  monkeypatch.chdir(tmp_path)

  def launch(main, *arguments):
    monkeypatch.setattr(sys, 'argv', ['script', *arguments])
    before = set(flags.FLAGS)
    module = sys.modules[main.__module__]
    start = (module.start if main is getattr(module, 'main', None)
             else functools.partial(app.start, main))
    try:
      with pytest.raises(SystemExit) as left:
        start()
    finally:
      for name in set(flags.FLAGS) - before - {'help'}:
        if name.split('.')[0] in ('config', 'workdir'):
          delattr(flags.FLAGS, name)
      for module, ours in flags.FLAGS.flags_by_module_dict().items():
        for flag in ours if str(module).startswith('launch') else ():
          flag.unparse()
      flags.FLAGS.unparse_flags()
    return left.value.code or 0, *capfd.readouterr()

  return launch
