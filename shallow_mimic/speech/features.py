"""Speech features: log mel filter banks, energy, and their slopes.

A frame is 25 ms of 16 kHz sound (400 samples), and one starts every 10 ms (160
samples); only whole frames count (Kaldi's `snip_edges`). Each is treated as
Kaldi treats it, without dither: minus its mean; log energy; pre-emphasis
x[t] − 0.97 x[t − 1], the sample before the first taken as equal to it; Hamming
window; power spectrum of 512 points; 40 triangles evenly spaced in mel,
1127 ln(1 + f / 700), from 20 to 8,000 Hz; natural logarithm. Values below
float32's epsilon, 1.2e-7, count as that much, so that silence is finite.

Static features are ordered as bands 0 to 39, low to high, then energy.
"""

from __future__ import annotations

import functools

import numpy as np

from shallow_mimic import errors

RATE = 16_000  # Hz
WINDOW, SHIFT = 400, 160  # samples
BANDS = 40
STATIC = BANDS + 1
MIN_WARP, MAX_WARP = 0.5, 2.0

_FFT = 512
_PREEMPHASIS = 0.97
_LOW_HZ, _HIGH_HZ = 20.0, 8000.0
_FLOOR = np.finfo(np.float32).eps
_SLOPE_REACH = 2
# Frames at once: the work arrays stay in the processor's cache, and a long
# recording takes no more memory than its samples and features.
_BLOCK = 256


def frame_count(samples: int) -> int:
  """Number of whole frames in so many samples: 1 + (L − 400) // 160, or 0.

  >>> frame_count(399), frame_count(400), frame_count(16_000)
  (0, 1, 98)
  """
  return 0 if samples < WINDOW else 1 + (samples - WINDOW) // SHIFT


def compute_features(samples: np.ndarray, *, warp: float = 1.0) -> np.ndarray:
  """41 static features per frame, their 41 slopes, and the slopes of these.

  Args:
    samples: [L] sound at 16 kHz on the scale of 16-bit integers (±32,768),
      as integers or floats; fewer than 400 samples give no frame.
    warp: vocal-tract factor α from 0.5 to 2: the spectrum appears stretched
      by α, so that a tone of f Hz looks like one of α f. As Kaldi does, the
      filters' corners move from f to f / α between 100 max(1, α) and
      7,500 min(1, α) Hz, and by straight lines to the fixed ends 20 and
      8,000 Hz outside. Time stays.

  Returns:
    [frames, 123] float32.

  Raises:
    ValueError: samples that are not [L], or a warp out of range.
    UserError: kaldi-native-fbank, which lays out the filters, is missing.
  """
  samples = np.asarray(samples)
  if samples.ndim != 1:
    raise ValueError(
        f'samples must be [L], one channel, got {samples.shape}')
  if not MIN_WARP <= warp <= MAX_WARP:
    raise ValueError(
        f'warp must be from {MIN_WARP} to {MAX_WARP}, got {warp}')
  bank = mel_bank(float(warp))
  static = np.empty((frame_count(len(samples)), STATIC), np.float32)
  if len(static):
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)
    frames = frames[::SHIFT]
    for start in range(0, len(static), _BLOCK):
      rows = slice(start, start + _BLOCK)
      static[rows] = _static_features(frames[rows], bank)
  return add_deltas(static)


def add_deltas(static: np.ndarray) -> np.ndarray:
  """The features, their slopes over ±2 frames, and the slopes of the slopes.

  Slope d[t] = Σ_j j (x[t + j] − x[t − j]) / 10 for j = 1, 2, with the first
  and last row repeated; of slopes likewise, as in HTK. (Kaldi repeats only
  the features: its last two and first two second slopes differ.)

  Args: static: [n, F] floats.
  Returns: [n, 3 F] of the same type.
  Reference: The HTK Book, section 5.9.

  >>> add_deltas(np.arange(9.)[:, None] ** 2)[4]  # t², 2 t, 2 at t = 4
  array([16.,  8.,  2.])
  """
  slopes = _slopes(static)
  return np.concatenate([static, slopes, _slopes(slopes)], axis=1)


@functools.lru_cache(maxsize=32)
def mel_bank(warp: float = 1.0) -> np.ndarray:
  """Weights [257, 40] of the power spectrum's points in the bands; read-only.

  Args: warp: see `compute_features`.
  Raises: UserError where kaldi-native-fbank is missing.
  """
  try:
    import kaldi_native_fbank  # noqa: PLC0415 - an extra that few need
  except ImportError as error:
    raise errors.UserError(
        'speech features need the package `kaldi-native-fbank`, which is not'
        ' installed; run: pip install "shallow-mimic[speech]"') from error
  frame = kaldi_native_fbank.FrameExtractionOptions()
  frame.samp_freq = RATE
  frame.frame_length_ms = 1000 * WINDOW / RATE
  mel = kaldi_native_fbank.MelBanksOptions()
  mel.num_bins, mel.low_freq, mel.high_freq = BANDS, _LOW_HZ, _HIGH_HZ
  weights = kaldi_native_fbank.MelBanks(mel, frame, warp).get_matrix()
  bank = np.array(weights.T, np.float32, order='C')
  bank.flags.writeable = False
  return bank


def _static_features(frames: np.ndarray, bank: np.ndarray) -> np.ndarray:
  """[n, 41] of frames [n, 400]."""
  x = frames.astype(np.float32)
  x -= x.mean(axis=1, keepdims=True)
  energy = np.einsum('nl,nl->n', x, x)
  x[:, 1:] -= _PREEMPHASIS * x[:, :-1]
  x[:, 0] *= 1 - _PREEMPHASIS
  x *= np.hamming(WINDOW).astype(np.float32)
  spectrum = np.fft.rfft(x, _FFT)
  power = np.square(spectrum.real) + np.square(spectrum.imag)
  static = np.concatenate([power @ bank, energy[:, None]], axis=1)
  return np.log(np.maximum(static, _FLOOR))


def _slopes(x: np.ndarray) -> np.ndarray:
  rows = np.arange(len(x))
  steps = range(1, _SLOPE_REACH + 1)
  total = np.zeros_like(x)
  for step in steps:
    after = np.minimum(rows + step, len(x) - 1)
    before = np.maximum(rows - step, 0)
    total += step * (x[after] - x[before])
  return total / (2 * sum(step * step for step in steps))
