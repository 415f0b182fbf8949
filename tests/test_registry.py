"""Open lists: who may add what, and under which name."""

import dataclasses
import re
from importlib import metadata
from typing import ClassVar

import pytest

import shallow_mimic
from shallow_mimic import errors, registry


@dataclasses.dataclass(frozen=True)
class Thing:
  """An entry of the tests' own list."""

  name: str
  version: str = ''
  registry: ClassVar = registry.Registry('thing')


@pytest.fixture(autouse=True)
def fixture_fresh(monkeypatch):
  monkeypatch.setattr(
      Thing, 'registry', registry.Registry('thing', (Thing('ours'),)))


def refused(message):
  return pytest.raises(errors.UserError, match=f'^{re.escape(message)}')


def test_what_is_added_stands_behind_ours():
  shallow_mimic.register(Thing('mine', '1'), Thing('b', '2'))
  assert list(Thing.registry) == ['ours', 'mine', 'b']
  assert Thing.registry.find('mine') == Thing('mine', '1')
  assert [Thing.registry.version(name) for name in Thing.registry] == [
      '', '1', '2']


def test_own_entries_may_be_replaced_as_a_notebook_does():
  shallow_mimic.register(Thing('mine', '1'))
  shallow_mimic.register(Thing('mine', '2'))
  assert Thing.registry['mine'].version == '2' and len(Thing.registry) == 2


def test_ours_cannot_be_replaced_or_removed():
  with refused("cannot register the thing 'ours': that name is taken"):
    shallow_mimic.register(Thing('ours', '1'))
  Thing.registry.remove('ours')
  assert list(Thing.registry) == ['ours']


@pytest.mark.parametrize('name', ['', 'a b', '../x', 'a/b', 3, None, 'a\0'])
def test_a_name_is_a_name(name):
  with refused(f'cannot register the thing {name!r}: use letters, digits'):
    shallow_mimic.register(Thing(name, '1'))


@pytest.mark.parametrize('version', ['', None, 1])
def test_a_version_is_stated(version):
  with refused("cannot register the thing 'mine': it states no version"):
    shallow_mimic.register(Thing('mine', version))


@pytest.mark.parametrize('entry', [print, 'loss', None, Thing])
def test_only_entries_are_registered(entry):
  if entry is Thing:
    entry = object()
  with refused('cannot register '):
    shallow_mimic.register(entry)


def test_an_unknown_name_lists_the_known():
  with refused("unknown thing 'x'; known: ours"):
    Thing.registry.find('x')


def point(value):
  return metadata.EntryPoint('mine', value, registry.GROUP)


def load_points(monkeypatch, *points):
  monkeypatch.setattr(metadata, 'entry_points', lambda group: points)
  registry.load_plugins.__wrapped__()


def test_an_entry_point_that_fails_is_one_line(monkeypatch):
  with refused("the entry point 'mine' of shallow_mimic (nothing_here:f)"
               ' fails: ModuleNotFoundError'):
    load_points(monkeypatch, point('nothing_here:f'))
  load_points(monkeypatch, point('builtins:dict'))
