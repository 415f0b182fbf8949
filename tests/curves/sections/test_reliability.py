import numpy as np
import pytest
import report_records

from shallow_mimic.curves import Context, Section
from shallow_mimic.curves.section import make_part
from shallow_mimic.curves.sections import reliability

pytestmark = pytest.mark.filterwarnings('error')
BINS = {'counts': [0, 5, 20, 75], 'confidences': [0.0, 1.5, 12.0, 67.5],
        'corrects': [0.0, 2.0, 8.0, 60.0]}


def make(model, dev=0.5, **changes):
  metrics = {'dev': {'accuracy': dev},
             'test': {'accuracy': 0.5, 'ece': 0.125}, 'train': {'agreement': 1}}
  return report_records.make_record(
      model, **{'metrics': metrics, 'calibration': BINS} | changes)


def test_bins_are_joined_over_seeds_and_those_with_few_left_out():
  labels, mimic, teacher = reliability.find_reliability(Context([
      make('SNN', 0.4), make('SNN', 0.6, width=8), make('M', teacher='E'),
      make('M', teacher='E', seed=1), make('M/x', 0.9, teacher='E'),
      make('E', role='ensemble', width=0)]))
  assert [one.name for one in (labels, mimic, teacher)] == [
      'SNN, width 8', 'M, width 64', 'E']
  np.testing.assert_allclose(labels.confidence, [0.6, 0.9])
  np.testing.assert_allclose(labels.right, [0.4, 0.8])
  # Two seeds: ten inputs in the second bin are enough.
  np.testing.assert_allclose(mimic.confidence, [0.3, 0.6, 0.9])
  assert mimic.error == pytest.approx(12.5)


def test_records_without_bins_have_no_reliability():
  assert not reliability.find_reliability(
      Context([make('M', calibration=None)]))


def test_figure_draws_the_lines_and_the_diagonal():
  axes, = reliability.draw_reliability(report_records.make_context(
      make('SNN'), make('M', teacher='E', objective='logit_regression'))).axes
  lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 2]
  np.testing.assert_allclose(lines[0].get_ydata(), [40, 80])
  np.testing.assert_array_equal(lines[-1].get_xdata(), lines[-1].get_ydata())
  assert {text.get_text() for text in axes.texts} == {
      'SNN, width 64: ECE 12.5 %', 'M, width 64: ECE 12.5 %',
      'as sure as right'}


def test_studies_are_shown_where_they_are():
  def titles(context):
    parts = {name: make_part(section, context)
             for name, section in Section.registry.items()}
    return {name: part.title for name, part in parts.items() if part}

  always = {'figure1_accuracy', 'figure1_controls', 'figure2_overfitting',
            'figure3_teachers', 'table_sizes', 'table_details', 'table_search'}
  plain = Context(report_records.make_records(
      widths=(64,), seeds=1, controls=()))
  assert titles(Context([])).keys() == always
  assert titles(plain).keys() == always | {'table_likeness'}
  found = titles(Context([make('SNN')]))
  assert found.keys() == always | {'figure_reliability', 'table_likeness'}
  assert found['figure_reliability'] == (
      'Reliability. Confidence and the share right')
  assert found['table_likeness'] == (
      'Likeness to the teacher, on train and test, and to an independent one')
