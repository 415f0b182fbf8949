"""Draws the report of a finished run, and prints its table.

    python -m launch.report --config=cifar10 --workdir=DIR

Trains nothing. A report that is there already is verified and kept: delete
DIR/report to have it drawn anew.
"""

from absl import flags

from . import app


def main() -> None:
  """Runs the last stage alone."""
  from shallow_mimic import pipeline  # noqa: PLC0415  (JAX loads slowly)

  print('report:', pipeline.write_report(
      app.chosen_workdir(), config=flags.FLAGS.config))


def start() -> None:
  """Runs the script."""
  app.start(main)


if __name__ == '__main__':
  start()
