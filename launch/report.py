r"""Draws the report of a run, or of several side by side, from what is there.

    python -m launch.report DIR
    python -m launch.report DIR OTHER --to=FOLDER --title="Two teachers"

One directory: its report is drawn anew in DIR/report. Several: one page and one
results.csv in FOLDER, with the differences between the runs, what differs in
their configurations, and each run by itself. Trains nothing, and leaves out
students that are not trained yet.
"""

import pathlib

from absl import flags

from shallow_mimic import errors

from . import app

_TO = flags.DEFINE_string(
    'to', '', 'Of several directories: the folder to write, absent, empty or'
    ' written so before; ./report if not given.',
    allow_override=True)  # Export has one of its own.
_TITLE = flags.DEFINE_string(
    'title', '', 'The page\'s heading, in place of that of the configuration.')


def main(*directories: str) -> None:
  """Draws the report, and prints its table and where it is."""
  if directories and flags.FLAGS['workdir'].present:
    raise errors.UserError(
        f'--workdir beside {directories[0]}; name all directories without it')
  page = (_draw_several(directories) if len(directories) > 1
          else _draw_one(*directories))
  print(page.with_name('table.txt').read_text(encoding='utf-8').rstrip())
  print('report:', page)


def _draw_one(directory: str = '') -> pathlib.Path:
  from shallow_mimic import pipeline  # noqa: PLC0415  (JAX loads slowly)

  if _TO.value:
    raise errors.UserError(
        '--to is for several directories; the report of one lies in it')
  config = flags.FLAGS.config
  if _TITLE.value:
    config.title = _TITLE.value
  root = (pathlib.Path(directory).expanduser() if directory
          else app.chosen_workdir())
  return pipeline.write_report(root, config=config)


def _draw_several(directories: tuple[str, ...]) -> pathlib.Path:
  from shallow_mimic import pipeline  # noqa: PLC0415

  if changed := list(flags.FLAGS['config'].override_values):  # type: ignore
    raise errors.UserError(
        f'--config.{changed[0]}: of several directories each has its own'
        ' configuration; draw that one alone')
  return pipeline.write_side_by_side(
      [pathlib.Path(directory).expanduser() for directory in directories],
      pathlib.Path(_TO.value or 'report').expanduser(), title=_TITLE.value)


def start() -> None:
  """Runs the script."""
  app.start(main, app.Script(directories=True))


if __name__ == '__main__':
  start()
