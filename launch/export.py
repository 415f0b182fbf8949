r"""Writes one student of a finished run as a folder that runs without us.

    python -m launch.export --workdir=DIR --to=FOLDER
    python -m launch.export --workdir=DIR --model=SNN-MIMIC --width=256 \
        --seed=0 --to=FOLDER

What is left out of --model, --width and --seed is chosen on dev; without a
model, among the plain mimics. The configuration is that of the work directory.
"""

import pathlib

from absl import flags

from shallow_mimic import packages

from . import app

_MODEL = flags.DEFINE_string(
    'model', '', 'The student\'s name in the report; any plain mimic if not'
    ' given.')
_WIDTH = flags.DEFINE_integer(
    'width', None, 'Its width; the best on dev if not given.')
_SEED = flags.DEFINE_integer(
    'seed', None, 'Its seed; the best on dev if not given.')
_TO = flags.DEFINE_string(
    'to', '', 'The folder to write, absent or empty; ./export if not given.')


def main() -> None:
  """Exports the student and says which it is."""
  packages.require('export')
  from shallow_mimic.pipeline import export  # noqa: PLC0415  (slow)

  wanted = export.Wanted(_MODEL.value, _WIDTH.value, _SEED.value)
  target = pathlib.Path(_TO.value or 'export').expanduser()
  record = export.export_student(
      app.chosen_workdir(), wanted, target, config=flags.FLAGS.config)
  print(f'{record.model}, width {record.width}, seed {record.seed}:'
        f' {target}')


def start() -> None:
  """Runs the script."""
  app.start(main)


if __name__ == '__main__':
  start()
