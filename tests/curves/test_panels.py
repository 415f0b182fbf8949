import dataclasses
import io
import itertools
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import report_records
from matplotlib import image as images
from matplotlib.backends.backend_agg import FigureCanvasAgg

from shallow_mimic.curves import Context, Section, drawing
from shallow_mimic.curves.sections import (
  accuracy,
  controls,
  overfitting,
  student_vs_teacher,
)

pytestmark = pytest.mark.filterwarnings('error')
NAMES = ['figure1_accuracy', 'figure1_controls', 'figure2_overfitting',
         'figure3_teachers']
DRAW = {name: Section.registry[name].draw for name in NAMES}
CROWD = report_records.CONTROLS + tuple(
    (f'SNN-{i}', 'blended', 'train', 'ECNN', 67.0) for i in range(3)) + tuple(
    (f'SNN/{i}', 'cross_entropy', f'set{i}', '', 60.0) for i in range(2))
CASES = {
    'usual': {}, 'crowded': {'controls': CROWD, 'widths': (64, 256)},
    'speech, one seed, one width': {
        'seeds': 1, 'speech': True, 'widths': (64,)},
    'no main student': {'controls': ()}}


@pytest.fixture(scope='module')
def contexts():
  return {name: Context(report_records.make_records(**case))
          for name, case in CASES.items()} | {'nothing': Context([])}


def lines_by_colour(axes):
  """The curves of a panel, without their caps and samples, by colour."""
  return {container.lines[0].get_color(): container.lines[0]
          for container in axes.containers}


@pytest.fixture(scope='module')
def drawn(contexts):
  return {name: draw_all(case) for name, case in contexts.items()}


def draw_all(context):
  return {name: drawing.render(draw, context) for name, draw in DRAW.items()}


@pytest.mark.parametrize('case', [*CASES, 'nothing'])
def test_every_case_draws_all_files_with_clean_edges(drawn, case):
  drawn = drawn[case]
  assert list(drawn) == NAMES
  for image in drawn.values():
    root = ElementTree.fromstring(image.svg)
    assert root.tag == '{http://www.w3.org/2000/svg}svg'
    assert b'dc:date' not in image.svg
    pixels = images.imread(io.BytesIO(image.png))[..., :3]
    edges = [pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:]]
    assert all((edge == 1).all() for edge in edges)  # nothing is cut off
    assert (pixels < 1).any() and max(pixels.shape) < 2400


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('name', NAMES)
def test_texts_do_not_overlap(contexts, case, name):
  figure = DRAW[name](contexts[case])
  canvas = FigureCanvasAgg(figure)
  canvas.draw()
  texts = [figure.texts]
  for axes in figure.axes:
    texts += [axes.texts if name != 'figure3_teachers' else [
        t for t in axes.texts if not t.get_rotation()]]
    texts += [[axes.xaxis.label, axes.yaxis.label, axes._left_title]]
    texts += [axes.get_legend().get_texts()] if axes.get_legend() else []
    low, high = axes.get_xlim()
    texts += [[t for t in axes.get_xticklabels()
               if low <= t.get_position()[0] <= high]]
  boxes = [
      text.get_window_extent(canvas.get_renderer())
      for text in itertools.chain(*texts) if text.get_text()]
  assert len(boxes) > 2
  for a, b in itertools.combinations(boxes, 2):
    # A pixel of the box's own padding may be shared.
    assert not a.padded(-1).overlaps(b.padded(-1))


def test_equal_summaries_give_equal_bytes(contexts, drawn):
  case = 'speech, one seed, one width'
  assert draw_all(contexts[case]) == drawn[case]


def test_figure_1_has_the_main_curves_and_teachers(contexts):
  figure = accuracy.draw_accuracy(contexts['usual'])
  dev, test = figure.axes
  assert (dev.get_title('left'), test.get_title('left')) == ('Dev', 'Test')
  assert dev.get_xscale() == 'log'
  assert sorted(text.get_text() for text in test.texts) == [
      'CNN (mean of 4)', 'DNN', 'ECNN', 'SNN', 'SNN-MIMIC', 'SNN-dropout']
  for axes, split in ((dev, 'dev'), (test, 'test')):
    curve = lines_by_colour(axes)['#0072b2']
    found = [s for s in contexts['usual'].points if s.model == 'SNN-MIMIC']
    np.testing.assert_array_equal(
        curve.get_xdata(), [51 * w + 10 for w in (64, 256, 1024, 4096)])
    np.testing.assert_allclose(
        curve.get_ydata().astype(float),
        [getattr(s, split).mean for s in found])
    cnn, = [s for s in contexts['usual'].points if s.model == 'CNN']
    levels = [line.get_ydata()[0] for line in axes.get_lines()
              if list(line.get_xdata()) == [0, 1]]
    assert np.isclose(levels, getattr(cnn, split).mean).any()


