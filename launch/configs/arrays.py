"""One's own data: an `.npz` with x_train, y_train, x_test and y_test.

    python -m launch.run --config=launch/configs/arrays.py \
        --config.data.path=MY.npz

Optional arrays: x_dev with y_dev, and x_transfer, inputs without labels that
the teachers label (then say `--config.students.curves.SNN-MIMIC.inputs=
train+transfer` and `--config.data.transfer.transfer.kind=arrays`). Without
them a tenth of train becomes dev, and noisy views of train the transfer set.
Ten minutes for 5,000 inputs of 100 numbers on two cores.
"""

import ml_collections

from shallow_mimic import configs


def get_config() -> ml_collections.ConfigDict:
  """Deep fully connected teachers, shallow students."""
  config = configs.default_config()
  config.data.source = 'arrays'
  config.data.dev = 500
  config.data.transfer = {'views': {
      'kind': 'views', 'copies': 8, 'noise': 0.1, 'scale': 0.05}}
  config.teachers = {'DNN': configs.make_teacher(
      architecture='512-512-512', members=4, inputs='train+views', steps=3000,
      learning_rate=0.001, net={'dropout_hidden': 0.3})}
  config.ensembles = {'EDNN': configs.make_ensemble('DNN'),
                      'DNN:0': configs.make_ensemble('DNN:0')}
  students = config.students
  students.learning_rates = (0.001, 0.003, 0.01, 0.03)
  labels = dict(objective='cross_entropy', weight_decays=(0.0, 0.1))
  students.curves = {
      'SNN': configs.make_curve(**labels),
      'SNN-dropout': configs.make_curve(**labels, dropout_hidden=0.5),
      'SNN-MIMIC': configs.make_curve(teacher='EDNN', inputs='train+views'),
      'SNN-MIMIC/DNN:0': configs.make_curve(
          teacher='DNN:0', inputs='train+views'),
      'views/labels': configs.make_curve(**labels, inputs='train+views'),
      'views/pseudo': configs.make_curve(
          objective='pseudo_label', teacher='EDNN', inputs='train+views'),
  }
  config.report.figure_width = 256
  return config
