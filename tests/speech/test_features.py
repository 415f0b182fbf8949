"""Features against Kaldi's definition in float64, its own code, brute force."""

import doctest
import sys
import tracemalloc

import numpy as np
import places
import pytest

from shallow_mimic import errors
from shallow_mimic.speech import features

knf = pytest.importorskip(
    'kaldi_native_fbank', reason='needs pip install "shallow-mimic[speech]"')

SAMPLE = places.SHARED / 'data/timit_sample'
EPSILON = 2.0**-23


def noise(length, seed=0, scale=1000.0):
  sound = np.random.default_rng(seed).normal(size=length) * scale
  return np.round(sound).astype(np.int16)


def tone(hertz, length=16_000, level=8000.0):
  return level * np.sin(2 * np.pi * hertz * np.arange(length) / 16_000)


# The reference: Kaldi's definition, one frame and one filter after another.


def _mel(hertz):
  return 1127 * np.log(1 + hertz / 700)


def _moved(hertz, warp):
  """Kaldi's VtlnWarpFreq with its default corners, 100 and 7,500 Hz."""
  low, high = 100 * max(1, warp), 7500 * min(1, warp)
  if hertz < low:
    return 20 + (low / warp - 20) / (low - 20) * (hertz - 20)
  if hertz < high:
    return hertz / warp
  return 8000 + (8000 - high / warp) / (8000 - high) * (hertz - 8000)


def _filters(warp):
  points = _mel(np.arange(257) * 16_000 / 512)
  corners = 700 * (np.exp(np.linspace(_mel(20), _mel(8000), 42) / 1127) - 1)
  corners = [_mel(_moved(hertz, warp)) for hertz in corners]
  bank = np.zeros((40, 257))
  for band in range(40):
    left, centre, right = corners[band:band + 3]
    for k in range(256):  # Kaldi leaves out the point at half the rate.
      rise = (points[k] - left) / (centre - left)
      fall = (right - points[k]) / (right - centre)
      bank[band, k] = max(0, min(rise, fall))
  return bank


def _static(samples, warp=1.0):
  rows, bank = [], _filters(warp)
  window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 399)
  for start in range(0, len(samples) - 399, 160):
    x = samples[start:start + 400].astype(np.float64)
    x = x - x.mean()
    energy = np.sum(x * x)
    x = (x - 0.97 * np.concatenate([x[:1], x[:-1]])) * window
    power = np.abs(np.fft.rfft(x, 512)) ** 2
    rows.append(np.append(bank @ power, energy))
  return np.log(np.maximum(rows, EPSILON))


def _slopes(x):
  padded = np.concatenate([x[:1], x[:1], x, x[-1:], x[-1:]])
  return np.array([
      np.polyfit(np.arange(-2, 3), padded[t:t + 5], 1)[0]
      for t in range(len(x))])


# Filter banks and energy ------------------------------------------------------


@pytest.mark.parametrize('warp', [1.0, 0.8, 0.9, 1.1, 1.25, 0.5, 2.0])
def test_static_features_are_kaldis_in_float64(warp):
  samples = noise(16_000)
  made = features.compute_features(samples, warp=warp)
  assert made.shape == (98, 123)
  assert made.dtype == np.float32
  np.testing.assert_allclose(
      made[:, :41], _static(samples, warp), atol=5e-4, rtol=0)


def test_static_features_are_those_of_kaldis_own_code():
  options = knf.FbankOptions()
  options.frame_opts.dither = 0
  options.frame_opts.window_type = 'hamming'
  options.mel_opts.num_bins = 40
  options.use_energy = options.htk_compat = True  # HTK: the energy comes last.
  samples = noise(50_000, seed=1)
  bank = knf.OnlineFbank(options)
  bank.accept_waveform(16_000, samples.astype(np.float32).tolist())
  theirs = [bank.get_frame(i) for i in range(bank.num_frames_ready)]
  ours = features.compute_features(samples)[:, :41]
  np.testing.assert_allclose(ours, theirs, atol=2e-4, rtol=0)


def test_slopes_of_features_follow_them():
  samples = noise(16_000, seed=2)
  made = features.compute_features(samples)
  slopes = _slopes(_static(samples))
  np.testing.assert_allclose(made[:, 41:82], slopes, atol=2e-4, rtol=0)
  np.testing.assert_allclose(made[:, 82:], _slopes(slopes), atol=2e-4, rtol=0)


@pytest.mark.parametrize('length', [
    0, 1, 399, 400, 559, 560, 16_000, 400 + 160 * 255, 400 + 160 * 256,
    400 + 160 * 600 + 159])
def test_frames_are_counted(length):
  starts = [start for start in range(0, length, 160) if start + 400 <= length]
  assert features.frame_count(length) == len(starts)
  made = features.compute_features(noise(length))
  assert made.shape == (len(starts), 123)
  assert made.dtype == np.float32


def test_a_frame_depends_on_its_own_samples_alone():
  # Far more frames than are worked on at once; the blocks must not show.
  samples = noise(160_000)
  made = features.compute_features(samples)[:, :41]
  for frame in (0, 255, 256, 511, 512, 997):
    alone = features.compute_features(samples[160 * frame:160 * frame + 400])
    np.testing.assert_allclose(made[frame], alone[0, :41], atol=1e-5, rtol=0)


def test_a_long_recording_takes_little_more_memory_than_its_features():
  samples = noise(16_000 * 100)
  features.compute_features(samples[:400])  # What is loaded once.
  tracemalloc.start()
  made = features.compute_features(samples)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert peak < 2.5 * made.nbytes


