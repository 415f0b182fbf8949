"""Depth at equal size, after Urban et al. (2017): small nets for two cores.

    python -m launch.run --config=launch/configs/cifar10_depths.py \
        --config.data.data_dir=FOLDER

The data and teachers of `cifar10`. Students with one to three hidden layers
behind a bottleneck, and with one to three convolutions, each sized to a quarter
of a million and to a million parameters: on labels, on the ensemble's logits
and on its softened probabilities (KL), all on the same images and two views of
each, three seeds. Three quarters of an hour; `cifar10_urban` is the full size.
"""

from typing import Any

import ml_collections

from shallow_mimic import configs

# Maps and bottlenecks leave most of the parameters to the hidden layers.
_DEPTHS = {
    'MLP1': '50L-H',
    'MLP2': '50L-H-H',
    'MLP3': '50L-H-H-H',
    'CNN1': '16c3-p2-p2-100L-H',
    'CNN2': '16c3-p2-32c3-p2-50L-H',
    'CNN3': '16c3-p2-32c3-p2-32c3-p2-100L-H',
}
_INPUTS = 'train+views[:90000]'


def get_config() -> ml_collections.ConfigDict:
  """Six depths, two sizes, three kinds of targets."""
  config = configs.load('cifar10')
  config.title = 'CIFAR-10, depths at equal size, small nets'
  students = config.students
  students.parameters = (250_000, 1_000_000)
  students.steps, students.eval_every, students.search_steps = 1200, 300, 200
  # Muon's work on a hidden layer behind another grows with the cube of H.
  students.optimizer = 'adam'
  students.learning_rates, students.rate_width = (0.002, 0.005), 1000
  targets: dict[str, dict[str, Any]] = {
      '': dict(objective='cross_entropy', weight_decays=(0.02,)),
      '-MIMIC': dict(teacher='ECNN'),
      '-KL': dict(teacher='ECNN', objective='distillation_kl', temperature=2.0),
  }
  students.curves = {
      name + suffix: configs.make_curve(
          architecture=text, inputs=_INPUTS, **target)
      for name, text in _DEPTHS.items() for suffix, target in targets.items()}
  report = config.report
  report.figure_width, report.paper, report.notes = 0, (), ()
  return config
