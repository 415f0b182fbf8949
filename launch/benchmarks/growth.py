"""How time and memory grow with the sum of widths, and with devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import jax

from shallow_mimic import training
from shallow_mimic.training.program import make_program

from . import family as family_bench
from . import timing


def grow_widths() -> list[dict[str, str]]:
  """Families of 1, 2 and 4 times as many units: time and state a unit."""
  rows = []
  for widths in ((256, 512), (256, 512, 768), (256, 512, 1024, 1280)):
    case = family_bench.Case('', 40, 10, widths, 3, 128, steps=50)
    members = family_bench.make_members(case)
    inputs = family_bench.make_inputs(case)
    program = make_program(members, inputs, training.Settings(
        training.Recipe(steps=10, batch=128), eval_every=1, devices=1))
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(program.states))
    run = family_bench.make_run(members, case, inputs)
    seconds = timing.measure({'run': run}, rounds=5)['run'] / case.steps
    units = case.seeds * sum(widths)
    rows.append({
        'Σ width': str(units), 'widest × members':
        str(max(widths) * len(members)), 'ms a step': f'{1e3 * seconds:.2f}',
        'µs a unit': f'{1e6 * seconds / units:.3f}',
        'state, bytes a unit': f'{size / units:.0f}',
    })
  return rows


def grow_devices() -> list[dict[str, str]]:
  """The same family on 1, 2 and 4 simulated devices of one machine.

  They share its cores: no speed-up is to be had beyond these, only the cost
  of splitting is to be seen.
  """
  rows = []
  for devices in (1, 2, 4):
    flags = f'--xla_force_host_platform_device_count={devices}'
    result = subprocess.run(
        [sys.executable, '-m', __name__], check=True,
        env={**os.environ, 'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu'},
        capture_output=True, text=True,
    )
    rows.append({'simulated devices': str(devices),
                 **json.loads(result.stdout.splitlines()[-1])})
  return rows


def main() -> None:
  """Prints milliseconds a step by split, on all devices of this process."""
  case = family_bench.CASES[0]
  members = family_bench.make_members(case)
  inputs = family_bench.make_inputs(case)
  seconds = timing.measure({
      split: family_bench.make_run(members, case, inputs, devices=0,
                                   split=split)
      for split in ('family', 'batch')
  }, rounds=5)
  print(json.dumps({f'{split} split, ms a step': f'{1e3 * t / case.steps:.2f}'
                    for split, t in seconds.items()}))


if __name__ == '__main__':
  main()
