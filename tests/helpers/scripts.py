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


def start_script(module, *arguments, cwd):
  done = subprocess.run(
      [sys.executable, '-m', module, *arguments], cwd=cwd, check=False,
      capture_output=True, text=True, timeout=120,
      env={**os.environ, 'PYTHONPATH': str(places.ROOT)})
  return done.returncode, done.stdout, done.stderr