def test_controls_have_a_panel_for_each_input_and_one_y_axis(contexts):
  figure = controls.draw_controls(contexts['usual'])
  assert [axes.get_title('left') for axes in figure.axes] == [
      'Inputs: train', 'Inputs: views', 'Inputs: train+generated']
  assert len({axes.get_ylim() for axes in figure.axes}) == 1
  legend = [t.get_text() for t in figure.axes[1].get_legend().get_texts()]
  assert legend == ['SNN-MIMIC/views: logits',
                    'SNN-PSEUDO/views: pseudo-labels', 'SNN/views: labels']
  for axes in figure.axes:  # every curve carries bars
    assert len(axes.containers) >= 3
    assert all(container.has_yerr for container in axes.containers)


def test_histories_mark_their_peaks(contexts):
  axes, = overfitting.draw_histories(
      dataclasses.replace(contexts['usual'], figure_width=256)).axes
  assert axes.get_title('left') == 'Width 256'
  assert [text.get_text() for text in axes.texts] == [
      'SNN', 'SNN-dropout', 'SNN-MIMIC']
  curves = [line for line in axes.get_lines() if len(line.get_xdata()) == 30]
  for line in curves:
    peak, = line.get_markevery()
    assert line.get_ydata()[peak] == max(line.get_ydata())
  assert len(axes.collections) == len(curves) == 3  # bands


def test_sweeps_have_a_line_per_width_and_the_diagonal(contexts):
  axes, = student_vs_teacher.draw_sweeps(contexts['usual']).axes
  assert {text.get_text() for text in axes.texts} == {
      'width 256', 'width 4096', 'student = teacher', 'DNN', 'CNN', 'ECNN-2',
      'ECNN'}
  assert [len(c.lines[0].get_xdata()) for c in axes.containers] == [4, 4]
  diagonal = next(line for line in axes.get_lines()
                  if line.get_color() == '#777777')
  np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())


def test_axes_name_what_they_show(contexts):
  def axes(case, draw):
    return DRAW[draw](contexts[case]).axes[0]
  usual, speech = 'usual', 'speech, one seed, one width'
  expected = {
      (usual, NAMES[0]): 'Accuracy (%)', (speech, NAMES[0]): '100 − PER (%)',
      (usual, NAMES[1]): 'Test accuracy (%)',
      (speech, NAMES[1]): '100 − test PER (%)',
      (usual, NAMES[2]): 'Dev accuracy (%)',
      (speech, NAMES[2]): 'Dev frame accuracy (%)',
      (usual, NAMES[3]): 'Student: dev accuracy (%)',
      (speech, NAMES[3]): 'Student: 100 − dev PER (%)'}
  for key, text in expected.items():
    assert axes(*key).get_ylabel() == text


def test_without_data_figures_say_so(contexts):
  said = {name: [t.get_text() for axes in draw(contexts['nothing']).axes
                 for t in axes.texts] for name, draw in DRAW.items()}
  assert said == {
      'figure1_accuracy': ['no students'] * 2,
      'figure1_controls': ['no students'],
      'figure2_overfitting': ['no history of dev accuracy'],
      'figure3_teachers': ['no mimics']}


def test_diverged_points_are_not_drawn():
  records = [
      report_records.make_record('SNN', width=width, diverged=width == 8,
                                 parameters=50 * width)
      for width in (8, 16, 32)]
  figure = accuracy.draw_accuracy(Context(records))
  line = figure.axes[1].containers[0].lines[0]
  np.testing.assert_array_equal(line.get_xdata(), [800, 1600])


def test_matplotlib_loads_when_a_figure_is_drawn_and_pyplot_never():
  code = (
      'import sys\n'
      'from shallow_mimic.curves import Context, Section, drawing\n'
      'before = "matplotlib" in sys.modules\n'
      'drawing.render(Section.registry["figure1_accuracy"].draw, Context([]))'
      '\n'
      'print(before, "matplotlib.pyplot" in sys.modules)')
  done = subprocess.run([sys.executable, '-c', code], check=True, text=True,
                        stdout=subprocess.PIPE)
  assert done.stdout.split() == ['False', 'False']
