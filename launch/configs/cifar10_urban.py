"""Depth at equal size, after Urban et al. (2017): CIFAR-10, full size, a GPU.

    python -m launch.plan --config=launch/configs/cifar10_urban.py
    python -m launch.run --config=launch/configs/cifar10_urban.py \
        --config.data.data_dir=FOLDER

Students with one to five hidden layers behind a bottleneck, and with one to
four convolutions, each sized to 1M, 3.16M, 10M and 31.6M parameters: on labels
and as mimics, on the same images and views, three seeds. Hidden layers take up
the size; maps and bottlenecks are the same at every size of a depth. Teachers:
eight CNNs with group normalisation, and their mean logits.

Cost: 2e17 multiply-adds, hours of a large GPU, and 46 GB of its memory, of
which the ten views of each image take 6. Urban et al. had about 160 views:
`--config.data.transfer.views.copies=160`, which are streamed. Not run in full
yet. Their mimics had 65.8 to 70.2 % (MLP1), 66.2 to 74.3 % (MLP2), 84.5 to
87.7 % (CNN1), 87.9 to 90.3 % (CNN2), 90.7 to 92.3 % (CNN3) and 91.3 to 92.6 %
(CNN4).
"""

import ml_collections

from shallow_mimic import configs

# Maps and bottlenecks leave most of 1M parameters to the hidden layers.
_DEPTHS = {
    'MLP1': '200L-H',
    'MLP2': '200L-H-H',
    'MLP3': '200L-H-H-H',
    'MLP4': '200L-H-H-H-H',
    'MLP5': '200L-H-H-H-H-H',
    'CNN1': '64c-p-p-100L-H',
    'CNN2': '64c-p-64c-p-100L-H',
    'CNN3': '64c-p-64c-p-64c-p-100L-H',
    'CNN4': '64c-64c-p-64c-p-64c-p-100L-H',
}


def get_config() -> ml_collections.ConfigDict:
  """Nine depths, four sizes, on labels and as mimics."""
  config = configs.default_config()
  config.title = 'CIFAR-10, depths at equal size'
  data = config.data
  data.source, data.name, data.dev = 'tfds', 'cifar10', 5000
  data.input_shape, data.classes, data.examples = (32, 32, 3), 10, 45_000
  data.memory_gib = 8.0
  data.transfer = {'views': {
      'kind': 'views', 'copies': 10, 'crop': 4, 'flip': True}}
  everything = 'train+views'
  config.teachers = {'teacher': configs.make_teacher(
      architecture='64c3-64c3-p2-128c3-128c3-p2-256c3-256c3-p2-512fc',
      members=8, together=2, inputs=everything, steps=60_000, eval_every=2000,
      learning_rate=0.0015, weight_decay=0.05,
      net={'dropout_hidden': 0.5, 'norm': 'group'})}
  config.ensembles = {'ensemble': configs.make_ensemble('teacher')}
  students = config.students
  students.parameters = (1_000_000, 3_160_000, 10_000_000, 31_600_000)
  students.learning_rates, students.rate_width = (0.001, 0.002, 0.004), 1000
  students.steps, students.search_steps = 60_000, 6000
  students.eval_every, students.bias_spread = 2000, 0.0
  labels = {'objective': 'cross_entropy', 'inputs': everything,
            'weight_decays': (0.02,), 'dropout_hidden': 0.3}
  mimic = {'teacher': 'ensemble', 'inputs': everything}
  students.curves = {
      name + suffix: configs.make_curve(**how, architecture=text)
      for name, text in _DEPTHS.items()
      for suffix, how in (('', labels), ('-MIMIC', mimic))}
  return config
