import itertools
import re
import warnings as std_warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy import optimize

import shallow_mimic
from shallow_mimic.curves import drawing
from shallow_mimic.curves.drawing import Label
from shallow_mimic.curves.summaries import Spread
from shallow_mimic.training import LossSpec

pytestmark = pytest.mark.filterwarnings('error')


def brute_force(wanted, gap, low, high):
  """Least squares under the same constraints, by a general solver."""
  order = np.argsort(wanted, kind='stable')
  sorted_wanted = np.array(wanted)[order]
  found = optimize.minimize(
      lambda p: np.sum((p - sorted_wanted) ** 2),
      np.linspace(low, high, len(wanted)), bounds=[(low, high)] * len(wanted),
      constraints={'type': 'ineq', 'fun': lambda p: np.diff(p) - gap},
      method='SLSQP', options={'ftol': 1e-12})
  places = np.empty(len(wanted))
  places[order] = found.x
  return places


@pytest.mark.parametrize('wanted', [
    [0.5, 0.52, 0.9], [0.1, 0.1, 0.1], [0.99, 0.98, 0.2, 0.97],
    [0.0, 0.01, 0.5, 0.55, 0.56], [1.0, 0.0]])
def test_spread_out_is_the_nearest_that_fits(wanted):
  places = drawing.spread_out(wanted, 0.1, 0.0, 1.0)
  np.testing.assert_allclose(
      places, brute_force(wanted, 0.1, 0.0, 1.0), atol=1e-4)
  assert np.diff(sorted(places)).min() >= 0.1 - 1e-9


def test_spread_out_leaves_what_fits_and_takes_nothing():
  assert drawing.spread_out([0.7, 0.2], 0.1, 0, 1) == pytest.approx([0.7, 0.2])
  assert drawing.spread_out([], 0.1, 0, 1) == []


def test_too_many_keep_their_gap():
  places = drawing.spread_out([0.5] * 5, 0.5, 0, 1)
  np.testing.assert_allclose(np.diff(places), 0.5)
  assert places[-1] == pytest.approx(1.0)


def test_an_objective_keeps_its_colour():
  labels, logits = drawing.choose_styles(['cross_entropy', 'logit_regression'])
  assert drawing.choose_styles(['logit_regression', 'cross_entropy']) == [
      logits, labels]


@pytest.mark.parametrize('objectives', [
    ['cross_entropy'] * 3 + ['logit_regression'] * 2, ['own'] * 4,
    ['cross_entropy', 'own', 'logit_regression', 'pseudo_label', 'own'],
    ['cross_entropy'] * 8])
def test_no_two_curves_look_alike(objectives):
  styles = drawing.choose_styles(objectives)
  for key in ('color', 'marker'):
    assert len({style[key] for style in styles}) == len(objectives)


def test_more_curves_than_colours_still_have_one():
  assert len(drawing.choose_styles(['cross_entropy'] * 20)) == 20
  assert len({s['color'] for s in drawing.shade_styles(12)}) == 12
  assert drawing.shade_styles(0) == []


def test_many_curves_tell_architecture_by_colour_and_objective_by_line():
  objectives = ('cross_entropy', 'logit_regression', 'distillation_kl',
                'decoupled_kl')
  pairs = [(one, other) for other in 'ABCD' for one in objectives]
  styles = dict(zip(pairs, drawing.choose_styles(*zip(*pairs, strict=True)),
                    strict=True))
  for (objective, architecture), style in styles.items():
    for key, place in (('color', 1), ('marker', 1), ('linestyle', 0)):
      alike = {pair[place] for pair, other in styles.items()
               if other[key] == style[key]}
      assert alike == {(objective, architecture)[place]}, key
  twice = drawing.choose_styles(*zip(*pairs, *pairs, strict=True))
  assert all(twice.count(style) == 1 for style in twice)
  # As few curves as colours: the objective has the colour, as ever.
  few = drawing.choose_styles(objectives, 'ABCD')
  assert few == drawing.choose_styles(objectives)


def test_a_loss_of_ones_own_has_the_place_and_line_that_it_asks_for():
  ours = drawing.choose_styles(['cross_entropy', 'distillation_kl'])
  for place in (3, 3 + len(drawing.COLOURS)):
    shallow_mimic.register(LossSpec(
        'own', print, version='1', place=place, line=':'))
    try:
      assert drawing.choose_styles(['cross_entropy', 'own']) == ours
      # Ours stands where it is drawn first.
      styles = drawing.choose_styles(['distillation_kl', 'own'])
      assert styles[0] == ours[1] != styles[1]
      many = drawing.choose_styles(['own'] * 12, [*'ABCDEFGHIJKL'])
      assert {style['linestyle'] for style in many} == {':'}
    finally:
      LossSpec.registry.remove('own')
  assert drawing.choose_styles(['cross_entropy', 'own']) != ours


def test_a_panel_is_as_high_as_its_labels():
  assert drawing.fit_height(0) == drawing.fit_height(18) == 3.6
  assert drawing.fit_height(36) == pytest.approx(7)


def test_one_seed_has_no_bar():
  figure, panels = drawing.make_panels(1, width=3, height=3)
  drawing.draw_bars(panels[0, 0], [1, 2, 3],
                    [Spread(5, np.nan, 1), Spread(6, 0.5, 3), Spread(7, 1, 2)],
                    {'color': 'k'})
  line, _, (bars,) = panels[0, 0].containers[0]
  np.testing.assert_array_equal(line.get_ydata(), [5, 6, 7])
  ends = [segment[:, 1] for segment in bars.get_segments() if len(segment)]
  ends = [end for end in ends if np.isfinite(end).all()]
  np.testing.assert_allclose(ends, [[5.5, 6.5], [6, 8]])
  FigureCanvasAgg(figure).draw()


