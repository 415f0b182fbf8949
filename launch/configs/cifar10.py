"""CIFAR-10, all of it, with nets scaled down for two cores: over an hour.

    python -m launch.run --config=launch/configs/cifar10.py \
        --config.data.data_dir=FOLDER

FOLDER holds `cifar10` and `cifar100` as TFDS prepares them (leave it out for
TFDS's own). Two deep CNNs train on the labels with four views of each image,
and a small one, an independent teacher that students are compared to.
Students, 16c3-p2-100L-H, imitate the mean of their logits over each image and
its mirror image, on the training images, two views of each, and 10,000 images
of CIFAR-100; or its softened probabilities (SNN-KL). The same students train on
labels, without the views as in the paper, and with them. At one width, three
teachers, ten losses and five transfer sets are compared.
"""

import ml_collections

from shallow_mimic import configs

_VIEWS = 'train+views[:90000]'  # two of each image
_LOSSES = ('logits', 'raw-logits', 'centred-logits', 'probabilities', 'KL-1',
           'KL-4', 'standardised', 'blended', 'DKD', 'DIST')
_PAPER = (
    dict(model='CNN', architecture='128c-p-128c-p-128c-p-1000fc',
         printed_parameters='2.1M', error=12.0),
    dict(model='ECNN', architecture='4 × 128c-p-128c-p-128c-p-1000fc',
         printed_parameters='8.6M', error=11.0),
    dict(model='SNN', width=5300, architecture='128c-p-1200L-30k',
         printed_parameters='~70M', error=21.8),
    dict(model='SNN-MIMIC', width=5300, architecture='128c-p-1200L-30k',
         printed_parameters='~70M', error=14.2),
)


def get_config() -> ml_collections.ConfigDict:
  """Two teachers, four widths, three seeds."""
  config = configs.default_config()
  config.title = 'CIFAR-10, small nets'
  data = config.data
  data.source, data.name, data.dev = 'tfds', 'cifar10', 5000
  data.input_shape, data.classes, data.examples = (32, 32, 3), 10, 45_000
  data.transfer = {
      'views': {'kind': 'views', 'copies': 4, 'crop': 4, 'flip': True},
      'cifar100': {'kind': 'tfds', 'name': 'cifar100', 'split': 'train',
                   'size': 10_000},
  }
  how = dict(inputs='train+views', optimizer='muon', learning_rate=0.005)
  norm = {'norm': 'group', 'groups': 4, 'standardised': True}
  config.teachers = {
      'CNN': configs.make_teacher(
          architecture='32c3-p2-64c3-64c3-p2-128c3-128c3-p2-256fc', members=2,
          together=1, steps=3000, eval_every=500, weight_decay=0.05,
          net=norm | {'dropout_hidden': 0.3}, **how),
      'CNN-small': configs.make_teacher(
          architecture='32c3-p2-64c3-p2-128fc', steps=1200, eval_every=300,
          net=norm, **how)}
  config.ensembles = {
      'ECNN': configs.make_ensemble('CNN', mirror=True),
      'CNN:0': configs.make_ensemble('CNN:0'),
      'CNN-small:0': configs.make_ensemble('CNN-small:0')}
  students = config.students
  students.architecture = '16c3-p2-100L-H'
  # The widest has a million parameters. What a short search prefers of faster
  # rates is too fast for a whole run.
  students.widths = (125, 500, 2000, 5300)
  students.learning_rates = (0.002, 0.004, 0.006)
  students.optimizer, students.clip = 'muon', 1.0
  students.steps, students.search_steps = 2400, 300
  students.eval_every, students.bias_spread = 600, 0.0
  students.curves = _curves() | _studies()
  config.report.figure_width, config.report.independent = 500, 'CNN-small:0'
  config.report.latency = True
  config.report.paper = _PAPER
  config.report.notes = (
      'Our nets are scaled down for two cores; the paper\'s stand beside the'
      ' one in the same role.',)
  return config


def _curves():
  labels = {'objective': 'cross_entropy', 'weight_decays': (0.02,)}
  mimic = dict(teacher='ECNN', inputs=f'{_VIEWS}+cifar100')
  return {
      'SNN': configs.make_curve(**labels, dropout_hidden=0.3),
      'SNN + views': configs.make_curve(**labels, inputs=_VIEWS),
      'SNN-MIMIC': configs.make_curve(**mimic),
      'SNN-KL': configs.make_curve(
          objective='distillation_kl', temperature=2.0, **mimic),
  }


def _studies():
  """Teachers, transfer sizes and losses, at the middle width."""
  how = dict(widths=(500,), learning_rates=(0.004, 0.006))
  ours = dict(teacher='ECNN', **how)
  weaker = {f'SNN-MIMIC/{name}': configs.make_curve(
      teacher=name, inputs=f'{_VIEWS}+cifar100', **how)
            for name in ('CNN:0', 'CNN-small:0')}
  return (weaker
          | configs.make_size_curves('views', (45_000, 90_000), **ours)
          | configs.make_loss_curves(_LOSSES, inputs=_VIEWS, **ours))
