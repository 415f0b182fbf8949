"""One program for many nets: fit → program → chunks → step."""

from shallow_mimic.training.family_data import (
    FamilyData,
    choose_normalizer,
    fit_normalizer,
    gather_family_data,
    no_normalizer,
)
from shallow_mimic.training.loss_specs import Constant, LossSpec
from shallow_mimic.training.settings import Recipe, Settings, make_settings

__all__ = [
    'Constant', 'FamilyData', 'LossSpec', 'Recipe', 'Settings',
    'choose_normalizer', 'fit_normalizer', 'gather_family_data',
    'make_settings', 'no_normalizer',
]
