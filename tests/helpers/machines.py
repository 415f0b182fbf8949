"""Machines that refuse something, in this process."""

import contextlib
import os
import resource


@contextlib.contextmanager
def few_files(count, limit=64):
  """So many more files can be opened by this process, and no more."""
  opened = []
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
  try:
    with contextlib.suppress(OSError):
      while True:
        opened.append(os.open(os.devnull, os.O_RDONLY))
    for file in opened[:count]:
      os.close(file)
    del opened[:count]
    yield
  finally:
    for file in opened:
      os.close(file)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
