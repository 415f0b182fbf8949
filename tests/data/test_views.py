"""Views: what each option does, and that nothing but (seed, k, i) decides."""

import re

import numpy as np
import pytest

from shallow_mimic import errors
from shallow_mimic.data import views
from shallow_mimic.data.views import make_views

VECTOR = {'shift': 3, 'scale': 0.2, 'noise': 0.1}
IMAGE = {'crop': 2, 'flip': True}


def vectors(rows=30):
  x = np.random.default_rng(0).normal(size=(rows, 12)).astype(np.float32)
  return x, np.arange(rows) % 4


def images(rows=30):
  x = np.random.default_rng(0).integers(
      256, size=(rows, 6, 7, 3), dtype=np.uint8)
  return x, np.arange(rows) % 4


CASES = [(vectors, VECTOR), (images, IMAGE), (images, {'noise': 0.1, **IMAGE}),
         (images, {'colour': 0.4, **IMAGE})]


@pytest.mark.parametrize(('data', 'options'), CASES)
def test_shape_labels_and_order(data, options):
  x, y = data()
  made = make_views(x, y, 3, 0, options)
  assert made.x.shape == (90, *x.shape[1:])
  np.testing.assert_array_equal(made.y, np.concatenate([y, y, y]))


@pytest.mark.parametrize(('data', 'options'), CASES)
def test_more_copies_begin_with_fewer(data, options):
  two, three = (make_views(*data(), copies, 5, options).x for copies in (2, 3))
  np.testing.assert_array_equal(three[:60], two)
  assert (three[60:] != two[:30]).any()


@pytest.mark.parametrize('rows', [1, 7, 1024, 1030])
@pytest.mark.parametrize(('data', 'options'), CASES)
def test_view_does_not_depend_on_how_many_examples(data, options, rows):
  x, y = data(2100)
  some = make_views(x[:rows], y[:rows], 1, 5, options).x
  np.testing.assert_array_equal(make_views(x, y, 1, 5, options).x[:rows], some)


@pytest.mark.parametrize(('data', 'options'), CASES)
def test_seed_decides(data, options):
  one, again, other = (
      make_views(*data(), 1, seed, options).x for seed in (1, 1, 2))
  np.testing.assert_array_equal(one, again)
  assert (one != other).any()


def test_options_do_not_share_draws():
  x, y = vectors()
  shifted = make_views(x, y, 1, 0, {'shift': 3}).x
  both = make_views(x, y, 1, 0, {'shift': 3, 'scale': 0.2}).x
  factor = both / shifted
  np.testing.assert_allclose(factor, factor[:, :1] * np.ones(12), rtol=1e-4)


@pytest.mark.parametrize(('padding', 'mode'), [
    ('', 'wrap'), ('circular', 'wrap'), ('zero', 'constant'),
    ('reflect', 'reflect')])
def test_shift_is_one_of_the_allowed_shifts(padding, mode):
  x, y = vectors(200)
  made = make_views(x, y, 1, 0, {'shift': 3, 'padding': padding}).x
  padded = np.pad(x, [(0, 0), (3, 3)], mode=mode)
  allowed = np.stack([padded[:, o:o + 12] for o in range(7)])
  found = (made == allowed).all(-1)
  assert (found.sum(0) >= 1).all()
  assert found.any(1).all()  # Every shift from -3 to 3 occurs.


def test_crop_and_flip_are_of_the_allowed_ones():
  x, y = images(400)
  made = make_views(x, y, 1, 0, {'crop': 1, 'flip': True}).x
  assert made.dtype == np.uint8
  padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode='reflect')
  allowed = np.stack([
      padded[:, a:a + 6, b:b + 7][:, :, ::flip]
      for a in range(3) for b in range(3) for flip in (1, -1)])
  found = (made == allowed).reshape(18, 400, -1).all(-1)
  np.testing.assert_array_equal(found.sum(0), 1)
  assert found.any(1).all()


def test_zero_padding_of_a_crop():
  x = np.full((50, 6, 7, 3), 9, np.uint8)
  made = make_views(x, np.zeros(50), 1, 0, {'crop': 2, 'padding': 'zero'}).x
  assert set(np.unique(made)) == {0, 9}


@pytest.mark.parametrize('units', [1e-3, 1, 1e4])
def test_jitter_is_a_share_of_what_each_feature_varies_by(units):
  x, y = vectors(4000)
  x = x * units * np.arange(1, 13)
  x[:, 4] = 7  # Constant: it stays as it is.
  added = make_views(x, y, 1, 0, {'jitter': 0.2}).x - x
  wanted = 0.2 * x.std(0)
  np.testing.assert_allclose(added.std(0), wanted, rtol=0.05, atol=1e-9)
  np.testing.assert_allclose(added[:, 4], 0)
  # Of its own draws: what noise adds is the same with it and without.
  noise = {'noise': 0.5 * units}
  both = make_views(x, y, 1, 0, {'jitter': 0.2} | noise).x
  np.testing.assert_allclose(
      both - x - added, make_views(x, y, 1, 0, noise).x - x,
      atol=0.01 * units)


