"""CIFAR-10, all of it, with nets scaled down for two cores: half an hour.

    python -m launch.run --config=launch/configs/cifar10.py \
        --config.data.data_dir=FOLDER

FOLDER holds `cifar10` and `cifar100` as TFDS prepares them (leave it out for
TFDS's own). Students are 16c3-p-100L-H, on labels and as mimics of two small
CNNs; CIFAR-100 images and a view of each training image are the transfer set.
So few steps leave the mimics behind the nets on labels; give them more with
`--config.students.steps=20000 --config.teachers.CNN.steps=10000`.
"""

import ml_collections

from shallow_mimic import configs

_ALL = 'train+views+cifar100'


def get_config() -> ml_collections.ConfigDict:
  """Two teachers, three widths, three seeds."""
  config = configs.default_config()
  config.title = 'CIFAR-10, small nets'
  data = config.data
  data.source, data.name, data.dev = 'tfds', 'cifar10', 5000
  data.input_shape, data.classes, data.examples = (32, 32, 3), 10, 45_000
  data.transfer = {
      'views': {'kind': 'views', 'copies': 1, 'crop': 3, 'flip': True},
      'cifar100': {'kind': 'tfds', 'name': 'cifar100', 'split': 'train',
                   'size': 10_000},
  }
  config.teachers = {'CNN': configs.make_teacher(
      architecture='32c3-p2-64c3-p2-64c3-p2-256fc', members=2, together=1,
      inputs='train+views', steps=1500, eval_every=500, learning_rate=0.002,
      net={'dropout_hidden': 0.5, 'norm': 'group'})}
  config.ensembles = {'ECNN': configs.make_ensemble('CNN')}
  students = config.students
  students.architecture = '16c3-p-100L-H'
  students.widths = (250, 1000, 4000)
  students.learning_rates = (0.0005, 0.001, 0.002)
  students.steps, students.search_steps = 1200, 150
  students.eval_every, students.bias_spread = 300, 0.0
  students.curves = {
      'SNN': configs.make_curve(
          objective='cross_entropy', inputs='train+views',
          weight_decays=(0.0, 0.1)),
      'SNN-MIMIC': configs.make_curve(teacher='ECNN', inputs=_ALL),
  }
  config.report.figure_width = 1000
  return config
