"""A --config file of seconds, for today's code and for that of old commits.

It uses only what both have: two teachers, an ensemble of both, a transfer set,
two curves. `save_seconds` is 0: a checkpoint is written after every step, of
which there are few.
"""

from __future__ import annotations

import ml_collections

from shallow_mimic import configs


def get_config() -> ml_collections.ConfigDict:
  """What --config wants; the `.npz` file comes as --config.data.path."""
  config = configs.default_config()
  config.data.source = 'arrays'
  config.data.transfer = {'transfer': {'kind': 'arrays'}}
  config.teachers = {'DNN': configs.make_teacher(
      architecture='8-8', members=2, steps=6, batch=16, eval_every=3)}
  config.ensembles = {'EDNN': configs.make_ensemble('DNN')}
  config.logits.part_rows = 25
  students = config.students
  # One bucket: less to compile.
  students.widths, students.waste, students.seeds = (3, 4), 0.9, 2
  students.steps, students.search_steps = 6, 4
  students.batch, students.eval_every = 16, 2
  students.learning_rates = (0.01, 0.05)
  students.curves = {
      'SNN': configs.make_curve(objective='cross_entropy'),
      'SNN-MIMIC': configs.make_curve(teacher='EDNN', inputs='train+transfer'),
  }
  config.parallel.devices, config.parallel.save_seconds = 1, 0.0
  return config
