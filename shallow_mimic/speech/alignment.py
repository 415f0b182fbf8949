"""Frame labels from hand-timed phone segments: three states to each phone.

State 3 · phone + position, position 0, 1 or 2: its first, middle, last third.
"""

from __future__ import annotations

import numpy as np

from shallow_mimic.speech.features import SHIFT, WINDOW
from shallow_mimic.speech.phones import STATES_PER_PHONE


def frame_states(
    phones: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    frames: int,
    *,
    time_scale: float = 1.0,
) -> np.ndarray:
  """The state at the centre of every frame's window.

  The centre of frame i is at 160 i + 200 samples. A segment covers start to
  stop, the stop excluded, and each third of it one state; one that is shorter
  than three frames skips states, or is skipped whole. Before the first
  segment holds its first state; after the last, and in a gap between two, the
  last state of the segment before.

  Args:
    phones: [n] integers.
    starts: [n] first sample of each, in the sound without a view, ascending.
    stops: [n] the sample after the last of each.
    frames: how many labels to make.
    time_scale: how many times longer the view's sound is.

  Returns:
    [frames] int32.

  Raises:
    ValueError: no segments, arrays of different shapes, times that do not
      ascend, or a time scale that is not positive.

  >>> frame_states([5], [0], [720], 3)  # centres 200, 360, 520; thirds of 240
  array([15, 16, 17], dtype=int32)
  """
  phones = np.asarray(phones)
  if phones.ndim != 1 or not phones.size:
    raise ValueError(f'phones must be [n], n > 0, got {phones.shape}')
  starts, stops = segment_times(starts, stops, time_scale)
  if not phones.shape == starts.shape == stops.shape:
    raise ValueError(
        'phones, starts and stops must have one shape, got'
        f' {phones.shape}, {starts.shape} and {stops.shape}')
  if (np.diff(starts) < 0).any() or (stops < starts).any():
    raise ValueError('segments must ascend in time and stop after they start')
  centres = SHIFT * np.arange(frames) + WINDOW / 2
  index = np.maximum(np.searchsorted(starts, centres, side='right') - 1, 0)
  passed = STATES_PER_PHONE * (centres - starts[index])
  # The last segment alone may have no length: nothing divides by 0.
  length = np.maximum(stops - starts, 1e-6)[index]
  positions = np.clip(passed // length, 0, STATES_PER_PHONE - 1)
  return (STATES_PER_PHONE * phones[index] + positions).astype(np.int32)


def segment_times(
    starts: np.ndarray, stops: np.ndarray, time_scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
  """Starts and stops in a view whose sound is `time_scale` times as long.

  Returns:
    Both in samples, float64 and not rounded.

  Raises:
    ValueError: a time scale that is not positive.

  >>> segment_times([0, 90], [90, 180], 1 / 0.9)[1]  # at 0.9 of the speed
  array([100., 200.])
  """
  if not 0 < time_scale < np.inf:
    raise ValueError(f'time_scale must be positive, got {time_scale}')
  return (np.asarray(starts, np.float64) * time_scale,
          np.asarray(stops, np.float64) * time_scale)
