"""Four CPU devices for every test, and no silent broadcasting."""

import os

os.environ['XLA_FLAGS'] = ' '.join((
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=4',
    # Nets here are tiny: compiling them fast beats running them fast.
    '--xla_backend_optimization_level=0',
    '--xla_llvm_disable_expensive_passes=true',
))
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jax
import pytest
import tiny_experiment
from absl import logging

from shallow_mimic import curves, data, models, training

jax.config.update('jax_numpy_rank_promotion', 'raise')


@pytest.fixture(autouse=True)
def fixture_what_is_registered_leaves():
  """No test finds what another one has registered."""
  yield
  for entry in (curves.Section, data.Source, models.Layer, training.LossSpec):
    for name in [*entry.registry]:
      entry.registry.remove(name)


@pytest.fixture(scope='session')
def finished(tmp_path_factory):
  """A tiny experiment run to its end: its `.npz` and its work directory.

  Shared by all tests: copy what you change.
  """
  folder = tmp_path_factory.mktemp('finished')
  npz, workdir = folder / 'tiny.npz', folder / 'run'
  tiny_experiment.write_npz(npz)
  done = tiny_experiment.start(npz, workdir)
  assert done.returncode == 0, done.stderr
  return npz, workdir


@pytest.fixture(name='warnings')
def fixture_warnings(monkeypatch):
  """What absl's `logging.warning` was told, in order."""
  told = []
  monkeypatch.setattr(
      logging, 'warning', lambda text, *args: told.append(text % args))
  return told
