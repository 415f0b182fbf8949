"""What a configuration uses that is not ours: who registered it, and which."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from shallow_mimic import configs, curves, data, errors, models, registry
from shallow_mimic.training import LossSpec, objectives


def find_registered(config: configs.Config) -> dict[str, str]:
  """Versions of the registered losses, layers and sources of a configuration.

  By kind and name, such as 'loss huber'. They are part of what a run is: its
  results are not those of another version.
  """
  students = config.students
  layers: dict[str, str] = {}
  for text in [*(group.architecture for group in config.teachers.values()),
               students.architecture,
               *(curve.architecture for curve in students.curves.values())]:
    layers |= models.find_registered(text) if text else {}
  found = {'source': data.find_registered(config.data), 'layer': layers,
           'loss': objectives.find_registered(
               curve.objective for curve in students.curves.values())}
  return {f'{kind} {name}': version for kind, versions in found.items()
          for name, version in sorted(versions.items())}


def say_registered(config: configs.Config) -> list[str]:
  """A sentence on all of them, sections of the report too; none without."""
  found = find_registered(config) | {
      f'section {name}': version
      for name, version in curves.find_versions().items()}
  names = ', '.join(f'{name} (version {version})'
                    for name, version in found.items())
  return [f'Not of shallow_mimic itself: {names}.'] if names else []


def make_identity(config: configs.Config) -> dict[str, object]:
  """What a work directory belongs to: the configuration, and versions."""
  versions = find_registered(config)
  also = {'registered': versions} if versions else {}
  return configs.to_json(config) | also


def require_registered(names: Iterable[str], place: os.PathLike | str) -> None:
  """UserError unless all is registered that a configuration was run with.

  Args:
    names: as `find_registered` has them: 'loss huber'.
    place: the configuration's file.
  """
  registry.load_plugins()
  known: dict[str, Mapping] = {
      'source': data.Source.registry, 'layer': models.Layer.registry,
      'loss': LossSpec.registry}
  lost = [text for text in names for kind, _, name in [text.partition(' ')]
          if name not in known.get(kind, ())]
  if lost:
    raise errors.UserError(
        f'{place} uses the {" and the ".join(lost)}, which nobody has'
        ' registered; name the file that does so with --config=FILE')
