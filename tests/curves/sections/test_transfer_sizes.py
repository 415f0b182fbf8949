import numpy as np
import pytest
import report_records

from shallow_mimic.curves import Context, drawing
from shallow_mimic.curves.sections import transfer_sizes

pytestmark = pytest.mark.filterwarnings('error')


def make(text, count, test=0.5, **changes):
  changes = {'objective': 'logit_regression', 'teacher': 'E'} | changes
  name = f'M{changes.get("architecture", "")}/{text}'
  return report_records.make_record(
      name, mixture=text, inputs_count=count,
      metrics={'dev': {'accuracy': test}, 'test': {'accuracy': test}},
      **changes)


def find(*records):
  return transfer_sizes.find_lines(Context(records))


def test_lines_go_by_count_and_begin_at_the_training_inputs():
  lines = find(
      make('train+views', 1000, 0.9), make('train', 100, 0.6),
      make('train+views[:50]', 150, 0.7), make('views[:70]', 70, 0.3),
      make('views', 900, 0.8), make('views[:70]', 70, 0.5, seed=1))
  assert [(line.sets, line.with_train, line.counts) for line in lines] == [
      (('views',), False, (70, 900)), (('views',), True, (100, 150, 1000))]
  assert [s.test.mean for s in lines[0].points] == pytest.approx([40, 80])
  assert [s.test.mean for s in lines[1].points] == pytest.approx([60, 70, 90])


@pytest.mark.parametrize('changes', [
    {'width': 8}, {'architecture': '9'}, {'teacher': 'F'},
    {'objective': 'distillation_kl', 'temperature': 4.0}])
def test_a_line_keeps_all_else_equal(changes):
  assert not find(make('views', 900), make('views[:70]', 70, **changes))
  lines = find(make('views', 900), make('views[:70]', 70),
               make('views', 900, **changes),
               make('views[:70]', 70, **changes))
  assert len(lines) == 2


def test_temperatures_and_sets_are_not_mixed():
  assert not find(
      make('views', 9, objective='distillation_kl', temperature=1.0),
      make('views[:7]', 7, objective='distillation_kl', temperature=2.0))
  assert not find(make('views+others', 9), make('views[:7]', 7))


def test_labels_searches_and_what_diverged_have_no_line():
  cases = ({'teacher': '', 'objective': 'cross_entropy'},
           {'phase': 'search'}, {'diverged': True})
  for changes in cases:
    assert not find(make('views', 9), make('views[:7]', 7, **changes))


def test_records_without_a_count_have_no_line():
  assert not find(make('views', None), make('views[:7]', 7))


@pytest.fixture(name='context', scope='module')
def fixture_context():
  rng = np.random.default_rng(0)
  return Context(report_records.make_teachers(rng)
                 + report_records.make_transfer_sizes(rng))


def test_figure_has_a_panel_for_each_net_and_the_teachers_line(context):
  figure = transfer_sizes.draw_sizes(context)
  assert [axes.get_title('left') for axes in figure.axes] == [
      'Width 256', 'Width 1024']
  assert len({axes.get_ylim() for axes in figure.axes}) == 1
  teacher, = [s for s in context.points if s.model == 'ECNN']
  for axes in figure.axes:
    assert axes.get_xscale() == 'log'
    counts = [list(c.lines[0].get_xdata()) for c in axes.containers]
    assert counts == [[1000, 10_000, 100_000], [3600, 4600, 13_600, 103_600]]
    level, = [line.get_ydata()[0] for line in axes.get_lines()
              if list(line.get_xdata()) == [0, 1]]
    assert level == pytest.approx(teacher.test.mean)
    alone, beside = [c.lines[0] for c in axes.containers]
    assert alone.get_color() == beside.get_color()
    assert alone.get_markerfacecolor() == 'white'
  assert {text.get_text() for text in figure.axes[-1].texts} == {
      'ECNN', 'logits: views alone', 'logits: train + views'}


def test_figure_is_the_same_twice_and_holds_one_seed():
  context = Context(report_records.make_transfer_sizes(
      np.random.default_rng(0), seeds=1, widths=(64,)))
  def draw():
    return drawing.render(transfer_sizes.draw_sizes, context)
  assert draw() == draw()


def test_readings_are_made_of_the_numbers():
  told = transfer_sizes.say_sizes(Context([
      make('train', 100, 0.6), make('train+views', 1000, 0.9),
      make('views', 900, 0.8), make('views[:70]', 70, 0.5)]))
  assert told == [
      'Width 64, logits: views alone: from 70 inputs (50.0 %) to 900 (80.0 %)'
      ' +30.0 points on test.',
      'Width 64, logits: train + views: from 100 inputs (60.0 %) to 1,000'
      ' (90.0 %) +30.0 points on test.',
      'Width 64, logits: the training inputs beside views (1,000 inputs in all'
      ' against 900) give +10.0 points on test.']
