"""Runs the main function of a script in this process."""

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
    try:
      with pytest.raises(SystemExit) as left:
        app.start(main)
    finally:
      for name in set(flags.FLAGS) - before - {'help'}:
        if name.split('.')[0] in ('config', 'workdir'):
          delattr(flags.FLAGS, name)
      for name in set(flags.FLAGS) & {'stages', 'only'}:
        flags.FLAGS[name].unparse()
      flags.FLAGS.unparse_flags()
    return left.value.code or 0, *capfd.readouterr()

  return launch
