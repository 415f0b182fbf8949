"""A layer from a config file outside the package, from plan to report."""

import csv
import pathlib
import re

import pytest
import tiny_experiment
from scripts import check_refused

from launch import plan, run

# The library that loads --config does so in an old way.
pytestmark = pytest.mark.filterwarnings(
    'ignore:the load_module:DeprecationWarning')

CONFIG = '''
"""Teachers and students with gated units."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import tiny_experiment

import shallow_mimic
from shallow_mimic import models


@dataclasses.dataclass(frozen=True)
class Gate(models.Layer):
  """gate64: 64 units, each a linear one times a sigmoid of another."""

  name, version, pattern = 'gate', '1', r'gate(\\d+)'
  takes_map, has_units = False, True
  units: int

  def __str__(self):
    return f'gate{self.units}'

  def output_shape(self, shape):
    return (self.units,)

  def fan_in(self, shape):
    return 2 * shape[0]

  def count_parameters(self, shape, options):
    return 2 * self.units * (shape[0] + 1)

  def apply(self, x, site):
    both = nn.Dense(2 * self.units, name=site.name)(x)
    return both[:, :self.units] * nn.sigmoid(both[:, self.units:])


shallow_mimic.register(Gate)


def get_config():
  config = tiny_experiment.make_config()
  config.teachers.DNN.architecture = '8-gate7'
  config.students.architecture = 'gate6-H'
  config.report.latency = False
  return config
'''


@pytest.fixture(name='flags')
def fixture_flags(tmp_path):
  """The flags of `gated.py` with its data."""
  tiny_experiment.write_npz(tmp_path / 'tiny.npz')
  (tmp_path / 'gated.py').write_text(CONFIG, encoding='utf-8')
  return (f'--config={tmp_path / "gated.py"}',
          f'--config.data.path={tmp_path / "tiny.npz"}')


def test_plan_run_and_report_of_a_registered_layer(launch, flags):
  status, out, err = launch(plan.main, *flags)
  assert status == 0, err
  assert re.search(r'^DNN +8-gate7 +190 ', out, re.M), out
  assert re.search(r'^SNN-MIMIC +gate6-5 +113 ', out, re.M), out

  status, out, err = launch(run.main, *flags)
  assert status == 0, err
  report = pathlib.Path('runs/gated/report')
  with open(report / 'results.csv', encoding='utf-8') as file:
    rows = list(csv.DictReader(file))
  # By hand: 8 × 5 + 14 × 9 + 3 × 8, and 12 × 5 + 5 × 7 + 3 × 6.
  sizes = {(row['model'], row['width'], row['parameters'],
            row['multiply_adds']) for row in rows}
  assert ('DNN', '0', '190', '165') in sizes
  assert ('SNN-MIMIC', '5', '113', '93') in sizes
  page = (report / 'index.html').read_text(encoding='utf-8')
  assert '8-gate7' in page and 'gate6-5' in page


def test_a_layer_that_states_too_little_is_one_line(launch, flags):
  path = pathlib.Path(flags[0].partition('=')[2])
  path.write_text(CONFIG.replace(
      '2 * self.units * (shape[0] + 1)', 'self.units * (shape[0] + 1)'),
      encoding='utf-8')
  check_refused(launch(run.main, *flags), (
      'the layer "gate6" (gate, version 1) on inputs of shape (4,): it states'
      ' 30 parameters and makes 60; mend Gate'))
