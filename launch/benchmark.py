"""Measures speed, memory and scaling as ratios within one run.

    python -m launch.benchmark     (extras: `bench` for PyTorch, `speech`)

Contenders take turns and medians are compared. A ratio above 1 means that
the other takes that many times as long as ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from absl import flags

from shallow_mimic import errors

from . import app

_ONLY = flags.DEFINE_list(
    'only', [], 'Which of family, matmul, teacher, cache, streaming, frames,'
    ' speech, widths, devices, keeping, memory; all if empty.'
)


def format_table(rows: Sequence[Mapping[str, str]]) -> str:
  """Rows as a Markdown table; columns in the order of their first use."""
  columns = list(dict.fromkeys(key for row in rows for key in row))
  lines = [columns, ['---'] * len(columns)]
  lines += [[row.get(column, '') for column in columns] for row in rows]
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def has_torch() -> bool:
  """Whether the extra `bench` is installed."""
  try:
    import torch  # noqa: F401, PLC0415
  except ImportError:
    print('PyTorch is not installed (extra `bench`): its columns are left out')
    return False
  return True


def _topics(torch: bool) -> dict[str, Callable[[], list[dict[str, str]]]]:
  from .benchmarks import (  # noqa: PLC0415
    family,
    growth,
    keeping,
    matmul,
    memory,
    speech,
    streaming,
    teacher,
  )

  return {
      'matmul': lambda: matmul.compare(torch=torch),
      'family': lambda: [family.compare(case, matmul.peak(), torch=torch)
                         for case in family.CASES],
      'teacher': lambda: teacher.compare(torch=torch),
      'cache': lambda: [teacher.compare_cache()],
      'streaming': lambda: [streaming.compare()],
      'frames': lambda: [speech.compare_frames(case) for case in speech.CASES],
      'speech': speech.measure_speech,
      'widths': growth.grow_widths,
      'devices': growth.grow_devices,
      'keeping': keeping.compare,
      'memory': memory.compare,
  }


def main() -> None:
  """Prints one table a topic."""
  topics = _topics(has_torch())
  for name in _ONLY.value:
    if name not in topics:
      raise errors.UserError(
          f'--only has {name!r}; known: {", ".join(topics)}')
  for name in _ONLY.value or topics:
    try:
      print(f'\n{format_table(topics[name]())}', flush=True)
    except errors.UserError as error:  # An extra is not installed.
      print(f'\n{name} is left out: {error}', flush=True)


def start() -> None:
  """Runs the script."""
  app.start(main, app.Script(''))


if __name__ == '__main__':
  start()
