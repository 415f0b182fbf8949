"""The modules of a clone and what they import; a script that counts rooms.

    python tests/helpers/house.py [CLONE …]

A room is a folder or a file of `shallow_mimic/`, or `launch/`; it stands one
floor above the highest that it imports.
"""

import ast
import pathlib
import sys

import places


def read_sources(root=places.ROOT, tops=('shallow_mimic', 'launch')):
  """Text of every file of the program, by dotted module name."""
  paths = sorted(
      path for top in tops
      for path in (root / top).rglob('*.py'))
  return {
      '.'.join(path.relative_to(root).with_suffix('').parts).removesuffix(
          '.__init__'): path.read_text(encoding='utf-8')
      for path in paths}


def _package(module, sources):
  """The package against which a module's relative imports are resolved."""
  is_package = any(name.startswith(module + '.') for name in sources)
  return module if is_package else module.rpartition('.')[0]


def imported_names(module, sources):
  """Absolute dotted names that a module imports, wherever in its code."""
  for node in ast.walk(ast.parse(sources[module])):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      base = node.module or ''
      if node.level:
        parts = _package(module, sources).split('.')
        parts = parts[:len(parts) - node.level + 1]
        base = '.'.join([*parts, base] if base else parts)
      yield from (f'{base}.{alias.name}' for alias in node.names)


def _longest_module(name, sources):
  """`shallow_mimic.losses` of `shallow_mimic.losses.blended`, or None."""
  while name and name not in sources:
    name = name.rpartition('.')[0]
  return name or None


def find_graph(sources):
  """Modules of the program that each module imports."""
  graph = {}
  for module in sources:
    found = {_longest_module(name, sources)
             for name in imported_names(module, sources)}
    graph[module] = found - {None, module}
  return graph


def find_room(module):
  """`data` of `shallow_mimic.data.arrays`, `launch` of `launch.run`."""
  parts = module.split('.')
  return parts[0] if parts[0] == 'launch' else '.'.join(parts[1:2])


def count(root):
  """Rooms, floors, what is imported between rooms, modules and lines."""
  sources = read_sources(root)
  graph = find_graph(sources)
  between = {(module, target) for module, targets in graph.items()
             for target in targets if find_room(module) != find_room(target)}
  below = {find_room(module): set() for module in sources}
  for module, target in between:
    below[find_room(module)].add(find_room(target))
  floors = {}

  def floor(room, above=()):
    if room in above:  # Rooms in a circle share a floor.
      return 0
    if room not in floors:
      floors[room] = 1 + max(
          (floor(other, (*above, room)) for other in below[room]), default=0)
    return floors[room]

  return {
      'rooms': len(below), 'floors': max(map(floor, below)),
      'pairs of rooms': sum(map(len, below.values())),
      'imports between rooms': len(between), 'modules': len(sources),
      'lines': sum(len(text.splitlines()) for text in sources.values()),
      'longest file': max(len(text.splitlines()) for text in sources.values()),
  }


def main():
  for root in sys.argv[1:] or [places.ROOT]:
    print(root, count(pathlib.Path(root)))


if __name__ == '__main__':
  main()
