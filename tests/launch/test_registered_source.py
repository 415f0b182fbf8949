"""A data source from a config file outside the package, from plan to report."""

import csv
import html
import json
import pathlib

import pytest
from scripts import check_refused

from launch import plan, run

# The library that loads --config does so in an old way.
pytestmark = pytest.mark.filterwarnings(
    'ignore:the load_module:DeprecationWarning')

CONFIG = '''
"""Points on three rings, drawn from the seed that lies in a file."""

import pathlib

import numpy as np
import tiny_experiment

import shallow_mimic
from shallow_mimic import data


def read(config, cache_dir):
  rng = np.random.default_rng(int(pathlib.Path(config.path).read_text()))
  labels = np.arange(150) % 3
  angles = 2 * np.pi * rng.random(150)
  x = np.stack([np.cos(angles), np.sin(angles)], 1) * (1 + labels[:, None])
  return {'train': (x[:90], labels[:90]), 'test': (x[90:120], labels[90:120]),
          'transfer': x[120:]}


def digest(config):
  return pathlib.Path(config.path).read_text()


def shapes(config):
  return data.Shapes((2,), 3, 90 - config.dev)


shallow_mimic.register(data.Source(
    name='rings', version='1', read=read, digest=digest, shapes=shapes))


def get_config():
  config = tiny_experiment.make_config()
  config.data.source, config.data.dev = 'rings', 24
  config.data.transfer = {'more': {'kind': 'arrays'},
                          'views': {'kind': 'views', 'copies': 2, 'noise': 0.1}}
  config.students.curves['SNN-MIMIC'].inputs = 'train+more+views'
  return config
'''


@pytest.fixture(name='flags')
def fixture_flags(tmp_path):
  """The flags of `rings.py` with its data."""
  (tmp_path / 'rings.py').write_text(CONFIG, encoding='utf-8')
  (tmp_path / 'seed.txt').write_text('5', encoding='utf-8')
  return (f'--config={tmp_path / "rings.py"}',
          f'--config.data.path={tmp_path / "seed.txt"}')


def test_plan_run_and_report_of_a_registered_source(launch, flags, tmp_path):
  status, out, err = launch(plan.main, *flags)
  assert status == 0, err
  assert 'data      rings: inputs of shape (2,), 3 classes' in out
  assert 'inputs    train 66, more ?, views 132\n' in out

  status, out, err = launch(run.main, *flags)
  assert status == 0, err
  assert 'data: reading rings\n' in out
  root = pathlib.Path('runs/rings')
  record = json.loads((root / 'data' / 'dataset.json').read_text('utf-8'))
  assert (record['name'], record['classes']) == ('rings', 3)
  with open(root / 'report' / 'results.csv', encoding='utf-8') as file:
    rows = list(csv.DictReader(file))
  assert {row['model'] for row in rows} >= {'DNN', 'SNN', 'SNN-MIMIC'}
  page = html.unescape((root / 'report' / 'index.html').read_text('utf-8'))
  assert 'Not of shallow_mimic itself: source rings (version 1).' in page

  # Other data, and other code that reads them: neither passes for the same.
  (tmp_path / 'seed.txt').write_text('6', encoding='utf-8')
  other = 'error: the content of the data source: 18 trained nets of'
  check_refused(launch(run.main, *flags), other)
  (tmp_path / 'seed.txt').write_text('5', encoding='utf-8')
  assert launch(run.main, *flags)[0] == 0
  (tmp_path / 'rings.py').write_text(
      CONFIG.replace("version='1'", "version='2'"), encoding='utf-8')
  check_refused(launch(run.main, *flags), other)


@pytest.mark.parametrize(('old', 'new', 'words'), [
    (", version='1'", '', "cannot register the data source 'rings': it states"
     ' no version'),
    (', digest=digest', '', "Source.__init__() missing 1 required keyword-only"
     " argument: 'digest'"),
    (', shapes=shapes', ', shapes=None', "the data source 'rings': shapes is"
     ' None; it must be a function'),
    ("name='rings'", "name='tfds'", "cannot register the data source 'tfds':"
     ' that name is taken by one of shallow_mimic; choose another'),
    ('return pathlib.Path(config.path).read_text()', 'pass', "the data source"
     " 'rings' has the digest None; it must be text"),
    ("x[90:120], labels[90:120]", "x[90:120], labels[90:119]", "split 'test': x"
     ' has 30 rows and y has shape (29,); each row of x needs one label'),
])
def test_mistakes_are_one_line(launch, flags, tmp_path, old, new, words):
  assert CONFIG.count(old) == 1
  (tmp_path / 'rings.py').write_text(CONFIG.replace(old, new), encoding='utf-8')
  check_refused(launch(run.main, *flags), words)
