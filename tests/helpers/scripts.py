"""Scripts of `launch` in processes of their own, and what a refusal is."""

import os
import subprocess
import sys

import places


def check_refused(result, *words):
  status, _, stderr = result
  assert status == 2, stderr
  assert stderr.startswith('error: ')
  assert stderr.count('\n') == 1 and stderr.endswith('\n'), stderr
  for word in words:
    assert word in stderr


def make_environment(**changes):
  """That of a process that finds the clone and the helpers of the tests."""
  path = os.pathsep.join([str(places.ROOT), str(places.ROOT / 'tests/helpers')])
  return {**os.environ, 'PYTHONPATH': path, **changes}


def start_script(module, *arguments, cwd, **changes):
  done = subprocess.run(
      [sys.executable, '-m', module, *arguments], cwd=cwd, check=False,
      capture_output=True, text=True, encoding='utf-8', timeout=120,
      env=make_environment(**changes))
  return done.returncode, done.stdout, done.stderr
