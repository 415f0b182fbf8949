"""Says what an experiment will do: nets, buckets, memory, work, time.

    python -m launch.plan --config=cifar10_paper

Trains nothing.
"""

from absl import flags

from . import app


def main() -> None:
  """Prints the plan."""
  from shallow_mimic.pipeline import plan as planning  # noqa: PLC0415  (slow)
  from shallow_mimic.pipeline import plan_memory  # noqa: PLC0415

  config = flags.FLAGS.config
  rate, start_up = planning.matmul_rate(), plan_memory.measure_start_up()
  print(planning.make_plan(
      config, planning.stated_shapes(config), rate, start_up))


def start() -> None:
  """Runs the script."""
  app.start(main)


if __name__ == '__main__':
  start()
