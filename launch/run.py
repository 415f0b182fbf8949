r"""Runs an experiment, from data to report: the main job.

    python -m launch.run
    python -m launch.run --config=cifar10 --workdir=DIR \
        --config.students.seeds=5
    python -m launch.run --workdir=DIR --config.students.seeds=8

Start the same command again after a kill: it goes on where it was. Without
--config the configuration is that of the work directory, if something was run
there; flags change it, so that the last command adds three seeds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from absl import flags

from shallow_mimic import errors

from . import app

_STAGES = flags.DEFINE_list(
    'stages', None, 'Only these stages, in any order; those before them must be'
    ' finished. Of data, teachers, ensembles, logits, students, latencies,'
    ' curves; all if not given.')


_REDO = flags.DEFINE_list(
    'redo', [], 'Stages whose trained nets may be replaced where they no longer'
    ' fit; those are moved into DIR/old. Of those after them, too.')


def choose_stages(words: Sequence[str] | None, known: Sequence[str], *,
                  latency: bool = False) -> tuple[str, ...]:
  """The stages that --stages names, in the order in which they run.

  Args:
    words: what it names; None for all.
    known: all stages, in order.
    latency: whether the configuration asks for latencies.

  Raises:
    UserError: it names none, an unknown one, or `latencies` in vain.
  """
  if words is None:
    return tuple(known)
  for word in words or ['']:
    if word not in known:
      raise errors.UserError(
          f'--stages has {word!r}; known: {", ".join(known)}')
  if 'latencies' in words and not latency:
    raise errors.UserError(
        'config.report.latency is False; say --config.report.latency=True')
  return tuple(stage for stage in known if stage in words)


def main() -> None:
  """Runs the stages and says where the report is."""
  from shallow_mimic import pipeline  # noqa: PLC0415  (JAX loads slowly)

  config, started = flags.FLAGS.config, time.monotonic()
  stages = choose_stages(_STAGES.value, tuple(pipeline.STAGES),
                         latency=config.report.latency)
  for word in _REDO.value:
    if word not in pipeline.STAGES:
      raise errors.UserError(
          f'--redo has {word!r}; known: {", ".join(pipeline.STAGES)}')
  report = pipeline.run(config, app.chosen_workdir(), stages=stages,
                        redo=_REDO.value)
  if 'curves' in stages:
    print(f'report: {report} ({time.monotonic() - started:.0f} s)')


def start() -> None:
  """Runs the script."""
  app.start(main)


if __name__ == '__main__':
  start()
