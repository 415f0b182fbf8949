"""Runs one stage of the pipeline."""

from absl import flags

from launch import app


def run(name: str) -> None:
  """Runs the stage `name` in the chosen work directory."""
  from shallow_mimic import pipeline  # noqa: PLC0415  (JAX loads slowly)

  pipeline.run(flags.FLAGS.config, app.chosen_workdir(), stages=(name,))
