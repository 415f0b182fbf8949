"""The shape of the code: what imports what, who names pmap, how long it is.

Every rule is a function from sources to offences: empty for this repository,
and not empty for a small made-up one that breaks the rule.
"""

import ast
import os
import re
import subprocess
import sys

import house
import pytest
from places import ROOT

MAX_FILE, MAX_FUNCTION = 400, 60

# Imports point downwards only. Rooms of one level do not know each other;
# within a room modules may import each other, but in no circle. A room that is
# not here is an offence. '' is the package's own face, which knows the version.
LEVELS = (
    {'errors', 'losses'},
    {'registry', 'packages'},
    {''},
    {'models', 'runs', 'configs'},
    {'speech'},
    {'data'},
    {'training', 'logits'},
    {'evaluation'},
    {'teachers', 'ensembles', 'students', 'curves'},
    {'pipeline'},
    {'launch'},
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# What the exported net's own loader may import.
LOAD, LOADER = 'shallow_mimic.students.load', {'jax', 'numpy', 'safetensors'}
# What each public door loads beside the standard library and what JAX brings.
LIGHT = {
    'shallow_mimic': set(),
    'shallow_mimic.losses': {'jax', 'numpy', 'optax', 'absl'},
    'shallow_mimic.ensembles': {'absl', 'jax', 'numpy'},
    'shallow_mimic.configs': {'absl', 'ml_collections', 'numpy', 'yaml'},
    'launch.app': {'absl'},
    'launch.run': {'absl'},
}


# Rules ----------------------------------------------------------------------


def _upward_imports(sources):
  offences = [f'{module} is in no room with a level' for module in sources
              if house.find_room(module) not in LEVEL]
  graph = {} if offences else house.find_graph(sources)
  for module, targets in graph.items():
    room = house.find_room(module)
    for target in sorted(targets):
      other = house.find_room(target)
      if other != room and LEVEL[other] >= LEVEL[room]:
        offences.append(f'{module} imports {target}')
  return offences


def _circles(sources):
  graph, done, offences = house.find_graph(sources), set(), []

  def visit(module, path):
    if module in path:
      circle = path[path.index(module):]
      offences.append(' -> '.join([*circle, module]))
    elif module not in done:
      for target in sorted(graph[module]):
        visit(target, [*path, module])
      done.add(module)

  for module in sources:
    visit(module, [])
  return offences


def _foreign_imports(sources, package='shallow_mimic.losses',
                     allowed=frozenset({'jax', 'optax'})):
  """What a package imports beside JAX, Optax and the standard library."""
  allowed = {*allowed, *sys.stdlib_module_names}

  def inside(name):
    return f'{name}.'.startswith(f'{package}.')

  names = {name for module in sources if inside(module)
           for name in house.imported_names(module, sources)}
  return sorted(name for name in names if name.split('.')[0] not in allowed
                and not inside(name))


def _pmap_mentions(sources):
  offences = []
  for module, text in sources.items():
    for node in ast.walk(ast.parse(text)):
      named = {getattr(node, field, None)
               for field in ('id', 'attr', 'name', 'asname', 'value')
               if isinstance(getattr(node, field, None), str)}
      if 'pmap' in named and module != 'shallow_mimic.training.parallel':
        offences.append(f'{module}:{node.lineno} names pmap')
  return offences


def _locale_texts(sources):
  """Text files that are opened as the locale says."""
  offences = []
  for module, text in sources.items():
    for node in ast.walk(ast.parse(text)):
      if not isinstance(node, ast.Call) or any(
          word.arg == 'encoding' for word in node.keywords) or any(
          getattr(part, 'value', '') == 'utf-8' for part in node.args):
        continue
      called = ast.unparse(node.func)
      owner, _, name = called.rpartition('.')
      binary = any(
          re.fullmatch(r'[rwxa+]*b\+?', str(getattr(part, 'value', '')))
          for part in ast.walk(node))
      # Our own `files.write_text` takes no encoding.
      if ((owner and called != 'files.write_text'
          and name in ('read_text', 'write_text'))
          or (name == 'open' and called != 'os.open' and not binary)):
        offences.append(f'{module}:{node.lineno} {called}')
  return offences


def _long_parts(sources):
  offences = []
  for module, text in sources.items():
    lines = len(text.splitlines())
    if lines > MAX_FILE:
      offences.append(f'{module} has {lines} lines')
    for node in ast.walk(ast.parse(text)):
      if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        lines = node.end_lineno - start + 1
        if lines > MAX_FUNCTION:
          offences.append(f'{module}.{node.name} has {lines} lines')
  return offences


# The repository -------------------------------------------------------------


@pytest.mark.parametrize('rule', [
    _upward_imports, _circles, _foreign_imports, _locale_texts, _pmap_mentions,
    _long_parts])
def test_repository_keeps(rule):
  sources = house.read_sources()
  assert 'shallow_mimic.losses' in sources
  assert rule(sources) == []


def test_tests_read_and_write_utf_8():
  sources = house.read_sources(tops=['tests'])
  assert 'tests.test_imports' in sources
  assert _locale_texts(sources) == []


def test_loader_of_exported_nets_needs_no_more_than_it_says():
  sources = house.read_sources()
  assert _foreign_imports(sources, LOAD, LOADER) == []
  program = _program(students__load='import jax.export\nimport flax')
  assert _foreign_imports(program, LOAD, LOADER) == ['flax']


def _loaded(statement):
  """Installed packages, by the names they go by, that a statement loads."""
  code = (f'{statement}\nimport sys\nfrom importlib import metadata\n'
          'named = metadata.packages_distributions()\n'
          'print(*{name.partition(".")[0] for name in set(sys.modules)}'
          ' & set(named) - {"shallow_mimic", "launch", "_distutils_hack"})')
  done = subprocess.run(
      [sys.executable, '-c', code], cwd=ROOT, check=True, text=True,
      encoding='utf-8', stdout=subprocess.PIPE,
      env={**os.environ, 'PYTHONPATH': str(ROOT)})
  return set(done.stdout.split())


def test_what_is_light_loads_no_more_than_it_says():
  brought = _loaded('import jax, numpy')  # Depends on the version of JAX.
  for module, allowed in LIGHT.items():
    found = _loaded(f'import {module}')
    extra = found - allowed - (brought if 'jax' in allowed else set())
    assert not extra, f'{module} loads {extra}'
  assert 'flax' in _loaded('import shallow_mimic.models')


# The rules themselves -------------------------------------------------------


def _program(**modules):
  """Sources of a small program: `data__arrays` is shallow_mimic.data.arrays."""
  sources = {'shallow_mimic': ''}
  for name, text in modules.items():
    parts = name.split('__')
    top = [] if parts[0] == 'launch' else ['shallow_mimic']
    sources['.'.join(top + parts)] = text
  return sources


@pytest.mark.parametrize(
    ('modules', 'offence'),
    [
        ({'losses': 'from shallow_mimic import training', 'training': ''},
         'shallow_mimic.losses imports shallow_mimic.training'),
        ({'losses': 'import shallow_mimic.models.deep', 'models__deep': ''},
         'shallow_mimic.losses imports shallow_mimic.models.deep'),
        ({'models': '', 'models__deep': 'def f():\n  from .. import training',
          'training': ''},
         'shallow_mimic.models.deep imports shallow_mimic.training'),
        ({'models': 'from .. import training', 'models__deep': '',
          'training': ''},
         'shallow_mimic.models imports shallow_mimic.training'),
        ({'data': '', 'data__a': 'from ..training import fit', 'training': ''},
         'shallow_mimic.data.a imports shallow_mimic.training'),
        ({'training': 'from shallow_mimic.students import f', 'students': ''},
         'shallow_mimic.training imports shallow_mimic.students'),
        ({'curves': 'from shallow_mimic import teachers as t', 'teachers': ''},
         'shallow_mimic.curves imports shallow_mimic.teachers'),
        ({'logits': 'from shallow_mimic import pipeline', 'pipeline': ''},
         'shallow_mimic.logits imports shallow_mimic.pipeline'),
        ({'pipeline': 'from launch import run', 'launch__run': ''},
         'shallow_mimic.pipeline imports launch.run'),
        ({'new': 'import jax'},
         'shallow_mimic.new is in no room with a level'),
    ],
)
def test_an_upward_import_is_found(modules, offence):
  assert _upward_imports(_program(**modules)) == [offence]


def test_downward_imports_are_none_of_it():
  assert _upward_imports(_program(
      errors='', losses='', models='', speech='',
      runs='from shallow_mimic import errors',
      data='', data__arrays='from shallow_mimic.data import splits',
      data__splits='from shallow_mimic import runs, speech',
      training='from shallow_mimic import losses, models',
      students='from shallow_mimic import training',
      teachers='from shallow_mimic import training',
      pipeline='from shallow_mimic import students, teachers',
      launch__run='from shallow_mimic import pipeline\nfrom launch import plan',
      launch__plan='import jax')) == []


def test_a_circle_is_found():
  program = _program(
      data__a='from shallow_mimic.data import b',
      data__b='from shallow_mimic.data import c',
      data__c='def f():\n  import shallow_mimic.data.a', data='')
  assert _circles(program) == [
      'shallow_mimic.data.a -> shallow_mimic.data.b -> shallow_mimic.data.c'
      ' -> shallow_mimic.data.a']
  assert _circles(_program(a='from shallow_mimic import b, c', b='',
                           c='from shallow_mimic import b')) == []


def test_a_foreign_import_of_the_losses_is_found():
  program = _program(losses='import jax.numpy\nimport typing\nimport flax.linen'
                     '\nfrom shallow_mimic import files')
  assert _foreign_imports(program) == ['flax.linen', 'shallow_mimic.files']
  program = _program(losses='from shallow_mimic.losses import a',
                     losses__a='from shallow_mimic.losses_of import b',
                     losses_of='import flax')
  assert _foreign_imports(program) == ['shallow_mimic.losses_of.b']


@pytest.mark.parametrize('text', [
    'import jax\nf = jax.pmap(g)', 'from jax import pmap',
    'from jax import pmap as p', 'def f(pmap):\n  return pmap',
    'getattr(jax, "pmap")', 'from x import y as pmap', 'def pmap():\n  pass'])
def test_a_mention_of_pmap_is_found(text):
  assert _pmap_mentions(_program(training=text))
  assert not _pmap_mentions(_program(training__parallel=text))


def test_words_about_pmap_are_allowed():
  text = '"""As pmap does."""\n# pmap\npmapped = is_pmap_there = 1\n'
  assert not _pmap_mentions(_program(training=text))


@pytest.mark.parametrize('text', [
    'p.read_text()', 'p.write_text(x)', 'open(p)', 'open(p, "w")',
    'p.open(mode="rt")', 'files.read_text(p)'])
def test_a_text_in_the_encoding_of_the_locale_is_found(text):
  name = text.partition('(')[0]
  assert _locale_texts(_program(a=text)) == [f'shallow_mimic.a:1 {name}']


def test_texts_with_an_encoding_and_bytes_are_none_of_it():
  assert not _locale_texts(_program(a='\n'.join((
      'p.read_text(encoding="utf-8")', 'open(p, "wb")', 'open(p, mode="rb")',
      'open(p, encoding="utf-8")', 'files.write_text(p, x)', 'p.read_bytes()'
  ))))


def test_length_is_counted():
  function = '@decorated\ndef f():\n' + '  pass\n' * 58
  assert _long_parts(_program(a=function, b='x = 1\n' * 400)) == []
  assert _long_parts(_program(a=function + '  pass\n')) == [
      'shallow_mimic.a.f has 61 lines']
  assert _long_parts(_program(a='class A:\n  async def f(self):\n'
                              + '    pass\n' * 60)) == [
      'shallow_mimic.a.f has 61 lines']
  assert _long_parts(_program(b='x = 1\n' * 401)) == [
      'shallow_mimic.b has 401 lines']


def test_every_file_is_read(tmp_path):
  for name in ('shallow_mimic/__init__.py', 'shallow_mimic/data/a.py',
               'launch/configs/b.py', 'tests/c.py'):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'# {name}', encoding='utf-8')
  assert set(house.read_sources(tmp_path)) == {
      'shallow_mimic', 'shallow_mimic.data.a', 'launch.configs.b'}
