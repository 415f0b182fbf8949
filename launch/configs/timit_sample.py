"""NLTK's sample of TIMIT, 16 speakers, with nets for two cores.

    python -m launch.run --config=launch/configs/timit_sample.py \
        --config.data.path=FOLDER

FOLDER is what `nltk.download('timit')` leaves: `nltk_data/corpora/timit`.
"""

import ml_collections

from shallow_mimic import configs

_VIEWS = (
    {'speed': 0.9}, {'speed': 1.1}, {'warp': 0.9}, {'warp': 1.1},
    {'snr': 15.0}, {'speed': 0.95, 'warp': 1.05, 'snr': 20.0})


def get_config() -> ml_collections.ConfigDict:
  """One of four folds of the speakers; three widths, three seeds."""
  config = configs.default_config()
  config.title = 'NLTK TIMIT sample, 16 speakers (not the TIMIT corpus)'
  data = config.data
  data.source, data.folds = 'timit', 4
  data.transfer = {'views': {'kind': 'waveforms', 'views': _VIEWS}}
  data.input_shape, data.classes, data.examples = (41, 45), 183, 21_103
  everything = 'train+views'
  config.teachers = {
      'CNN': configs.make_teacher(
          architecture='64c8-p3s3-500-500', members=4, folds=4, together=1,
          inputs=everything, steps=1500, batch=256, eval_every=150,
          learning_rate=0.001, net={'dropout_hidden': 0.4}),
  }
  config.ensembles = {'ECNN': configs.make_ensemble('CNN')}
  students = config.students
  students.architecture = '250L-H'
  students.widths, students.rate_width = (250, 1000, 4000), 1000
  students.steps, students.search_steps = 6000, 1000
  students.batch, students.eval_every = 128, 250
  students.learning_rates = (0.0005, 0.001, 0.002)
  students.curves = {
      'SNN': configs.make_curve(
          objective='cross_entropy', inputs=everything, dropout_hidden=0.4),
      'SNN-MIMIC': configs.make_curve(
          teacher='ECNN', inputs=everything,
          learning_rates=(0.001, 0.002, 0.004)),
  }
  config.report.figure_width = 1000
  return config
