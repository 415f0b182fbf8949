import numpy as np
import pytest
import report_records

from shallow_mimic.curves import Context, comparisons, summaries
from shallow_mimic.curves.sections import loss_study
from shallow_mimic.training import LossSpec

pytestmark = pytest.mark.filterwarnings('error')


def make(objective, dev=0.5, test=0.5, **changes):
  changes = {'objective': objective, 'teacher': 'E'} | changes
  return report_records.make_record(
      f'M/{objective}-{changes.get("temperature", "")}', metrics={
          'dev': {'accuracy': dev}, 'test': {'accuracy': test}}, **changes)


def study(*records):
  return loss_study.find_study(Context(records))


def test_losses_are_sorted_by_dev_and_labels_stand_among_them():
  found = study(
      make('logit_regression', 0.7), make('pseudo_label', 0.9),
      make('distillation_kl', 0.6, temperature=1.0),
      make('distillation_kl', 0.8, temperature=4.0),
      make('cross_entropy', 0.65, teacher=''),
      make('cross_entropy', 0.99, teacher='', mixture='views'))
  assert found.losses == ('pseudo-labels', 'KL, T = 4', 'logits', 'labels',
                          'KL, T = 1')
  assert (found.mixture, found.teacher, found.nets) == (
      'train', 'E', ((64, '64'),))


@pytest.mark.parametrize('changes', [
    {'mixture': 'views'}, {'teacher': 'F'}, {'width': 8},
    {'architecture': '9'}, {'diverged': True}])
def test_a_study_keeps_all_else_equal(changes):
  records = [make('logit_regression'), make('pseudo_label')]
  assert study(*records, make('blended')) is not None
  assert study(*records, make('blended', **changes)) is None


def test_two_losses_or_none_are_no_study():
  assert study(make('logit_regression'), make('pseudo_label'),
               make('cross_entropy', teacher='')) is None
  assert study(make('cross_entropy', teacher='')) is None
  assert study() is None


def test_nets_are_those_with_most_losses():
  full = [make(name, width=width, architecture=str(width))
          for width in (8, 16) for name in (
              'logit_regression', 'pseudo_label', 'blended')]
  found = study(*full, *[make(name, width=4) for name in (
      'logit_regression', 'pseudo_label')])
  assert found.nets == ((8, '8'), (16, '16'))


@pytest.mark.parametrize('name', LossSpec.registry)
def test_every_objective_has_words_of_its_own(name):
  words = [comparisons.name_objective(other) for other in LossSpec.registry]
  assert words.count(comparisons.name_objective(name)) == 1
  assert '_' not in comparisons.name_objective(name)


def test_names_tell_the_constants():
  point, = summaries.summarise([make(
      'decoupled_kl', temperature=4.0, alpha=1.0, beta=8.0)])
  assert comparisons.name_loss(point) == 'DKD, T = 4, α = 1, β = 8'


@pytest.fixture(name='context', scope='module')
def fixture_context():
  rng = np.random.default_rng(0)
  return Context(report_records.make_teachers(rng)
                 + report_records.make_losses(rng))


def test_figure_has_a_dot_and_a_number_for_every_loss(context):
  figure = loss_study.draw_losses(context)
  assert [axes.get_title('left') for axes in figure.axes] == [
      'Width 256', 'Width 1024']
  rows = [t.get_text() for t in figure.axes[0].get_yticklabels()]
  assert len(rows) == len(report_records.LOSSES) + 1 == len(set(rows))
  low, high = figure.axes[0].get_ylim()
  assert low > high  # the best stands on top
  by_loss = {(s.width, comparisons.name_loss(s)): s for s in context.points}
  for axes, width in zip(figure.axes, (256, 1024), strict=True):
    assert len(axes.containers) == len(rows)
    for row, (dot, text) in enumerate(zip(axes.containers, axes.texts,
                                          strict=True)):
      s = by_loss[width, rows[row]]
      assert list(dot.lines[0].get_xdata()) == [s.test.mean]
      assert list(dot.lines[0].get_ydata()) == [row]
      assert text.get_text() == f'{s.test.mean:.1f} ± {s.test.sd:.1f}'
  colours = {c.lines[0].get_color() for c in figure.axes[0].containers}
  assert len(colours) >= 11


def test_table_has_every_loss_at_every_net(context):
  table = loss_study.make_loss_table(context)
  assert len(table.rows) == 2 * (len(report_records.LOSSES) + 1)
  row, = [r for r in table.rows if r[:3] == (
      'KL, T = 4', 'loss/distillation_kl-4.0', '256')]
  s, = [s for s in context.points if s.model == row[1] and s.width == 256]
  assert row[5] == f'{s.test.mean:.1f} ± {s.test.sd:.1f}'
  assert row[7] == '0.300 ± 0.000'
  assert loss_study.make_loss_table(Context([])).rows == []


def test_readings_set_logits_against_the_best_on_dev_of_a_kind():
  told = loss_study.say_losses(Context([
      make('logit_regression', 0.7, 0.72),
      make('distillation_kl', 0.6, 0.80, temperature=1.0),
      make('distillation_kl', 0.65, 0.70, temperature=4.0),
      make('probability_regression', 0.5, 0.6)]))
  one = '; by sign alone, for one seed has no spread.'
  assert told == [
      'Width 64: best on dev is logits (70.0 % on dev, 72.0 % on test).',
      'On test, logits against the best (on dev) of KL: ahead at 1 of 1 width,'
      f' +2.0 points (width 64){one}',
      'On test, logits against L2 on probabilities: ahead at 1 of 1 width,'
      f' +12.0 points (width 64){one}']
  assert loss_study.say_losses(Context([])) == []
