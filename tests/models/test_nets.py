"""The nets against a plain float64 forward pass, layer by layer."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal, special

from shallow_mimic.errors import UserError
from shallow_mimic.models.kinds import (
    AveragePool,
    Bottleneck,
    Convolution,
    Hidden,
    MaxPool,
)
from shallow_mimic.models.nets import make_net
from shallow_mimic.models.options import Options
from shallow_mimic.models.sizes import param_shapes

ACTIVATIONS = {
    'relu': lambda x: np.maximum(x, 0), 'tanh': np.tanh,
    'sigmoid': special.expit,
    # The tanh form, as in the paper that proposed gelu.
    'gelu': lambda x: x / 2 * (
        1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}


def _draw(net, seed=0):
  """Parameters at random, biases too; quicker to make than `net.init`."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda a: jnp.asarray(
      rng.normal(size=a.shape) * 0.4, jnp.float32), param_shapes(net))


def _reference_maps(layer, name, params, x, net):
  """One layer of one example's map [..., c]."""
  if isinstance(layer, AveragePool):
    return x.mean(tuple(range(x.ndim - 1)))
  if isinstance(layer, MaxPool):
    windows = np.lib.stride_tricks.sliding_window_view(
        x, [layer.size] * (x.ndim - 1), tuple(range(x.ndim - 1)))
    windows = windows[(slice(None, None, layer.stride),) * (x.ndim - 1)]
    return windows.max(tuple(range(x.ndim, windows.ndim)))
  kernel = np.asarray(params[name]['kernel'], float)
  if net.options.standardised:
    flat = kernel.reshape(-1, layer.maps)
    flat = (flat - flat.mean(0)) / np.sqrt(len(flat) * flat.var(0) + 1e-4)
    kernel = flat.reshape(kernel.shape)
  y = np.stack([sum(
      signal.correlate(x[..., i], kernel[..., i, o], 'same', 'direct')
      for i in range(x.shape[-1])) for o in range(layer.maps)], -1)
  if net.options.norm == 'group':
    norm = params[name.replace('convolution', 'norm')]
    count = min(net.options.groups, layer.maps)
    groups = y.reshape(-1, count, layer.maps // count)
    groups = groups - groups.mean((0, 2), keepdims=True)
    groups = groups / np.sqrt((groups**2).mean((0, 2), keepdims=True) + 1e-6)
    y = groups.reshape(y.shape) * np.asarray(norm['scale'])
    y = y + np.asarray(norm['bias'])
  else:
    y = y + np.asarray(params[name]['bias'], float)
  return ACTIVATIONS[net.options.activation](y)


def _reference(net, params, x):
  """Logits of one example, in float64."""
  x = np.asarray(x, float)
  counts = {}
  if x.ndim == 1 and isinstance(net.architecture.layers[0], Convolution):
    x = x[:, None]
  for layer in net.architecture.layers:
    kind = type(layer).__name__.lower()
    name = f'{kind}_{counts.setdefault(kind, 0)}'
    counts[kind] += 1
    if not isinstance(layer, Bottleneck | Hidden):
      x = _reference_maps(layer, name, params, x, net)
      continue
    x = np.asarray(params[name]['kernel'], float) @ x.ravel()
    if isinstance(layer, Hidden):
      x = ACTIVATIONS[net.options.activation](x + params[name]['bias'])
  out = params['output']
  return np.asarray(out['kernel'], float) @ x.ravel() + out['bias']


@pytest.mark.parametrize(('text', 'shape', 'options'), [
    ('9', (7,), {}),
    ('9', (4, 3, 2), {'activation': 'tanh'}),
    ('4L-9', (7,), {'activation': 'sigmoid'}),
    ('9-8-7', (7,), {'activation': 'gelu'}),
    ('9-4L-9', (7,), {'precision': 'highest'}),
    ('4c-p-5L-9', (9, 8, 3), {}),
    ('4c-p-5L-9', (9, 8, 3), {'activation': 'tanh'}),
    ('4c-p2-9', (8, 8, 1), {'activation': 'gelu'}),
    ('4c3-5c3-p2-6c3-a', (8, 8, 2), {}),
    ('4c-p2-5c3-p-9', (20,), {}),
    ('4c-p2-p2-9', (9, 5), {'activation': 'sigmoid'}),
    ('p2-9', (9, 5), {}),
    ('4c3-p2-5c3-a-9', (8, 8, 2), {'norm': 'group'}),
    ('64c3-p-9', (11,), {'norm': 'group', 'activation': 'gelu'}),
    ('4c3-p2-6c3-a-9', (8, 8, 2),
     {'norm': 'group', 'groups': 2, 'standardised': True}),
    ('4c3-9', (8, 3), {'standardised': True}),
])
def test_forward(text, shape, options):
  net = make_net(text, shape, 6, **options)
  params = _draw(net)
  x = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
  logits = jax.jit(net.apply)(params, x)
  assert logits.shape == (3, 6)
  assert logits.dtype == jnp.float32
  for got, example in zip(logits, x, strict=True):
    np.testing.assert_allclose(
        got, _reference(net, params, example), rtol=2e-4, atol=2e-4)


def test_batch_of_images_in_bytes():
  net = make_net('4c-p2-9', (8, 8, 3), 2)
  params = _draw(net)
  x = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
  apply = jax.jit(net.apply)
  np.testing.assert_array_equal(
      apply(params, x), apply(params, x.astype(np.float32)))


@pytest.mark.parametrize(('text', 'activation', 'variances'), [
    ('300L-800', 'relu', {'bottleneck_0': 1, 'hidden_0': 2, 'output': 1}),
    ('800', 'gelu', {'hidden_0': 2, 'output': 1}),
    ('800', 'tanh', {'hidden_0': 1, 'output': 1}),
    ('200c3-a-800', 'sigmoid', {'convolution_0': 1, 'hidden_0': 1}),
    ('200c3-a-800', 'relu', {'convolution_0': 2, 'hidden_0': 2}),
])
def test_init(text, activation, variances):
  """Variance of each kernel times its fan-in; biases as asked."""
  shape = (20, 20, 20) if 'c' in text else (500,)
  net = make_net(text, shape, 400, activation=activation, bias_spread=0.3)
  params = net.init(jax.random.key(0))
  for name, variance in variances.items():
    kernel = params[name]['kernel']
    fan_in = (kernel[..., 0].size if name.startswith('convolution')
              else kernel.shape[-1])
    assert float(kernel.var()) * fan_in == pytest.approx(variance, rel=0.05)
    assert abs(float(kernel.mean())) < 5 * (variance / fan_in / kernel.size)**.5
  assert float(params['hidden_0']['bias'].std()) == pytest.approx(0.3, rel=0.1)
  assert not params['output']['bias'].any()
  assert set(params.get('bottleneck_0', {'kernel': 0})) == {'kernel'}


def test_init_by_key_and_zero_biases():
  net = make_net('9', (7,), 6)
  one, same, other = (net.init(jax.random.key(i)) for i in (0, 0, 1))
  assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), one, same))
  assert (one['hidden_0']['kernel'] != other['hidden_0']['kernel']).any()
  assert not one['hidden_0']['bias'].any()
  assert one['hidden_0']['kernel'].shape == (9, 7)


