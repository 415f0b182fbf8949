"""NLTK's sample of TIMIT, 16 speakers, with nets for two cores.

    python -m launch.run --config=launch/configs/timit_sample.py \
        --config.data.path=FOLDER

FOLDER is what `nltk.download('timit')` leaves: `nltk_data/corpora/timit`.
A quarter of an hour, by the plan; one of four folds of the speakers
(`--config.data.speech.fold=1` is the next). Teachers, students on labels and
mimics all train on the frames and on six views of every sound. Each of four
CNNs leaves out a quarter of the training speakers; all of them label every
frame for the mimics, or (the curve that says so) only the one that has not seen
it. What comes out are not TIMIT results: the corpus has 630 speakers.
"""

import ml_collections

from shallow_mimic import configs

_VIEWS = (
    {'speed': 0.9}, {'speed': 1.1}, {'warp': 0.9}, {'warp': 1.1},
    {'snr': 15.0}, {'speed': 0.95, 'warp': 1.05, 'snr': 20.0})
_ALL = 'train+views'
_WIDTHS = (125, 500, 2000)


def get_config() -> ml_collections.ConfigDict:
  """Four CNNs and a DNN; students of three widths on labels and on logits."""
  config = configs.default_config()
  config.title = 'NLTK TIMIT sample, 16 speakers (not the TIMIT corpus)'
  data = config.data
  data.source, data.folds = 'timit', 4
  data.transfer = {'views': {'kind': 'waveforms', 'views': _VIEWS}}
  data.examples = 21_103  # Of fold 0, for the plan.
  schedule = dict(inputs=_ALL, steps=3000, eval_every=200,
                  learning_rate=0.0015, net={'dropout_hidden': 0.5})
  config.teachers = {
      'CNN': configs.make_teacher(
          architecture='64c8-p3s3-500-500', members=4, folds=4, together=1,
          **schedule),
      'DNN': configs.make_teacher(architecture='500-500-500', **schedule),
  }
  config.ensembles = {
      'ECNN': configs.make_ensemble('CNN', out_of_fold=False),
      'ECNN-held-out': configs.make_ensemble('CNN'),
      'DNN:0': configs.make_ensemble('DNN'),
  }
  students = config.students
  students.architecture = '100L-H'
  students.widths, students.rate_width = _WIDTHS, 1000
  students.steps, students.search_steps = 3000, 500
  # Without a clip one seed in three of a wide mimic may blow up half-way.
  students.eval_every, students.clip = 250, 1.0
  logits = dict(inputs=_ALL, learning_rates=(0.0015, 0.003, 0.006))
  students.curves = {
      'SNN': configs.make_curve(
          objective='cross_entropy', inputs=_ALL, dropout_hidden=0.4,
          learning_rates=(0.0003, 0.0006, 0.0012)),
      'SNN-MIMIC': configs.make_curve(teacher='ECNN', **logits),
      'SNN-MIMIC/held-out': configs.make_curve(
          teacher='ECNN-held-out', widths=_WIDTHS[1:2], **logits),
      'SNN-KL': configs.make_curve(
          objective='distillation_kl', teacher='ECNN', temperature=2.0,
          inputs=_ALL, learning_rates=(0.0006, 0.0012, 0.0024)),
  }
  config.report.figure_width = 500
  config.report.independent = 'DNN:0'
  config.report.paper = configs.load('timit').report.paper
  config.report.notes = (
      'The nets, the data and the test speakers are other than the paper\'s:'
      ' its numbers stand beside ours for their order, not their size. One'
      ' fold tests on 4 speakers and 32 utterances, too few to rank single'
      ' nets by phone error rate.',)
  return config
