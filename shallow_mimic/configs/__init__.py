"""Defaults, ready-made curves, checks of values; light to import."""

from shallow_mimic.configs.curves import make_loss_curves, make_size_curves
from shallow_mimic.configs.defaults import (
    default_config,
    make_curve,
    make_ensemble,
    make_teacher,
    to_json,
)

__all__ = [
    'default_config', 'make_curve', 'make_ensemble', 'make_loss_curves',
    'make_size_curves', 'make_teacher', 'to_json',
]
