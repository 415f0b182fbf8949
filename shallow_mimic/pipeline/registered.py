"""What a configuration uses that is not ours: who registered it, and which."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping

from ml_collections import ConfigDict

from shallow_mimic import configs, curves, data, errors, models, registry
from shallow_mimic.runs import kept, workdir
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


def read_last_config(directory: os.PathLike | str) -> ConfigDict:
  """The configuration of the last run in a work directory.

  Raises:
    UserError: there is none, it is damaged, or it uses what nobody has
      registered.
  """
  place = pathlib.Path(directory) / 'config.json'
  workdir.check_ours(directory)
  tree = workdir.read_config(directory)
  names = tree.pop('registered', {})
  if not isinstance(names, Mapping):
    raise errors.UserError(
        f'{place} has {names!r} as `registered`; it must be a mapping')
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
  return configs.from_json(tree)


def say_lost_sections(report: os.PathLike | str) -> list[str]:
  """A line on sections that a report has, and that nobody has registered."""
  found = kept.read_root(report)
  before = found.made_from.get('sections') if found else None
  lost = sorted(set(before if isinstance(before, Mapping) else ())
                - curves.find_versions().keys())
  return [f'the report is drawn without the section {" and ".join(lost)}, which'
          ' nobody has registered; name the file that does so with'
          ' --config=FILE'] if lost else []
