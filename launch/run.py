"""Runs an experiment, from data to report: the main job.

    python -m launch.run
    python -m launch.run --config=launch/configs/cifar10.py --workdir=DIR \
        --config.students.seeds=5

Start the same command again after a kill: it goes on where it was.
"""

import time

from absl import flags

from launch import app


def main() -> None:
  """Runs all stages and says where the report is."""
  from shallow_mimic import pipeline  # noqa: PLC0415  (JAX loads slowly)

  started = time.monotonic()
  report = pipeline.run(flags.FLAGS.config, app.chosen_workdir())
  print(f'report: {report} ({time.monotonic() - started:.0f} s)')


def run() -> None:
  """The script; also the `shallow-mimic` command."""
  app.start(main)


if __name__ == '__main__':
  run()