def test_jitter_of_bytes_is_by_channel():
  x, y = images(400)
  x[..., 1] //= 4
  added = make_views(x, y, 1, 0, {'jitter': 0.2}).x - x / np.float32(255)
  np.testing.assert_allclose(
      added.std((0, 1, 2)), 0.2 * x.std((0, 1, 2)) / 255, rtol=0.05)


def test_scale_and_noise_have_the_size_asked_for():
  x, y = vectors(4000)
  factor = make_views(x, y, 1, 0, {'scale': 0.25}).x / x
  assert 0.75 <= factor.min() < 0.76
  assert 1.24 < factor.max() <= 1.2501
  noise = make_views(x, y, 1, 0, {'noise': 0.3}).x - x
  assert noise.std() == pytest.approx(0.3, rel=0.02)
  assert noise.mean() == pytest.approx(0, abs=0.01)


def test_colour_is_three_factors_of_the_size_asked_for():
  """Undone by hand: pixels about grey, grey about the mean, the mean."""
  x = np.random.default_rng(0).uniform(0.2, 0.6, (500, 6, 7, 3))
  made = make_views(x, np.zeros(500), 1, 0, {'colour': 0.3}).x.astype(float)
  grey, made_grey = (a.mean(-1, keepdims=True) for a in (x, made))
  mean, made_mean = (a.mean((1, 2, 3), keepdims=True) for a in (x, made))
  light = made_mean / mean
  contrast = np.median((made_grey - made_mean) / (grey - mean), (1, 2, 3))
  saturation = np.median((made - made_grey) / (x - grey), (1, 2, 3))
  saturation, contrast = saturation / contrast, contrast / light.ravel()
  for factor in (light.ravel(), contrast, saturation):
    assert 0.7 - 1e-3 <= factor.min() < 0.72
    assert 1.28 < factor.max() <= 1.3 + 1e-3
  factors = np.corrcoef([light.ravel(), contrast, saturation])
  assert np.abs(factors - np.eye(3)).max() < 0.2

  def wide(values):
    return values[:, None, None, None]

  grey = mean + wide(contrast) * (grey - mean)
  again = light * (grey + wide(saturation * contrast) * (
      x - x.mean(-1, keepdims=True)))
  np.testing.assert_allclose(made, again, atol=1e-4)


def test_colour_keeps_bytes_and_does_not_wrap_around():
  x = np.full((200, 6, 7, 3), 250, np.uint8)
  x[:, 0, 0] = 2
  made = make_views(x, np.zeros(200), 1, 0, {'colour': 0.5}).x
  assert made.dtype == np.uint8
  assert made[:, 1:].max() == 255
  assert (made[:, 0, 0] < made[:, 1, 1]).all()


def test_colour_leaves_crop_and_flip_as_they_were():
  x, y = images(1100)
  plain = make_views(x, y, 2, 3, IMAGE).x
  faint = make_views(x, y, 2, 3, {'colour': 1e-9, **IMAGE}).x
  np.testing.assert_array_equal(faint, plain)


