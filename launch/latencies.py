"""Runs the stage `latencies` alone; the students must be finished.

The work directory must be of a run with the same --config.report.latency=True.

python -m launch.latencies --config=launch/configs/mnist1d.py --workdir=DIR \
    --config.report.latency=True
"""

from absl import flags

from launch import app, stage


def main() -> None:
  """Measures, where the configuration asks for it."""
  from shallow_mimic import errors  # noqa: PLC0415

  if not flags.FLAGS.config.report.latency:
    raise errors.UserError(
        'config.report.latency is False; say --config.report.latency=True')
  stage.run('latencies')


if __name__ == '__main__':
  app.start(main)
