"""Says what an experiment will do: nets, buckets, memory, work, time.

    python -m launch.plan --config=cifar10_paper

Trains nothing.
"""

from absl import flags

from . import app


def main() -> None:
  """Prints the plan."""
  from shallow_mimic.pipeline import plan as planning  # noqa: PLC0415  (slow)

  config = flags.FLAGS.config
  print(planning.make_plan(
      config, planning.stated_shapes(config), planning.matmul_rate()
  ))


def start() -> None:
  """Runs the script."""
  app.start(main)


if __name__ == '__main__':
  start()
