"""CIFAR-10 as in the paper's table 2, full size: for a GPU, hours.

    python -m launch.run --config=launch/configs/cifar10_paper.py \
        --config.data.data_dir=FOLDER

Teachers 128c-p-128c-p-128c-p-1000fc with dropout, an ensemble of four, a DNN
2000fc-2000fc, and students 128c-p-1200L-H of up to 30k units on labels and as
mimics of one teacher and of all; of one also with 64 maps, 64c-p-1200L-30k. The
report sets the paper's errors beside ours, 11 % for the ensemble and 14.2 % for
its mimic. The paper's transfer set was withdrawn: seeded views of the training
images stand in for it. 9e16 multiply-adds, 30 GB; not run in full yet.
"""

import ml_collections

from shallow_mimic import configs

_PAPER = (
    dict(model='DNN', architecture='2000fc-2000fc',
         printed_parameters='~10M', error=57.8),
    dict(model='SNN', architecture='128c-p-1200L-30k',
         printed_parameters='~70M', error=21.8),
    dict(model='features and SVM', architecture='4000c-p',
         printed_parameters='~125M', error=18.4),
    dict(model='CNN', architecture='128c-p-128c-p-128c-p-1000fc',
         printed_parameters='2.1M', error=12.0),
    dict(model='ECNN', architecture='4 × 128c-p-128c-p-128c-p-1000fc',
         printed_parameters='8.6M', error=11.0),
    dict(model='SNN-MIMIC-64c/CNN:0', architecture='64c-p-1200L-30k',
         printed_parameters='~54M', error=15.4),
    dict(model='SNN-MIMIC/CNN:0', architecture='128c-p-1200L-30k',
         printed_parameters='~70M', error=15.1),
    dict(model='SNN-MIMIC', architecture='128c-p-1200L-30k',
         printed_parameters='~70M', error=14.2),
)


def get_config() -> ml_collections.ConfigDict:
  """Every row of table 2 that is a net."""
  config = configs.default_config()
  config.title = 'CIFAR-10, the paper\'s nets'
  data = config.data
  data.source, data.name, data.dev = 'tfds', 'cifar10', 5000
  data.input_shape, data.classes, data.examples = (32, 32, 3), 10, 45_000
  data.preprocessing = ('gcn', 'zca')
  data.transfer = {'views': {
      'kind': 'views', 'copies': 4, 'crop': 4, 'flip': True}}
  fully = {'dropout_hidden': 0.5}
  schedule = dict(steps=60_000, eval_every=2000, optimizer='sgd',
                  learning_rate=0.01, weight_decay=5e-4)
  config.teachers = {
      'CNN': configs.make_teacher(
          architecture='128c-p-128c-p-128c-p-1000fc', members=4, net=fully,
          together=1, **schedule),
      'DNN': configs.make_teacher(
          architecture='2000fc-2000fc', net=fully, **schedule),
  }
  config.ensembles = {'ECNN': configs.make_ensemble('CNN'),
                      'CNN:0': configs.make_ensemble('CNN:0')}
  students = config.students
  students.architecture = '128c-p-1200L-H'
  students.widths, students.seeds = (7500, 15_000, 30_000), 3
  students.learning_rates = (0.0003, 0.001, 0.003)
  students.steps, students.search_steps = 100_000, 10_000
  students.eval_every = 2000
  everything = 'train+views'
  students.curves = {
      'SNN': configs.make_curve(
          objective='cross_entropy', inputs=everything,
          dropout_input=0.2, dropout_hidden=0.5),
      'SNN-MIMIC': configs.make_curve(teacher='ECNN', inputs=everything),
      'SNN-MIMIC/CNN:0': configs.make_curve(
          teacher='CNN:0', inputs=everything),
      'SNN-MIMIC-64c/CNN:0': configs.make_curve(
          teacher='CNN:0', inputs=everything,
          architecture='64c-p-1200L-H', widths=(30_000,)),
  }
  config.report.figure_width = 30_000
  config.report.paper = _PAPER
  return config
