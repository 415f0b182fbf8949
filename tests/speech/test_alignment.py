"""Frame states on hand-made segments, and against sample-by-sample labels."""

import doctest

import numpy as np
import places
import pytest

from shallow_mimic.speech import alignment
from shallow_mimic.speech.alignment import frame_states, segment_times

SAMPLE = places.SHARED / 'data/timit_sample'


def _brute_force(phones, starts, stops, frames):
  """Every sample gets a state of exact thirds; a frame asks at its centre."""
  states = np.full(max(stops[-1], 160 * frames + 400), -1)
  for phone, start, stop in zip(phones, starts, stops, strict=True):
    for sample in range(start, stop):
      states[sample] = 3 * phone + (3 * (sample - start)) // (stop - start)
  return states[200 + 160 * np.arange(frames)]


# Centres of the first frames: 200, 360, 520, 680, 840, 1000, 1160, 1320, 1480.


def test_thirds_by_hand():
  # [120, 600): thirds end at 280, 440, 600. [600, 1560): at 920, 1240, 1560.
  states = frame_states([7, 2], [120, 600], [600, 1560], 9)
  np.testing.assert_array_equal(states, [21, 22, 23, 6, 6, 7, 7, 8, 8])
  assert states.dtype == np.int32


def test_a_third_begins_with_its_first_sample():
  # Centre 360 is the first sample of the second third, 520 of the next phone.
  np.testing.assert_array_equal(
      frame_states([1, 0], [280, 520], [520, 2000], 3), [3, 4, 0])
  np.testing.assert_array_equal(
      frame_states([1, 0], [281, 521], [521, 2000], 3), [3, 3, 5])


def test_edges_hold_the_nearest_state():
  # Frames at 200, 360 are before the segment, 840 and 1000 after it.
  np.testing.assert_array_equal(
      frame_states([4], [400], [760], 6), [12, 12, 13, 14, 14, 14])


def test_a_gap_holds_the_state_before():
  np.testing.assert_array_equal(
      frame_states([4, 5], [0, 900], [300, 1500], 6),
      [14, 14, 14, 14, 14, 15])


def test_short_segments_skip_states_or_are_skipped():
  # The second is met by one frame, 520, in its middle; the third by none.
  np.testing.assert_array_equal(
      frame_states([0, 1, 2, 3], [0, 470, 570, 670], [470, 570, 670, 1630], 5),
      [1, 2, 4, 9, 9])


def test_segments_without_length_are_passed():
  np.testing.assert_array_equal(
      frame_states([1, 2, 3], [0, 300, 300], [300, 300, 900], 4),
      [5, 9, 10, 10])
  np.testing.assert_array_equal(
      frame_states([1, 2], [0, 300], [300, 300], 3), [5, 8, 8])


def test_no_frames_no_states():
  assert frame_states([1], [0], [300], 0).shape == (0,)


@pytest.mark.parametrize('seed', range(5))
def test_random_segments_match_brute_force(seed):
  rng = np.random.default_rng(seed)
  ends = np.cumsum(rng.integers(1, 3000, 40))
  starts = np.concatenate([[0], ends[:-1]])
  phones = rng.integers(61, size=40)
  frames = 1 + (ends[-1] - 400) // 160
  states = frame_states(phones, starts, ends, frames)
  np.testing.assert_array_equal(
      states, _brute_force(phones, starts, ends, frames))
  assert states.min() >= 0
  assert states.max() < 183


def test_thirds_of_a_long_segment_have_equal_counts():
  states = frame_states([60], [120], [120 + 160 * 300], 300)
  np.testing.assert_array_equal(
      np.unique(states, return_counts=True), [[180, 181, 182], [100] * 3])


def test_a_view_is_labelled_as_the_scaled_segments_are():
  phones, starts, stops = [7, 2], np.array([0, 600]), np.array([600, 1560])
  np.testing.assert_array_equal(
      frame_states(phones, starts, stops, 18, time_scale=2.0),
      frame_states(phones, 2 * starts, 2 * stops, 18))
  half = frame_states(phones, starts, stops, 4, time_scale=0.5)
  # [0, 300): thirds of 100. [300, 780): of 160.
  np.testing.assert_array_equal(half, [23, 6, 7, 8])


def test_segment_times_scale_and_are_not_rounded():
  starts, stops = segment_times([0, 91], [91, 180], 1.5)
  np.testing.assert_array_equal(starts, [0, 136.5])
  np.testing.assert_array_equal(stops, [136.5, 270])
  assert starts.dtype == stops.dtype == np.float64
  given = np.array([5, 9])
  np.testing.assert_array_equal(segment_times(given, given)[0], given)


@pytest.mark.parametrize(('phones', 'starts', 'stops', 'message'), [
    ([], [], [], 'phones must be [n], n > 0, got (0,)'),
    ([[1]], [[0]], [[9]], 'phones must be [n], n > 0, got (1, 1)'),
    ([1, 2], [0], [9, 10], 'phones, starts and stops must have one shape, got'
     ' (2,), (1,) and (2,)'),
    ([1, 2], [0, 9], [9], 'phones, starts and stops must have one shape, got'
     ' (2,), (2,) and (1,)'),
    ([1, 2], [9, 0], [20, 9],
     'segments must ascend in time and stop after they start'),
    ([1], [9], [8], 'segments must ascend in time and stop after they start'),
])
def test_bad_segments_are_refused(phones, starts, stops, message):
  with pytest.raises(ValueError) as caught:
    frame_states(phones, starts, stops, 3)
  assert str(caught.value) == message


@pytest.mark.parametrize('scale', [0, -1.0, np.inf, np.nan])
def test_a_bad_time_scale_is_refused(scale):
  with pytest.raises(ValueError) as caught:
    segment_times([0], [9], scale)
  assert str(caught.value) == f'time_scale must be positive, got {scale}'


def test_examples_in_docstrings():
  assert doctest.testmod(alignment).failed == 0


def test_real_segments_match_brute_force():
  if not SAMPLE.is_dir():
    pytest.skip(f'the TIMIT sample is not at {SAMPLE}')
  paths = sorted(SAMPLE.glob('dr1-fvmh0/s[ix]*.phn'))
  assert len(paths) == 8
  for path in paths:
    lines = [line.split() for line in path.read_text(
        encoding='utf-8').splitlines()]
    starts, stops = np.array([line[:2] for line in lines], np.int64).T
    names = sorted({line[2] for line in lines})
    phones = np.array([names.index(line[2]) for line in lines])
    frames = 1 + (stops[-1] - 400) // 160
    states = frame_states(phones, starts, stops, frames)
    expected = _brute_force(phones, starts, stops, frames)
    told = expected >= 0
    assert told.mean() > 0.99
    np.testing.assert_array_equal(states[told], expected[told])
