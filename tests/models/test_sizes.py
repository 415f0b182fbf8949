"""Counts: the paper's tables, and hand-made small cases."""

import math

import jax
import pytest

from shallow_mimic import errors
from shallow_mimic.models import options as net_options
from shallow_mimic.models import sizes
from shallow_mimic.models.architectures import with_width
from shallow_mimic.models.nets import make_net

CIFAR = ((32, 32, 3), 10)
TIMIT = ((1845,), 183)


@pytest.mark.parametrize(('text', 'problem', 'millions'), [
    ('128c-p-1200L-30k', CIFAR, 70.9), ('64c-p-1200L-30k', CIFAR, 53.6),
    ('2000fc-2000fc', CIFAR, 10.2), ('2k-2k-2k', TIMIT, 12.06),
    ('250L-400k', TIMIT, 174.1), ('8k', TIMIT, 16.2), ('50k', TIMIT, 101.5),
    ('250L-8k', TIMIT, 3.93)])
def test_parameters_of_the_paper(text, problem, millions):
  """True counts, as derived in the paper's tables 1 and 2."""
  count = sizes.count_parameters(make_net(text, *problem)) / 1e6
  assert round(count, 2 if millions in (12.06, 3.93) else 1) == millions


@pytest.mark.parametrize(('text', 'problem', 'units'), [
    ('64c-p-1200L-30k', CIFAR, 109_936), ('128c-p-1200L-30k', CIFAR, 189_872),
    ('250L-400k', TIMIT, 400_000), ('2k-2k-2k', TIMIT, 6000),
    ('8k', TIMIT, 8000)])
def test_hidden_units_of_the_paper(text, problem, units):
  """Printed there as 109.9k, 189.9k, ~400k, ~6k, ~8k."""
  assert sizes.count_hidden_units(make_net(text, *problem)) == units


# By hand, for each case: parameters, absorbed, multiply-adds, units, depth.
@pytest.mark.parametrize(('text', 'shape', 'options', 'counts'), [
    ('5', (4,), {}, (25 + 18, 25 + 18, 20 + 15, 5, 2)),
    ('2L-5', (4,), {}, (8 + 15 + 18, 25 + 18, 8 + 10 + 15, 5, 3)),
    ('5-2L', (4,), {}, (25 + 10 + 9, 25 + 18, 20 + 10 + 6, 5, 3)),
    ('2c3-p2-5', (4, 4, 1), {},
     (20 + 45 + 18, 20 + 45 + 18, 288 + 40 + 15, 32 + 8 + 5, 3)),
    ('2c3-p2-5', (4, 4, 1), {'norm': 'group'},
     (22 + 45 + 18, 22 + 45 + 18, 288 + 40 + 15, 32 + 8 + 5, 3)),
    ('2c-a', (6,), {}, (12 + 9, 12 + 9, 60 + 6, 12 + 2, 2)),
])
def test_by_hand(text, shape, options, counts):
  net = make_net(text, shape, 3, **options)
  assert (
      sizes.count_parameters(net), sizes.count_absorbed(net),
      sizes.count_multiply_adds(net), sizes.count_hidden_units(net),
      sizes.sequential_depth(net)) == counts


def test_absorbed_counts_the_full_kernel():
  factored = make_net('250L-8k', *TIMIT)
  assert sizes.count_absorbed(factored) == sizes.count_parameters(
      make_net('8k', *TIMIT))


def test_param_shapes_are_those_of_init():
  net = make_net('2c3-p2-3L-5', (4, 4, 1), 3)
  shapes = jax.tree.map(lambda x: (x.shape, x.dtype), sizes.param_shapes(net))
  params = net.init(jax.random.key(0))
  assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), params)


@pytest.mark.parametrize('text', [
    '5', '7L', '4c3-p2-3L-5-6', '3c-4c3-a-2', '8c-p2-4c3-p2-6-2L-3-3L'])
@pytest.mark.parametrize('norm', net_options.NORMS)
@pytest.mark.parametrize('shape', [(12,), (13, 2), (8, 8, 3)])
def test_counts_are_those_of_the_arrays(text, norm, shape):
  net = make_net(text, shape, 4, norm=norm)
  assert sizes.count_parameters(net) == sum(
      math.prod(x.shape) for x in jax.tree.leaves(sizes.param_shapes(net)))


TEMPLATES = ('H', '3L-H', 'H-H', '2L-H-H-H', 'H-4', '2c3-p2-3L-H-H')


@pytest.mark.parametrize('text', TEMPLATES)
def test_widths_are_the_nearest_of_all(text):
  counts = [sizes.count_parameters(make_net(with_width(text, w), (8,), 3))
            for w in range(1, 60)]
  assert counts == sorted(set(counts))
  wanted = range(counts[0], counts[-1], max(1, counts[-1] // 300))
  for parameters in [*wanted, *counts[:-1]]:
    nearest = min(abs(count - parameters) for count in counts)
    found = sizes.find_width(text, (8,), 3, parameters)
    assert abs(counts[found - 1] - parameters) == nearest
    assert found == 1 or abs(counts[found - 2] - parameters) > nearest


@pytest.mark.parametrize('width', [1, 30_000, 10**7])
def test_widths_of_large_counts_come_back(width):
  for text in ('1200L-H', '128c-p-1200L-H', '1200L-H-H'):
    count = sizes.count_parameters(make_net(with_width(text, width), *CIFAR))
    for parameters in (count - 100, count, count + 100):
      if width > 1 or parameters >= count:
        assert sizes.find_width(text, *CIFAR, parameters) == width


def test_width_of_too_few_parameters():
  # 1 × (4 + 1) + 3 × (1 + 1)
  assert sizes.find_width('H', (4,), 3, 11) == 1
  with pytest.raises(errors.UserError) as error:
    sizes.find_width('H', (4,), 3, 10)
  assert str(error.value) == (
      'architecture "H" cannot be made as small as 10 parameters: it has 11 at'
      ' width 1')