@pytest.mark.parametrize(('sizes', 'expected'), [
    ([1000, 6000], {'1k', '2k', '5k'}), ([800, 200_000], {'1k', '10k', '100k'}),
    ([5000, 5000], {'5k'})])
def test_sizes_have_readable_ticks(sizes, expected):
  figure, panels = drawing.make_panels(1, width=3, height=3)
  axes = panels[0, 0]
  axes.plot(sizes, [0, 1])
  drawing.scale_sizes(axes)
  FigureCanvasAgg(figure).draw()
  low, high = axes.get_xlim()
  texts = {text.get_text() for text in axes.get_xticklabels()
           if low <= text.get_position()[0] <= high}
  assert expected <= texts
  assert not any(t.get_text() for t in axes.get_xticklabels(minor=True))


def extents(figure, texts):
  canvas = FigureCanvasAgg(figure)
  canvas.draw()
  return [text.get_window_extent(canvas.get_renderer()) for text in texts]


def test_labels_at_one_height_do_not_overlap_and_stand_outside():
  figure, panels = drawing.make_panels(1, width=3, height=3)
  axes = panels[0, 0]
  axes.plot([0, 1], [0, 10])
  drawing.label_right(axes, [
      Label(y, f'label {y}', {'color': 'k'}) for y in (9.9, 10, 10, 5, 5.01)])
  boxes = extents(figure, axes.texts)
  assert all(box.x0 > axes.bbox.x1 for box in boxes)
  assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
  heights = {t.get_text(): t.get_position()[1] for t in axes.texts}
  assert heights['label 5'] < heights['label 5.01'] < heights['label 9.9']


def test_names_above_near_to_each_other_do_not_overlap():
  figure, panels = drawing.make_panels(1, width=3, height=3)
  axes = panels[0, 0]
  axes.plot([80, 90], [0, 1])
  drawing.label_top(axes, {'ECNN': 89.9, 'ECNN-3': 89.8, 'DNN': 80.5})
  FigureCanvasAgg(figure).draw()
  places = {t.get_text(): t.get_position()[0] * axes.bbox.width
            for t in axes.texts}
  height = 9 * figure.dpi / 72
  assert places['ECNN'] - places['ECNN-3'] > height / np.sin(np.pi * 40 / 180)
  assert places['DNN'] < places['ECNN-3']


def test_diagonal_of_one_teacher():
  figure, panels = drawing.make_panels(1, width=3, height=3)
  label = drawing.draw_diagonal(panels[0, 0], [90.0])
  assert panels[0, 0].get_xlim() == (89.0, 91.0)
  assert label.y == 91.0
  FigureCanvasAgg(figure).draw()


def test_rendering_ignores_and_keeps_the_users_settings():
  def draw():
    figure, panels = drawing.make_panels(1, width=2, height=2)
    panels[0, 0].plot([1, 2])
    return figure

  first = drawing.render(draw)
  with mpl.rc_context({'font.size': 30, 'axes.facecolor': 'red',
                       'svg.hashsalt': 'x'}):
    assert drawing.render(draw) == first
    assert mpl.rcParams['font.size'] == 30
  assert mpl.rcParams['axes.grid'] is False


def draw_names(*names):
  """Every way in which a figure writes a name."""
  figure, panels = drawing.make_panels(1, width=4, height=3)
  axes = panels[0, 0]
  axes.plot([1, 2], [1, 2])
  axes.set_title(names[0])
  axes.set_xlabel(names[0])
  axes.set_yticks(range(1, len(names) + 1), names)
  labels = [Label(1, name, {'color': 'k'}) for name in names]
  drawing.label_right(axes, labels)
  drawing.label_below(axes, labels)
  drawing.label_top(axes, dict.fromkeys(names, 1.0))
  return figure


def glyphs(image):
  """How many letters an SVG has under each text, by the text."""
  found = {}
  for text, group in re.findall(
      r'<!-- (.*?) -->\n(.*?)</g>\n  ', image.svg.decode(), re.DOTALL):
    found.setdefault(text, set()).add(group.count('<use '))
  return found


@pytest.mark.parametrize('name', [
    'a$b^$', r'$\frac$', '$x_2$', r'\$x\$', '_hidden', '_', '$', 'a_b'])
def test_names_are_drawn_as_they_are_written(name):
  found = glyphs(drawing.render(draw_names, name))
  assert found[name] == {len(name)}
  # Title, axis, tick, right, below and above.
  svg = drawing.render(draw_names, name).svg.decode()
  assert svg.count(f'<!-- {name} -->') == 6


def test_powers_of_ten_on_an_axis_of_ones_own_are_no_names():
  def draw():
    figure, panels = drawing.make_panels(1, width=3, height=3)
    panels[0, 0].set_xlim(1, 1e4)
    panels[0, 0].set_xscale('log')
    return figure

  found = glyphs(drawing.render(draw))
  assert found[r'$\mathdefault{10^{3}}$'] == {3}  # '1', '0' and '3'


def test_letters_without_a_glyph_are_one_warning(warnings):
  images = [drawing.render(draw_names, name) for name in ('教师', '学生', 'é')]
  assert [image.missing for image in images] == ['师教', '学生', '']
  drawing.warn_missing(images)
  assert warnings == [
      'the font of the figures lacks 学师教生: there they are boxes; the page'
      ' and results.csv have them']
  drawing.warn_missing(images[2:])
  assert len(warnings) == 1


def test_other_warnings_of_a_figure_are_still_told():
  def draw():
    std_warnings.warn('mind this', stacklevel=1)
    return draw_names('a')

  with pytest.raises(UserWarning, match='mind this'):
    drawing.render(draw)
  with pytest.warns(UserWarning, match='mind this'):
    drawing.render(draw)
