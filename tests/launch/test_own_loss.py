"""A loss of one's own, from a config file outside of the package to the end."""

import csv

import pytest
import tiny_experiment
from scripts import check_refused

from launch import plan, run
from shallow_mimic.curves import drawing

pytestmark = pytest.mark.filterwarnings(
    'ignore:the load_module:DeprecationWarning')
CONFIG = """
import jax
import jax.numpy as jnp
import tiny_experiment

import shallow_mimic
from shallow_mimic import configs, training


def huber(student, teacher, labels, *, delta):
  gap = jnp.abs(student - jax.lax.stop_gradient(teacher))
  return jnp.sum(jnp.where(gap < delta, gap ** 2 / 2,
                           delta * (gap - delta / 2)), -1)


shallow_mimic.register(training.LossSpec(
    name='huber', version='2', function=huber, words='Huber', place=3,
    line=':', needs_teacher=NEEDS_TEACHER,
    constants={'delta': training.Constant(symbol='δ', above=0.0)}))


def get_config():
  config = tiny_experiment.make_config()
  config.students.widths, config.students.learning_rates = (3,), (0.05,)
  how = dict(teacher='EDNN', inputs='train+transfer')
  config.students.curves.PSEUDO = configs.make_curve(
      objective='pseudo_label', **how)
  config.students.curves.HUBER = configs.make_curve(
      objective='huber', constants={'delta': 0.5}, **how)
  return config
"""


@pytest.fixture(name='write')
def fixture_write(tmp_path):
  """write(needs_teacher) -> the flags of such an experiment."""
  def write(needs_teacher='True'):
    (tmp_path / 'mine.py').write_text(
        CONFIG.replace('NEEDS_TEACHER', needs_teacher), encoding='utf-8')
    tiny_experiment.write_npz(tmp_path / 'tiny.npz')
    return '--config=mine.py', f'--config.data.path={tmp_path / "tiny.npz"}'

  return write


def test_it_is_seen_in_plan_report_and_results(launch, write, tmp_path):
  flags = write()
  status, told, stderr = launch(plan.main, *flags)
  assert status == 0, stderr
  row, = [line.split() for line in told.splitlines()
          if line.startswith('huber ')]
  assert row == ['huber', '(version', '2)', 'HUBER', 'Huber,', 'δ', '=', '0.5']
  status, _, stderr = launch(run.main, *flags, '--workdir=here')
  assert status == 0, stderr
  report = tmp_path / 'here' / 'report'
  rows = list(csv.DictReader(
      (report / 'results.csv').read_text(encoding='utf-8').splitlines()))
  own = [row for row in rows if row['model'] == 'HUBER']
  assert {row['objective'] for row in own} == {'huber'}
  assert {row['value'] for row in own if row['metric'] == 'delta'} == {'0.5'}
  assert {row['model'] for row in rows if row['metric'] == 'delta'} == {'HUBER'}
  # It learned: nothing of it is 0 or not a number.
  losses = [float(row['value']) for row in own if row['metric'] == 'loss']
  assert losses and min(losses) > 0
  page = (report / 'index.html').read_text(encoding='utf-8')
  # In the table of losses and in that of details.
  assert page.count('<td class=word>Huber, δ = 0.5</td>') == 2
  study = (report / 'figures' / 'figure_losses.svg').read_text(encoding='utf-8')
  assert '<!-- Huber, δ = 0.5 -->' in study and drawing.COLOURS[3] in study
  accuracy = (report / 'figures' / 'figure1_accuracy.svg').read_text(
      encoding='utf-8')
  assert '<!-- HUBER -->' in accuracy and drawing.COLOURS[3] in accuracy


@pytest.mark.parametrize('argument, message', [
    ('constants.delta=nan', 'constants.delta is nan; it must be a finite'
     ' number'),
    ('constants.delta=-1.0', 'constants.delta is -1.0; it must be finite and'
     ' above 0'),
    ('teacher=', "teacher is ''; it must be one of the ensembles EDNN"),
    ('temperature=4.0', "temperature is 4.0; it must be 1.0: the constants of"
     " 'huber' stand in students.curves.HUBER.constants"),
    ('objective=blended', "constants is 'delta'; it must be left out: the"
     " objective is 'blended'")])
def test_what_a_curve_says_of_it_is_checked(launch, write, argument, message):
  result = launch(
      run.main, *write(), f'--config.students.curves.HUBER.{argument}')
  check_refused(result)
  assert result[2] == f'error: config.students.curves.HUBER.{message}\n'


def test_one_that_hides_its_teacher_is_refused(launch, write, tmp_path):
  flags = write('False')
  result = launch(run.main, *flags, '--workdir=here')
  check_refused(result)
  assert result[2] == (
      "error: config.students.curves.HUBER.teacher is 'EDNN'; it must be '':"
      " the loss 'huber' needs no teacher\n")
  result = launch(run.main, *flags, '--workdir=here',
                  '--config.students.curves.HUBER.teacher=')
  check_refused(result)
  assert result[2] == ("error: the loss 'huber' looks at the teacher, but says"
                       ' needs_teacher=False\n')
  assert not (tmp_path / 'here').exists()