def test_net_is_static_under_jit():
  net = make_net('4L-2k', (7,), 6)
  assert net == make_net('4L-2000fc', [7], 6)
  assert hash(net) == hash(make_net('4L-2000fc', (7,), 6))
  assert net != make_net('4L-2k', (7,), 6, activation='tanh')
  assert net.options == Options()


def test_students_under_vmap_equal_students_alone():
  net = make_net('4c3-p2-8', (6, 6, 2), 3)
  one_by_one = [_draw(net, seed) for seed in range(3)]
  stacked = jax.tree.map(lambda *a: jnp.stack(a), *one_by_one)
  x = jnp.asarray(np.random.default_rng(1).normal(size=(5, 6, 6, 2)))
  together = jax.jit(jax.vmap(net.apply, (0, None)))(stacked, x)
  apply = jax.jit(net.apply)
  for logits, params in zip(together, one_by_one, strict=True):
    np.testing.assert_allclose(
        logits, apply(params, x), rtol=1e-5, atol=1e-5)


def test_init_under_vmap_equals_init_alone():
  net = make_net('9', (7,), 6, bias_spread=0.1)
  keys = jax.random.split(jax.random.key(0), 3)
  together = jax.vmap(net.init)(keys)
  alone = net.init(keys[2])
  jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[2], b),
               together, alone)


