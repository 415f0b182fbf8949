"""MNIST-1D: the whole of the paper's argument in four minutes on two cores.

    python -m launch.run

Deep: four CNNs and their ensemble. Shallow: one hidden layer of 16 to 1,024
units, on labels and as mimics, of logits or of softened probabilities (SNN-KL),
with the controls that tell what the logits themselves add. The data are
generated on the spot; nothing is downloaded.
"""

import ml_collections

from shallow_mimic import configs

_ALL = 'train+generated'
_VIEWS = 'train+views'
_FEW = 'train+generated[:4000]'
_CONTROL_WIDTHS = (512,)
_TEACHER_WIDTHS = (128, 512)


def get_config() -> ml_collections.ConfigDict:
  """The default experiment."""
  config = configs.default_config()
  config.title = 'MNIST-1D'
  config.data.preprocessing = ('zca',)
  config.data.transfer = {
      'generated': {'kind': 'generated', 'size': 300_000},
      'jitter': {'kind': 'views', 'copies': 25, 'shift': 0, 'scale': 0.1,
                 'noise': 0.02},
      'views': {'kind': 'views', 'copies': 50, 'shift': 6, 'scale': 0.1,
                'noise': 0.03},
  }
  config.teachers = {
      'CNN': configs.make_teacher(
          architecture='32c-p2-64c-p2-128fc', members=4, inputs='train+jitter',
          steps=1500, learning_rate=0.005,
          net={'dropout_conv': 0.2, 'dropout_hidden': 0.5}),
      'DNN': configs.make_teacher(
          architecture='256fc-256fc', inputs='train+jitter', steps=1000,
          net={'dropout_hidden': 0.5}),
      'CNN-short': configs.make_teacher(
          architecture='32c-p2-64c-p2-128fc', steps=250, eval_every=125),
  }
  config.ensembles = {
      'ECNN': configs.make_ensemble('CNN'),
      'CNN:0': configs.make_ensemble('CNN:0'),
      'DNN:0': configs.make_ensemble('DNN'),
      'CNN-short:0': configs.make_ensemble('CNN-short'),
  }
  config.students.widths = (16, 32, 64, 128, 256, 512, 1024)
  config.students.optimizer, config.students.momentum = 'muon', 0.95
  config.students.bias_spread = 0.25
  config.students.learning_rates = (0.02, 0.04, 0.08)
  config.students.steps = 8000
  config.students.search_steps = 1000
  config.students.curves = _curves()
  config.report.figure_width = 256
  config.report.independent = 'DNN:0'
  return config


def _curves():
  """The paper's curves, then controls named SET/TARGET."""
  # What a short search prefers is too fast for a long run of wide mimics.
  logits = dict(objective='logit_regression', teacher='ECNN',
                learning_rates=(0.01, 0.015, 0.02))
  pseudo = dict(objective='pseudo_label', teacher='ECNN')
  labels = dict(objective='cross_entropy')
  controls = {
      f'{name}/{kind}': configs.make_curve(
          inputs=text, widths=_CONTROL_WIDTHS, **how)
      for name, text, hows in (
          ('train', 'train', {'logits': logits}),
          ('few', _FEW, {'logits': logits, 'pseudo': pseudo}),
          ('views', _VIEWS,
           {'logits': logits, 'pseudo': pseudo, 'labels': labels}),
          ('all', _ALL, {'pseudo': pseudo}),
      )
      for kind, how in hows.items()
  }
  controls['views/logits'].widths = (*_CONTROL_WIDTHS, 1024)
  weaker = {
      f'SNN-MIMIC/{teacher}': configs.make_curve(
          **{**logits, 'teacher': teacher}, inputs=_ALL,
          widths=_TEACHER_WIDTHS)
      for teacher in ('CNN:0', 'DNN:0', 'CNN-short:0')
  }
  return {
      'SNN': configs.make_curve(**labels, weight_decays=(0.0, 0.1)),
      'SNN-dropout': configs.make_curve(
          **labels, dropout_hidden=0.5, widths=(64, 256, 1024)),
      'SNN-MIMIC': configs.make_curve(inputs=_ALL, **logits),
      'SNN-KL': configs.make_curve(
          objective='distillation_kl', teacher='ECNN', temperature=2.0,
          inputs=_ALL, learning_rates=(0.02, 0.03, 0.04)),
      **controls, **weaker,
  }
