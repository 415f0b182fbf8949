"""The paper's TIMIT nets on frames of one's own: an `.npz` of 1,845 features.

    python -m launch.plan --config=launch/configs/timit_shapes.py
    python -m launch.run --config=launch/configs/timit_shapes.py \
        --config.data.path=FRAMES.npz

Inputs are 15 frames of 123 filter-bank features, labels 183 phone states.
Full size: for a GPU. No corpus comes with the package.
"""

import ml_collections

from shallow_mimic import configs


def get_config() -> ml_collections.ConfigDict:
  """DNN 2k-2k-2k as teacher; SNN-MIMIC 250L-8k to 250L-400k as students."""
  config = configs.default_config()
  config.title = 'The paper\'s TIMIT nets'
  data = config.data
  data.source = 'arrays'
  data.input_shape, data.classes, data.examples = (1845,), 183, 1_124_823
  config.teachers = {'DNN': configs.make_teacher(
      architecture='2k-2k-2k', members=3, steps=50_000, eval_every=2000,
      learning_rate=0.0005, net={'dropout_hidden': 0.4})}
  config.ensembles = {'EDNN': configs.make_ensemble('DNN')}
  students = config.students
  students.architecture = '250L-H'
  students.widths = (8000, 50_000, 400_000)
  students.seeds, students.batch, students.eval_every = 1, 512, 2000
  students.steps, students.search_steps = 50_000, 5000
  students.learning_rates = (0.0003, 0.001, 0.003)
  students.curves = {
      'SNN': configs.make_curve(
          objective='cross_entropy', dropout_hidden=0.4),
      'SNN-MIMIC': configs.make_curve(teacher='EDNN'),
  }
  config.report.figure_width = 8000
  return config