@pytest.mark.parametrize('dtype', [np.int16, np.int32, np.float32, np.float64])
def test_the_type_of_the_samples_does_not_matter(dtype):
  samples = noise(4000)
  before = samples.copy()
  np.testing.assert_array_equal(
      features.compute_features(samples.astype(dtype)),
      features.compute_features(samples))
  np.testing.assert_array_equal(samples, before)


@pytest.mark.parametrize('value', [0, 100, -32_768])
def test_silence_is_finite(value):
  made = features.compute_features(np.full(16_000, value, np.int16))
  np.testing.assert_allclose(made[:, :41], np.log(EPSILON), rtol=1e-6)
  np.testing.assert_array_equal(made[:, 41:], 0)


def test_full_scale_is_finite():
  loud = np.tile(np.array([32_767, -32_768], np.int16), 8000)
  assert np.isfinite(features.compute_features(loud)).all()


def test_energy_is_that_of_the_frame():
  made = features.compute_features(tone(1000, level=500))
  np.testing.assert_allclose(made[:, 40], np.log(500**2 / 2 * 400), atol=1e-3)


# Tones and warps --------------------------------------------------------------


def _nearest_band(hertz):
  centres = np.linspace(_mel(20), _mel(8000), 42)[1:-1]
  return np.argmin(np.abs(centres - _mel(hertz)))


def _peak_band(samples, warp=1.0):
  made = features.compute_features(samples, warp=warp)[:, :40]
  bands = made.argmax(axis=1)
  assert (bands == bands[0]).all()
  return bands[0]


@pytest.mark.parametrize('hertz', [600, 1000, 2000, 3500, 5000, 7000])
def test_a_tone_peaks_in_its_band(hertz):
  assert _peak_band(tone(hertz)) == _nearest_band(hertz)


@pytest.mark.parametrize('hertz', [700, 1000, 2200, 4000])
@pytest.mark.parametrize('warp', [0.8, 0.9, 1.1, 1.25])
def test_a_warp_moves_a_tone_as_another_pitch_would(hertz, warp):
  band = _peak_band(tone(hertz), warp)
  assert band == _nearest_band(hertz * warp) != _nearest_band(hertz)


def test_a_warp_of_one_changes_nothing_and_time_stays():
  samples = noise(4000)
  plain = features.compute_features(samples)
  np.testing.assert_array_equal(
      features.compute_features(samples, warp=1.0), plain)
  warped = features.compute_features(samples, warp=1.1)
  assert warped.shape == plain.shape
  np.testing.assert_array_equal(warped[:, 40], plain[:, 40])
  assert (warped[:, :40] != plain[:, :40]).any(axis=0).all()


# Slopes and contexts ----------------------------------------------------------


@pytest.mark.parametrize('frames', [1, 2, 3, 4, 5, 30])
def test_deltas_are_least_squares_slopes(frames):
  static = np.random.default_rng(frames).normal(size=(frames, 4))
  made = features.add_deltas(static)
  slopes = _slopes(static)
  np.testing.assert_allclose(
      made, np.hstack([static, slopes, _slopes(slopes)]), atol=1e-12)


def test_deltas_are_kaldis_away_from_the_edges():
  static = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
  options = knf.DeltaOptions(order=2, window=2) if hasattr(
      knf, 'DeltaOptions') else pytest.skip('needs kaldi-native-fbank 1.23')
  theirs = knf.compute_deltas(options, static)
  ours = features.add_deltas(static)
  np.testing.assert_allclose(ours[2:-2], theirs[2:-2], atol=1e-6)
  np.testing.assert_allclose(ours[:, :8], theirs[:, :8], atol=1e-6)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_deltas_keep_the_type_and_take_no_frames(dtype):
  for frames in (0, 3):
    made = features.add_deltas(np.ones((frames, 5), dtype))
    assert made.shape == (frames, 15)
    assert made.dtype == dtype


# Errors -----------------------------------------------------------------------


def test_samples_have_one_channel():
  with pytest.raises(ValueError, match=(
      r'^samples must be \[L\], one channel, got \(1600, 2\)$')):
    features.compute_features(np.zeros((1600, 2)))


@pytest.mark.parametrize('warp', [0.0, -1.0, 0.49, 2.01, np.nan, np.inf])
def test_a_warp_out_of_range_is_refused(warp):
  with pytest.raises(ValueError, match=(
      rf'^warp must be from 0.5 to 2.0, got {warp}$')):
    features.compute_features(np.zeros(400), warp=warp)


def test_a_missing_package_is_told(monkeypatch):
  monkeypatch.setitem(sys.modules, 'kaldi_native_fbank', None)
  features.mel_bank.cache_clear()
  with pytest.raises(errors.UserError) as caught:
    features.compute_features(np.zeros(400))
  assert str(caught.value) == (
      'speech features need the package `kaldi-native-fbank`, which is not'
      ' installed; run: pip install "shallow-mimic[speech]"')


def test_weights_that_are_shared_cannot_be_written():
  with pytest.raises(ValueError, match='read-only'):
    features.mel_bank(1.0)[0, 0] = 1


def test_examples_in_docstrings():
  assert doctest.testmod(features).failed == 0


# Real speech ------------------------------------------------------------------


def test_real_speech_gives_kaldis_features():
  soundfile = pytest.importorskip('soundfile')
  if not SAMPLE.is_dir():
    pytest.skip(f'the TIMIT sample is not at {SAMPLE}')
  for name in ('dr1-fvmh0/sx116.wav', 'dr8-mbcg0/sa1.wav'):
    samples, rate = soundfile.read(SAMPLE / name, dtype='int16')
    assert rate == features.RATE
    made = features.compute_features(samples)
    np.testing.assert_allclose(
        made[:, :41], _static(samples), atol=2e-3, rtol=0)
    assert np.abs(made[:, :41] - _static(samples)).mean() < 1e-5
