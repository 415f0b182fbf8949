"""CIFAR-10, all of it, with nets scaled down for two cores: about an hour.

    python -m launch.run --config=launch/configs/cifar10.py \
        --config.data.data_dir=FOLDER

FOLDER holds `cifar10` and `cifar100` as TFDS prepares them (leave it out for
TFDS's own). Two deep CNNs train on the labels with three views of each image
(17 minutes); students, 16c3-p-100L-H, imitate the mean of their logits on the
same images and on 10,000 of CIFAR-100 (half an hour and more). The same
students train on labels, without the views as in the paper, and with them.
"""

import ml_collections

from shallow_mimic import configs


def get_config() -> ml_collections.ConfigDict:
  """Two teachers, three widths, three seeds."""
  config = configs.default_config()
  config.title = 'CIFAR-10, small nets'
  data = config.data
  data.source, data.name, data.dev = 'tfds', 'cifar10', 5000
  data.input_shape, data.classes, data.examples = (32, 32, 3), 10, 45_000
  data.transfer = {
      'views': {'kind': 'views', 'copies': 3, 'crop': 4, 'flip': True},
      'cifar100': {'kind': 'tfds', 'name': 'cifar100', 'split': 'train',
                   'size': 10_000},
  }
  config.teachers = {'CNN': configs.make_teacher(
      architecture='32c3-p2-64c3-64c3-p2-128c3-128c3-p2-256fc', members=2,
      together=1, inputs='train+views', steps=4000, eval_every=500,
      learning_rate=0.0015, weight_decay=0.05,
      net={'dropout_hidden': 0.3, 'norm': 'group'})}
  config.ensembles = {'ECNN': configs.make_ensemble('CNN')}
  students = config.students
  students.architecture = '16c3-p-100L-H'
  students.widths = (250, 1000, 4000)
  students.learning_rates, students.rate_width = (0.001, 0.002, 0.004), 1000
  students.steps, students.search_steps = 4000, 400
  students.eval_every, students.bias_spread = 500, 0.0
  labels = {'objective': 'cross_entropy', 'weight_decays': (0.02,)}
  students.curves = {
      'SNN': configs.make_curve(**labels, dropout_hidden=0.3),
      'SNN + views': configs.make_curve(**labels, inputs='train+views'),
      'SNN-MIMIC': configs.make_curve(
          teacher='ECNN', inputs='train+views+cifar100',
          learning_rates=(0.002, 0.004, 0.008)),
  }
  config.report.figure_width = 1000
  config.report.latency = True
  return config
