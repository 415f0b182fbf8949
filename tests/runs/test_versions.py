"""Tests of what is recorded of a machine, and of what is told of another."""

import importlib.metadata
import os

import jax
import pytest

import shallow_mimic
from shallow_mimic.runs import versions

TODAY = {'shallow_mimic': '1.0', 'jax': '0.10', 'x64': False, 'cores': 2,
         'devices': '1 × cpu cpu'}


@pytest.fixture(name='today')
def fixture_today(monkeypatch):
  """What is in use is TODAY."""
  monkeypatch.setattr(versions, 'find_versions', lambda: TODAY)


def test_versions_are_those_in_use():
  found = versions.find_versions()
  assert found['shallow_mimic'] == shallow_mimic.__version__
  for name in ('jax', 'jaxlib', 'flax', 'optax', 'numpy'):
    assert found[name] == importlib.metadata.version(name)
  assert found['x64'] is False
  assert found['devices'] == f'4 × cpu {jax.devices()[0].device_kind}'
  with jax.enable_x64(True):
    assert versions.find_versions()['x64'] is True


def test_cores_are_those_that_the_process_may_use(monkeypatch):
  monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {0, 3, 5},
                      raising=False)
  assert versions.find_versions()['cores'] == 3
  monkeypatch.delattr(os, 'sched_getaffinity')
  monkeypatch.setattr(os, 'cpu_count', lambda: 7)
  assert versions.find_versions()['cores'] == 7


def test_a_package_that_is_not_there_is_left_out(monkeypatch):
  real = importlib.metadata.version

  def version(name):
    if name == 'flax':
      raise importlib.metadata.PackageNotFoundError(name)
    return real(name)

  monkeypatch.setattr(importlib.metadata, 'version', version)
  monkeypatch.setattr(versions, '_find_version',
                      versions._find_version.__wrapped__)  # Not from its cache.
  assert 'flax' not in versions.find_versions()
  assert 'optax' in versions.find_versions()


@pytest.mark.usefixtures('today')
@pytest.mark.parametrize('made_with', [
    [], [TODAY], [TODAY, dict(reversed(TODAY.items()))]])
def test_equal_versions_are_not_told(made_with):
  assert versions.say_differences(made_with) == ''


@pytest.mark.usefixtures('today')
@pytest.mark.parametrize(('changes', 'said'), [
    ([{'cores': 8}], 'cores 8 (now 2)'),
    ([{'cores': 8}, {}, {'cores': 4}, {'cores': 8}],
     'cores 8 and 4 (now 2)'),
    ([{'jax': '0.11', 'x64': True}], 'jax 0.11 (now 0.10), x64 True (now'
     ' False)'),
    ([{'flax': '1'}], 'flax 1 (now None)'),
    ([{'jax': None}], 'jax None (now 0.10)')], ids=str)
def test_what_differs_is_told_once_in_one_sentence(changes, said):
  assert versions.say_differences([TODAY | one for one in changes]) == (
      "Made partly with other versions than today's, so that the last bits may"
      f' differ: {said}.')
