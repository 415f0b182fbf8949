"""What a configuration asks of the data and the devices, before it trains."""

from __future__ import annotations

from shallow_mimic import errors, students, teachers
from shallow_mimic.data import mixtures
from shallow_mimic.training import family, objectives, parallel


def check_inputs(config, dataset):
  """Every set that the configuration trains on exists and has its labels."""
  known, sets = mixtures.set_sizes(dataset), mixtures.known_sets(dataset)
  wanted = [(f'teachers.{name}.inputs', group.inputs, True)
            for name, group in config.teachers.items()]
  wanted += [(f'students.curves.{name}.inputs', curve.inputs,
              curve.objective in objectives.NEEDS_LABELS)
             for name, curve in config.students.curves.items()]
  for field, text, labels in wanted:
    _, fold = mixtures.split_fold(text)
    if fold is not None and fold >= config.data.folds:
      raise errors.UserError(
          f'config.{field} is {text!r}, but the data have {config.data.folds}'
          ' folds (config.data.folds)')
    for name, _ in mixtures.parse_inputs(text, known):
      if labels and (sets[name].y < 0).any():
        raise errors.UserError(
            f'config.{field} is {text!r}, but {name!r} has no labels to train'
            ' on'
        )


def check_nets(config, dataset):
  """Every net fits the data and the devices; every size can be had."""
  problem = dataset.input_shape, dataset.classes
  members = students.make_members(config.students, *problem, seeds=1)
  for name, group in config.teachers.items():
    members += teachers.make_members(name, group)
  for member in members:
    family.member_net(member, *problem)
  # How many all are may be another number where nets are trained.
  check_batches(config, config.parallel.devices or 1)
  for name, ensemble in config.ensembles.items():
    if ensemble.mirror and len(dataset.input_shape) != 3:
      raise errors.UserError(
          f'config.ensembles.{name}.mirror is set, but inputs of shape'
          f' {dataset.input_shape} are no images'
      )


def check_batches(config, devices):
  """Every batch can be split over so many devices, where it is to be."""
  for section in (config.students, *config.teachers.values()):
    parallel.check_split(config.parallel.split, section.batch, devices)
