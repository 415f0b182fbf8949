"""One's own data: an `.npz` with x_train, y_train, x_test and y_test.

    python -m launch.run --config=launch/configs/arrays.py \
        --config.data.path=MY.npz

Optional arrays: x_dev with y_dev, else a part of train becomes dev; and
x_transfer, inputs without labels. With --config=arrays:transfer (or
launch/configs/arrays.py:transfer) the teachers label them for the mimics, as
they do noisy views of train in any case.
Ten minutes for 5,000 inputs of 100 numbers on two cores.
"""

import ml_collections

from shallow_mimic import configs


def get_config(more: str = '') -> ml_collections.ConfigDict:
  """Deep fully connected teachers, shallow students.

  Args:
    more: 'transfer' to use x_transfer.
  """
  if more not in ('', 'transfer'):
    raise ValueError(f'arrays:{more} is not known; arrays or arrays:transfer')
  config, unlabelled = configs.default_config(), 'train+views'
  config.data.source = 'arrays'
  config.data.dev = 500
  config.data.transfer = {'views': {
      'kind': 'views', 'copies': 8, 'jitter': 0.1, 'scale': 0.05}}
  if more:
    config.data.transfer.transfer = {'kind': 'arrays'}
    unlabelled += '+transfer'
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
      'SNN-MIMIC': configs.make_curve(teacher='EDNN', inputs=unlabelled),
      'SNN-MIMIC/DNN:0': configs.make_curve(
          teacher='DNN:0', inputs=unlabelled),
      'views/labels': configs.make_curve(**labels, inputs='train+views'),
      'all/pseudo': configs.make_curve(
          objective='pseudo_label', teacher='EDNN', inputs=unlabelled),
  }
  config.report.figure_width = 256
  return config
