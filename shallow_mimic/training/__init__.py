"""One program for many nets: fit → program → chunks → step."""

from shallow_mimic.training.inputs import (
    Inputs,
    choose_normalizer,
    count_inputs,
    fit_normalizer,
    gather_inputs,
)
from shallow_mimic.training.loss_specs import Constant, LossSpec
from shallow_mimic.training.settings import Recipe, Settings, make_settings

__all__ = [
    'Constant', 'Inputs', 'LossSpec', 'Recipe', 'Settings',
    'choose_normalizer', 'count_inputs', 'fit_normalizer', 'gather_inputs',
    'make_settings',
]
