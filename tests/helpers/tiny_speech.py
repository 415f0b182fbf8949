"""An experiment of seconds on made-up speech; a --config file, and a script.

Eight speakers say `h# aa s h#` twice, each phone in a tone of its own. One
teacher, a student of width 4, 20 steps, one round of realignment.
"""

from __future__ import annotations

import os
import pathlib
import sys

import ml_collections
import numpy as np
import small_timit
import tiny_experiment

from shallow_mimic import configs

SPEAKERS = tuple(f'{sex}abc{number}' for sex in 'fm' for number in range(4))
_HERTZ = {'h#': 0, 'aa': 600, 's': 4000}


def make_utterance(seed: int) -> tuple[np.ndarray, str]:
  """Sound, and the `.phn` file that tells where its tones change."""
  rng = np.random.default_rng(seed)
  phones = ('h#', 'aa', 's', 'h#')
  lengths = rng.integers(800, 2000, len(phones))
  tones = [3000 * np.sin(2 * np.pi * _HERTZ[phone] * np.arange(length) / 16e3)
           for phone, length in zip(phones, lengths, strict=True)]
  sound = np.concatenate(tones) + 100 * rng.normal(size=lengths.sum())
  stops = np.cumsum(lengths)
  lines = [f'{start} {stop} {phone}\n' for start, stop, phone in zip(
      [0, *stops[:-1]], stops, phones, strict=True)]
  return sound.astype(np.int16), ''.join(lines)


def write_corpus(folder: pathlib.Path) -> pathlib.Path:
  """Two utterances of each speaker, in the layout of NLTK's sample."""
  for number, speaker in enumerate(SPEAKERS):
    for place, sentence in enumerate(('si1', 'sx2')):
      samples, phn = make_utterance(2 * number + place)
      small_timit.write_utterance(
          folder, f'dr1-{speaker}/{sentence}', small_timit.riff(samples), phn)
  return folder


def make_config(path: os.PathLike | str = '') -> ml_collections.ConfigDict:
  """The experiment on the corpus at `path`."""
  config = configs.default_config()
  config.title = 'Tones'
  data = config.data
  data.source, data.path = 'timit', str(path)
  data.speech.folds, data.speech.dev_speakers, data.speech.reach = 4, 2, 1
  data.speech.realign = 1
  data.transfer = {'views': {
      'kind': 'waveforms', 'views': ({'snr': 20.0},)}}
  config.teachers = {'DNN': configs.make_teacher(
      architecture='16', steps=20, batch=32, eval_every=10,
      learning_rate=0.01, inputs='train+views')}
  config.ensembles = {'EDNN': configs.make_ensemble('DNN')}
  students = config.students
  students.widths, students.seeds, students.learning_rates = (4,), 1, (0.01,)
  students.steps, students.search_steps = 20, 10
  students.batch, students.eval_every = 32, 10
  students.curves = {
      'SNN': configs.make_curve(objective='cross_entropy'),
      'SNN-MIMIC': configs.make_curve(teacher='EDNN', inputs='train+views')}
  config.parallel.devices, config.parallel.save_seconds = 1, 0.0
  return config


def get_config() -> ml_collections.ConfigDict:
  """What --config wants; the path comes as --config.data.path."""
  return make_config()


if __name__ == '__main__':
  tiny_experiment.main(make_config(sys.argv[1]), *sys.argv[2:])
