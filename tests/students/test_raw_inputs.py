"""Preprocessing inside a program equals NumPy's over whole data sets."""

import jax
import numpy as np
import pytest

from shallow_mimic.data import pools
from shallow_mimic.data.preprocessing import (
  apply_preprocessing,
  fit_preprocessing,
)
from shallow_mimic.students import raw_inputs

STEPS = [
    (), ('standardise',), ('gcn',), ('zca',), ('gcn', 'zca'),
    ('standardise', ('gcn', {'scale': 3.0, 'bias': 0.1}),
     ('zca', {'eps': 0.01})),
    # Two steps of one kind: each must get its own arrays.
    ('standardise', 'zca', 'standardise'),
]


def make_x(shape, dtype):
  rng = np.random.default_rng(0)
  if dtype == 'uint8':
    return rng.integers(0, 256, shape, np.uint8)
  return (3 + 2 * rng.normal(size=shape)).astype(np.float32)


def prepare(fitted, x, **options):
  run = jax.jit(lambda arrays, x: raw_inputs.prepare_inputs(
      fitted, arrays, x, **options))
  return run(raw_inputs.fitted_arrays(fitted), x)


@pytest.mark.parametrize('steps', STEPS, ids=str)
@pytest.mark.parametrize('shape, dtype', [
    ((40, 6), 'float32'), ((40, 5, 4, 3), 'uint8')], ids=str)
def test_equal_to_numpy(steps, shape, dtype):
  x = make_x(shape, dtype)
  fitted = fit_preprocessing(steps, x[:30])
  expected = apply_preprocessing(fitted, x)
  ours = prepare(fitted, x)
  assert ours.dtype == np.float32
  np.testing.assert_allclose(ours, expected, rtol=0,
                             atol=3e-6 * np.abs(expected).max())


def test_a_constant_input_divides_by_one_as_in_numpy():
  x = np.full((4, 6), 7, np.float32)
  fitted = fit_preprocessing((('gcn', {'bias': 0.0}),), x)
  assert (np.asarray(prepare(fitted, x)) == 0).all()
  assert (apply_preprocessing(fitted, x) == 0).all()


@pytest.mark.parametrize('steps', [('standardise',), ('gcn', 'zca')], ids=str)
def test_frames_are_preprocessed_before_their_neighbours_join(steps):
  maps, bands, reach = 3, 4, 2
  frames = make_x((40, maps * bands), 'float32')
  stops = np.array([25, 40])
  fitted = fit_preprocessing(steps, frames)

  def gather(x):
    pool = pools.make_pool(x.reshape(-1, maps, bands), stops, reach)
    return pools.take(pool, np.arange(40))

  expected = gather(apply_preprocessing(fitted, frames))
  ours = prepare(fitted, gather(frames), frames=2 * reach + 1)
  np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