def find_mixes(made, x, candidates):
  """Brute force: for each mix (candidate, other, share) without residue."""
  found = []
  flat, ours = made.reshape(len(made), -1), candidates.reshape(
      len(candidates), -1)
  for row, mix in enumerate(flat):
    for own in (row, row + len(x))[:len(candidates) // len(x)]:
      line = ours - ours[own]
      size = (line ** 2).sum(-1)
      share = (line @ (mix - ours[own])) / np.where(size, size, 1)
      left = np.abs(ours[own] + share[:, None] * line - mix).max(-1)
      left[own] -= 1e-6  # Mixed with itself, any other has a share of 0.
      best = int(np.argmin(left))
      if left[best] < 1e-5 and -1e-6 <= share[best] <= 1 + 1e-6:
        found.append((own, best, 1 - share[best]))
        break
  return found


@pytest.mark.parametrize('folds', [None, np.arange(60) % 3])
def test_a_mix_is_of_two_examples_of_one_fold(folds):
  x, y = vectors(60)
  made = make_views(x, y, 1, 0, {'mixup': 4.0}, folds)
  found = find_mixes(made.x, x, x)
  assert [row for row, _, _ in found] == list(range(60))
  partners = [partner for _, partner, _ in found]
  assert len(set(partners)) == 60  # Everyone is a partner once.
  if folds is not None:
    np.testing.assert_array_equal(folds[partners], folds)
  else:
    assert len({p % 3 == i % 3 for i, p in enumerate(partners)}) == 2
  np.testing.assert_array_equal(made.y, -1)


def test_shares_of_a_mix_have_the_variance_of_beta():
  """Of Beta(a, a): 1 / (4 (2 a + 1)). Ones mixed with their own place."""
  x = np.stack([np.arange(4000) % 2, np.ones(4000)], 1).astype(np.float32)
  for alpha in (0.2, 2.0):
    made = make_views(x, np.zeros(4000), 1, 0, {'mixup': alpha}).x[:, 0]
    mixed = made[(made > 0) & (made < 1)]
    assert len(mixed) > 1500
    assert mixed.mean() == pytest.approx(0.5, abs=0.02)
    assert mixed.var() == pytest.approx(0.25 / (2 * alpha + 1), rel=0.1)


def test_both_of_a_mix_are_changed_each_by_its_own_draws():
  x = np.random.default_rng(0).uniform(size=(60, 6, 7, 3)).astype(np.float32)
  made = make_views(x, np.zeros(60), 1, 0, {'mixup': 4.0, 'flip': True}).x
  both = np.concatenate([x, x[:, :, ::-1]])
  found = find_mixes(made, x, both)
  assert len(found) == 60
  mirrored = {(own >= 60, other >= 60) for own, other, _ in found}
  assert len(mirrored) == 4
  plain = find_mixes(make_views(x, np.zeros(60), 1, 0, {'mixup': 4.0}).x, x, x)
  for (_, other, share), (row, partner, unflipped) in zip(
      found, plain, strict=True):
    assert other % 60 == partner
    assert partner == row or share == pytest.approx(unflipped, abs=1e-3)


def test_mixed_bytes_stay_bytes():
  x, y = images()
  exact = make_views(x.astype(np.float32), y, 1, 0, {'mixup': 0.5}).x
  made = make_views(x, y, 1, 0, {'mixup': 0.5}).x
  assert made.dtype == np.uint8
  np.testing.assert_allclose(made, exact, atol=0.501)


def test_noise_turns_bytes_into_unit_floats():
  x, y = images()
  made = make_views(x, y, 1, 0, {'noise': 1e-6}).x
  assert made.dtype == np.float32
  np.testing.assert_allclose(made, x / 255, atol=1e-5)


def test_no_option_is_the_input_itself():
  x, y = images()
  np.testing.assert_array_equal(make_views(x, y, 1, 0, {}).x, x)


@pytest.mark.parametrize(('data', 'options', 'message'), [
    (vectors, {'rotate': 1},
     "views: unknown option 'rotate'; known: shift, crop, padding, flip,"
     ' colour, mixup, scale, noise, jitter'),
    (vectors, {'crop': 1}, 'views: crop does not apply to inputs of shape'
     ' (12,)'),
    (vectors, {'flip': True}, 'views: flip does not apply to inputs of shape'
     ' (12,)'),
    (images, {'shift': 1}, 'views: shift does not apply to inputs of shape'
     ' (6, 7, 3)'),
    (vectors, {'shift': 12}, 'views: shift = 12 must be at least 0 and below'
     ' 12'),
    (vectors, {'noise': 'a'}, "views: noise = 'a' must be at least 0 and below"
     ' inf'),
    (images, {'crop': 2.0}, 'views: crop = 2.0 must be a whole number'),
    (vectors, {'shift': True}, 'views: shift = True must be a whole number'),
    (images, {'flip': 'no'}, "views: flip = 'no' must be True or False"),
    (vectors, {'jitter': -1}, 'views: jitter = -1 must be at least 0 and below'
     ' inf'),
    (images, {'crop': 6}, 'views: crop = 6 must be at least 0 and below 6'),
    (vectors, {'scale': 1.0}, 'views: scale = 1.0 must be at least 0 and below'
     ' 1'),
    (vectors, {'noise': -0.1}, 'views: noise = -0.1 must be at least 0 and'
     ' below inf'),
    (vectors, {'shift': 1, 'padding': 'edge'},
     "views: unknown padding 'edge'; known: circular, reflect, zero"),
])
def test_refuses(data, options, message):
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    make_views(*data(), 1, 0, options)


def test_refuses_no_copies():
  with pytest.raises(errors.UserError, match=r'^views: copies = 0 must'):
    make_views(*vectors(), 0, 0, {})


def test_options_are_listed_for_configurations():
  assert tuple(views.VIEW_OPTIONS) == (
      'shift', 'crop', 'padding', 'flip', 'colour', 'mixup', 'scale', 'noise',
      'jitter')
