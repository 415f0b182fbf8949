"""Pure nets: `make_net`, `Net.init`, `Net.apply`, and what they cost."""

from shallow_mimic.models.absorb import (
    absorb_bottleneck,
    with_precision,
    without_bottlenecks,
)
from shallow_mimic.models.architectures import (
    Architecture,
    find_registered,
    parse_architecture,
    with_width,
)
from shallow_mimic.models.convolution import convolve
from shallow_mimic.models.dropout import dropout
from shallow_mimic.models.kinds import (
    AveragePool,
    Bottleneck,
    Convolution,
    Hidden,
    MaxPool,
)
from shallow_mimic.models.layer import Layer, Shape, Site
from shallow_mimic.models.nets import Net, Params, make_net
from shallow_mimic.models.options import Options
from shallow_mimic.models.padding import (
    ignores_padding,
    pad_params,
    unit_mask,
    unpad_params,
)
from shallow_mimic.models.pooling import average_pool, max_pool
from shallow_mimic.models.sizes import (
    count_absorbed,
    count_hidden_units,
    count_multiply_adds,
    count_parameters,
    find_width,
    param_shapes,
    sequential_depth,
)

__all__ = [
    'Architecture', 'AveragePool', 'Bottleneck', 'Convolution', 'Hidden',
    'Layer', 'MaxPool', 'Net', 'Options', 'Params', 'Shape', 'Site',
    'absorb_bottleneck', 'average_pool', 'convolve', 'count_absorbed',
    'count_hidden_units', 'count_multiply_adds', 'count_parameters', 'dropout',
    'find_registered', 'find_width', 'ignores_padding', 'make_net', 'max_pool',
    'pad_params', 'param_shapes', 'parse_architecture', 'sequential_depth',
    'unit_mask', 'unpad_params', 'with_precision', 'with_width',
    'without_bottlenecks',
]
