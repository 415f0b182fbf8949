"""MNIST-1D made small, for tests: every stage in under 30 seconds.

python -m launch.run --config=launch/configs/mnist1d_smoke.py
"""

import ml_collections

from shallow_mimic import configs


def get_config() -> ml_collections.ConfigDict:
  """All stages, few steps: the numbers mean nothing."""
  config = configs.default_config()
  config.title = 'MNIST-1D, smoke test'
  config.data.transfer = {'generated': {'kind': 'generated', 'size': 2000}}
  config.teachers = {'CNN': configs.make_teacher(
      architecture='8c-p2-8c-p2-32fc', members=2, steps=60, eval_every=20)}
  config.ensembles = {'ECNN': configs.make_ensemble('CNN')}
  config.logits.part_rows = 1000
  students = config.students
  # One bucket: padding is cheaper here than another program.
  students.widths, students.waste = (8, 16, 64), 0.6
  students.seeds, students.steps, students.search_steps = 2, 60, 20
  students.learning_rates, students.eval_every = (0.01, 0.02), 20
  students.curves = {
      'SNN': configs.make_curve(objective='cross_entropy'),
      'SNN-MIMIC': configs.make_curve(teacher='ECNN', inputs='train+generated'),
  }
  config.report.figure_width = 64
  return config
