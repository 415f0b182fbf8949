"""Defaults, ready-made curves, checks of values; light to import."""

from shallow_mimic import packages

packages.require('run')  # One line, before an import fails.

from shallow_mimic.configs.curves import (  # noqa: E402
    make_loss_curves,
    make_size_curves,
)
from shallow_mimic.configs.defaults import (  # noqa: E402
    default_config,
    make_curve,
    make_ensemble,
    make_teacher,
    to_json,
)
from shallow_mimic.configs.experiments import load  # noqa: E402

__all__ = [
    'default_config', 'load', 'make_curve', 'make_ensemble', 'make_loss_curves',
    'make_size_curves', 'make_teacher', 'to_json',
]
