"""TIMIT as in the paper's table 1 and figure 1, full size: for a GPU.

    python -m launch.plan --config=launch/configs/timit.py
    python -m launch.run --config=launch/configs/timit.py \
        --config.data.path=FOLDER

FOLDER is the LDC's release with TRAIN and TEST in it; the plan needs none.
Learning rates, dropout, steps and the CNN's maps are our own: the paper does
not give them. As in the paper the mimics train on the training frames alone;
each of the nine CNNs has a kernel of 6, 8 or 10 bands and leaves out a third
of the speakers, whom it labels: a target is the mean of the three nets that
have not seen the speaker.
"""

import ml_collections

from shallow_mimic import configs

# Phone error rates on the core test set; `parameters` are true counts of what
# stands under `architecture`.
_PAPER = tuple(
    dict(model=model, architecture=architecture, printed_parameters=printed,
         parameters=parameters, error=error)
    for model, architecture, printed, parameters, error in (
        ('SNN-8k', '8k', '~12M', '16,232,183', 23.1),
        ('SNN-50k', '50k', '~100M', '101,450,183', 23.0),
        ('SNN-250L-400k', '250L-400k', '~180M', '174,061,433', 23.6),
        ('DNN', '2k-2k-2k', '~12M', '12,062,183', 21.9),
        ('CNN', 'c-p-2k-2k-2k', '~13M', '–', 19.5),
        ('ECNN', '9 × c-p-2k-2k-2k', '~125M', '–', 18.5),
        ('SNN-MIMIC-8k', '250L-8k', '~12M', '3,933,433', 21.6),
        ('SNN-MIMIC-400k', '250L-400k', '~180M', '174,061,433', 20.0),
    ))
_WIDTHS = (2000, 8000, 50_000, 160_000, 400_000)


def get_config() -> ml_collections.ConfigDict:
  """DNN, CNN and ECNN of nine; SNN and SNN-MIMIC up to 250L-400k."""
  config = configs.default_config()
  config.title = 'TIMIT, the paper\'s nets'
  data = config.data
  data.source, data.folds = 'timit', 3
  config.teachers = _teachers()
  config.ensembles = {
      'ECNN': configs.make_ensemble('CNN-6', 'CNN-8', 'CNN-10'),
      'CNN:0': configs.make_ensemble('CNN'),
      'DNN:0': configs.make_ensemble('DNN'),
  }
  students = config.students
  students.architecture = '250L-H'
  students.widths, students.seeds = _WIDTHS, 3
  students.learning_rates, students.rate_width = (0.0005, 0.001, 0.002), 2000
  students.batch, students.eval_every = 512, 2000
  students.steps, students.search_steps = 60_000, 6000
  labels = dict(objective='cross_entropy', dropout_hidden=0.4)
  students.curves = {
      'SNN': configs.make_curve(
          **labels, architecture='H', widths=(500, 2000, 8000, 50_000)),
      'SNN-250L': configs.make_curve(**labels),
      'SNN-MIMIC': configs.make_curve(teacher='ECNN'),
      # Figure 3.
      'SNN-MIMIC/CNN:0': configs.make_curve(
          teacher='CNN:0', widths=(8000, 160_000)),
      'SNN-MIMIC/DNN:0': configs.make_curve(
          teacher='DNN:0', widths=(8000, 160_000)),
  }
  config.report.figure_width = 8000
  config.report.paper = _PAPER
  return config


def _teachers():
  schedule = dict(steps=40_000, batch=256, eval_every=2000,
                  learning_rate=0.0005, net={'dropout_hidden': 0.4})
  convolution = '128c{}-p6s2-2k-2k-2k'
  # Nine seeds: with equal ones all but the convolutions would start alike.
  apart = {f'CNN-{size}': configs.make_teacher(
      architecture=convolution.format(size), members=3, folds=3, together=1,
      first_seed=3 * place, **schedule)
           for place, size in enumerate((6, 8, 10))}
  return {
      'DNN': configs.make_teacher(architecture='2k-2k-2k', **schedule),
      'CNN': configs.make_teacher(
          architecture=convolution.format(8), **schedule),
      **apart}
