"""Sections, defaults, ready-made curves, checks of values; light to import."""

from shallow_mimic import packages

packages.require('run')  # One line, before an import fails.

from shallow_mimic.configs.curves import make_loss_curves, make_size_curves  # noqa: E402
from shallow_mimic.configs.defaults import (  # noqa: E402
  Given,
  default_config,
  from_json,
  make_curve,
  make_ensemble,
  make_teacher,
  read_config,
  to_json,
)
from shallow_mimic.configs.experiments import load  # noqa: E402
from shallow_mimic.configs.sections import (  # noqa: E402
  Config,
  Curve,
  Data,
  Ensemble,
  Logits,
  Parallel,
  Report,
  Speech,
  Students,
  Teacher,
  Training,
)

__all__ = [
    'Config', 'Curve', 'Data', 'Ensemble', 'Given', 'Logits', 'Parallel',
    'Report', 'Speech', 'Students', 'Teacher', 'Training', 'default_config',
    'from_json', 'load', 'make_curve', 'make_ensemble', 'make_loss_curves',
    'make_size_curves', 'make_teacher', 'read_config', 'to_json',
]