def test_unit_mask_silences_units_of_its_length_only():
  net = make_net('6-9-6', (7,), 3, activation='sigmoid')
  params = _draw(net)
  mask = jnp.array([1.0, 1, 0, 1, 0, 1])
  x = np.random.default_rng(1).normal(size=(4, 7))
  silenced = jax.tree.map(lambda a: a, params)
  silenced['hidden_1']['kernel'] = params['hidden_1']['kernel'] * mask[None]
  silenced['output']['kernel'] = params['output']['kernel'] * mask[None]
  np.testing.assert_allclose(
      net.apply(params, x, unit_mask=mask), net.apply(silenced, x), rtol=1e-5)


@pytest.mark.parametrize(('arguments', 'options', 'message'), [
    (('8k', (7,), 3), {'activation': 'swish'}, 'unknown activation "swish";'
     ' choose one of relu, tanh, sigmoid, gelu'),
    (('8k', (7,), 3), {'norm': 'batch'},
     'unknown norm "batch"; choose one of none, group'),
    (('8k', (7,), 3), {'precision': 'bf16'},
     'unknown precision "bf16"; choose one of default, high, highest'),
    (('8k', (7,), 3), {'dropout_hidden': 1.0},
     'dropout_hidden: a dropout rate must be in [0, 1), got 1.0'),
    (('8k', (7,), 3), {'dropout_conv': -0.5},
     'dropout_conv: a dropout rate must be in [0, 1), got -0.5'),
    (('8k', (7,), 3), {'bias_spread': -1.0},
     'bias_spread must be at least 0, got -1.0'),
    (('8k', (7,), 3), {'groups': 0}, 'groups must be at least 1, got 0'),
    (('8k', (7,), 0), {}, 'classes must be at least 1, got 0'),
    (('p-8k', (2,), 3), {},
     'architecture "p-8k" on inputs of shape (2,): "p" needs at least 3'
     ' positions along each axis, and its map is (2, 1); use fewer or smaller'
     ' pools'),
])
def test_make_net_refuses(arguments, options, message):
  with pytest.raises(UserError) as error:
    make_net(*arguments, **options)
  assert str(error.value) == message


@pytest.mark.parametrize(('x', 'mask', 'message'), [
    ((3, 8), None, r'x must be \[B, \*\(7,\)\], got \(3, 8\)'),
    ((7,), None, r'x must be \[B, \*\(7,\)\], got \(7,\)'),
    ((3, 7), (8,), r'unit_mask \(8,\) fits no hidden layer of "4L-9"'),
])
def test_apply_refuses(x, mask, message):
  net = make_net('4L-9', (7,), 3)
  params = _draw(net)
  with pytest.raises(ValueError, match=message):
    net.apply(params, jnp.zeros(x), unit_mask=mask and jnp.ones(mask))


def test_options_are_the_keywords_of_make_net():
  names = {field.name for field in dataclasses.fields(Options)}
  assert names == {'activation', 'dropout_input', 'dropout_hidden',
                   'dropout_conv', 'bias_spread', 'norm', 'groups',
                   'standardised', 'precision'}
