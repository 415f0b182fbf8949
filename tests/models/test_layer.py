"""Kinds of layers of a user's own: refused, read, counted, applied."""

import dataclasses
import math
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from user_layers import Crop, Gate, Standard

import shallow_mimic
from shallow_mimic import models
from shallow_mimic.errors import UserError


@pytest.fixture(autouse=True)
def fixture_registered():
  """The kinds of the helper are registered."""
  shallow_mimic.register(Gate, Crop, Standard)


def refused(message):
  return pytest.raises(UserError, match=f'^{re.escape(message)}$')


def frozen(kind):
  return dataclasses.dataclass(frozen=True)(kind)


def _draw(net, seed=0):
  """Parameters at random, biases too; quicker to make than `net.init`."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda a: jnp.asarray(
      rng.normal(size=a.shape) * 0.4, jnp.float32), models.param_shapes(net))


def test_ours_come_first():
  assert list(models.Layer.registry) == [
      'convolution', 'max_pool', 'average_pool', 'bottleneck', 'hidden',
      'gate', 'crop', 'std']
  assert [models.Layer.registry.version(name) for name in (
      'hidden', 'gate')] == ['', '1']


class Nothing(models.Layer):
  """Leaves out all that there is to say."""


class Unframed(Gate):
  name = 'unframed'


@frozen
class Costless(Gate):
  """Says nothing of its cost."""

  name = 'costless'
  fan_in = models.Layer.fan_in
  count_parameters = models.Layer.count_parameters


@pytest.mark.parametrize(('kind', 'message'), [
    (Nothing, 'cannot register the layer Nothing: it does not say __str__,'
     ' apply, count_parameters, fan_in, output_shape, name, takes_map,'
     ' has_units, pattern; see shallow_mimic.models.Layer'),
    (Costless, 'cannot register the layer Costless: it does not say'
     ' count_parameters, fan_in; see shallow_mimic.models.Layer'),
    (Unframed, 'cannot register the layer Unframed: put'
     ' @dataclasses.dataclass(frozen=True) above it'),
    (Gate(3), "cannot register the layer Gate(units=3): register the class"
     ' itself'),
    (frozen(type('Norm', (Gate,), {'name': 'norm'})), 'cannot register the'
     " layer Norm: the name 'norm' is that of parameters of a net; choose"
     ' another'),
    (frozen(type('Mine', (Gate,), {'name': 'mine', 'pattern': '('})),
     "cannot register the layer Mine: its pattern '(' is no regular"
     ' expression: missing ), unterminated subpattern at position 0'),
    (frozen(type('Mine', (Gate,), {'name': 'mine', 'pattern': 'mine'})),
     "cannot register the layer Mine: its pattern 'mine' has 0 groups for 1"
     ' fields; give each field a group, or the class a `read`'),
    (frozen(type('Mine', (models.Hidden,), {'version': '1'})),
     "cannot register the layer 'hidden': that name is taken by one of"
     ' shallow_mimic; choose another'),
    (frozen(type('Mine', (Gate,), {'name': 'mine', 'version': ''})),
     "cannot register the layer 'mine': it states no version; give one, such"
     " as version='1', and change it whenever the layer changes, as results"
     ' are kept by it'),
])
def test_what_is_no_kind_is_refused(kind, message):
  with refused(message):
    shallow_mimic.register(kind)
  assert 'mine' not in models.Layer.registry


def test_text_reads_and_prints_as_written():
  text = '8c3-crop1-p2-4L-gate16-std-0.25k'
  architecture = models.parse_architecture(text)
  assert str(architecture) == text
  assert architecture.layers[4] == Gate(16)
  assert models.with_width('gate16-H', 8000) == 'gate16-8k'


@pytest.mark.parametrize(('text', 'kinds'), [
    ('gate16-H', {'gate': '1'}), ('250L-H', {}),
    ('std-H-gate3-gate4', {'std': '1', 'gate': '1'})])
def test_find_registered(text, kinds):
  assert models.find_registered(text) == kinds
  parsed = models.parse_architecture(text.replace('H', '5'))
  assert models.find_registered(parsed) == kinds


@pytest.mark.parametrize(('text', 'problem'), [
    ('gat16', 'cannot read "gat16"; write items such as 128c, 128c3, p, p2,'
     ' p3s2, a, 1200L, 8k, 2000 or 1000fc, joined by "-"; registered: gate,'
     ' crop, std'),
    ('gate0', '"gate0" has a 0 in it; every number must be at least 1'),
    ('gate5-crop1', '"crop1" needs a map, and there is none after "gate5"; put'
     ' it before'),
    ('gate5-8c', '"8c" needs a map, and there is none after "gate5"; put it'
     ' before'),
])
def test_bad_text(text, problem):
  with refused(f'architecture "{text}": {problem}'):
    models.parse_architecture(text)


def test_two_kinds_that_read_one_text():
  shallow_mimic.register(frozen(type('Wide', (Gate,), {
      'name': 'wide', 'pattern': r'(?:gate|wide)(\d+)',
      '__str__': lambda self: f'wide{self.units}'})))
  models.parse_architecture('wide8')
  with refused('architecture "5-gate8": "gate8" is read by the layers gate and'
               " wide; change one's pattern"):
    models.parse_architecture('5-gate8')


def test_a_text_that_does_not_read_back():
  shallow_mimic.register(frozen(type('Mine', (Gate,), {
      'name': 'mine', 'pattern': r'mine(\d+)'})))
  with refused('architecture "mine8": "mine8" is printed as "gate8", which is'
               ' another layer or none; mend Mine.__str__'):
    models.parse_architecture('mine8')


def test_shapes_and_what_a_layer_needs_of_its_input():
  net = models.make_net('8c3-crop1-gate5', (6, 6, 1), 3)
  assert models.param_shapes(net)['gate_0']['kernel'].shape == (4 * 4 * 8, 10)
  with refused('architecture "crop3" on inputs of shape (6, 6, 1): "crop3"'
               ' leaves nothing of a map (6, 6, 1); crop less'):
    models.make_net('crop3', (6, 6, 1), 3)


@pytest.mark.parametrize('shape', [6, (), (6, 0), [6], (6.0,), None])
def test_an_output_shape_is_a_shape(shape):
  shallow_mimic.register(frozen(type('Gate', (Gate,), {
      'output_shape': lambda self, _: shape})))
  with refused('architecture "gate6-5" on inputs of shape (4,): "gate6" states'
               f' outputs of shape {shape!r}; it must be a tuple of whole'
               ' numbers from 1 on'):
    models.make_net('gate6-5', (4,), 3)


# By hand: parameters, absorbed, multiply-adds, units, depth.
@pytest.mark.parametrize(('text', 'shape', 'counts'), [
    ('gate6-5', (4,), (60 + 35 + 18, 113, 48 + 30 + 15, 11, 3)),
    ('2L-gate6', (4,), (8 + 36 + 21, 65, 8 + 24 + 18, 6, 3)),
    ('2c3-crop1-gate5', (4, 4, 1),
     (20 + 90 + 18, 128, 288 + 80 + 15, 32 + 5, 3)),
    ('5-std', (4,), (25 + 10 + 18, 53, 20 + 15, 5, 2)),
])
def test_sizes_by_hand(text, shape, counts):
  net = models.make_net(text, shape, 3)
  assert counts == (
      models.count_parameters(net), models.count_absorbed(net),
      models.count_multiply_adds(net), models.count_hidden_units(net),
      models.sequential_depth(net))
  assert models.count_parameters(net) == sum(
      math.prod(x.shape) for x in jax.tree.leaves(models.param_shapes(net)))


def test_widths_are_found_beside_it():
  assert models.find_width('gate6-H', (4,), 3, 113) == 5


def _reference(net, params, x):
  """Logits of flat layers, in float64."""
  counts = {}
  for layer in net.architecture.layers:
    part = params[f'{layer.name}_{counts.setdefault(layer.name, 0)}']
    counts[layer.name] += 1
    kernel = np.asarray(part['kernel'], float)
    if layer.name == 'gate':
      both = x @ kernel + np.asarray(part['bias'])
      x = both[:, :layer.units] / (1 + np.exp(-both[:, layer.units:]))
    else:
      x = x @ kernel.T + np.asarray(part.get('bias', 0))
      x = np.maximum(x, 0) if layer.name == 'hidden' else x
  out = params['output']
  return x @ np.asarray(out['kernel'], float).T + np.asarray(out['bias'])


@pytest.mark.parametrize('text', [
    'gate6', 'gate6-5', '5-gate6', '4L-gate6-5-gate3-gate2', '5-gate6-4L'])
def test_forward(text):
  net = models.make_net(text, (7,), 3)
  params = _draw(net)
  x = np.random.default_rng(1).normal(size=(4, 7))
  np.testing.assert_allclose(
      jax.jit(net.apply)(params, x), _reference(net, params, x),
      rtol=1e-4, atol=1e-4)


def test_maps():
  net, cropped = (models.make_net(text, shape, 3) for text, shape in (
      ('crop1-2c3-a', (6, 5, 2)), ('2c3-a', (4, 3, 2))))
  params = _draw(net)
  x = np.random.default_rng(1).normal(size=(4, 6, 5, 2))
  np.testing.assert_allclose(
      net.apply(params, x), cropped.apply(params, x[:, 1:-1, 1:-1]), rtol=1e-5)


def test_dropout_has_a_stream_of_its_own():
  """Its keeps are independent of those of the layers beside it."""
  net = models.make_net('gate64-gate64-64', (64,), 64, dropout_hidden=0.5)
  gate = {'kernel': jnp.eye(64, 128), 'bias': jnp.zeros(128)}
  eye = {'kernel': jnp.eye(64), 'bias': jnp.zeros(64)}
  params = {'gate_0': gate, 'gate_1': gate, 'hidden_0': eye, 'output': eye}
  run = jax.jit(net.apply)
  kept = run(params, jnp.ones((64, 64)), dropout_key=jax.random.key(0)) > 0
  # Three independent halves; any two alike would leave a quarter.
  assert float(kept.mean()) == pytest.approx(1 / 8, abs=0.03)
  assert (run(params, jnp.ones((1, 64))) > 0).all()


def test_streams_are_each_others_never():
  """Ours share the numbers from 1 on, in a way that no run may change."""
  ours = [layer.stream(number) for number in range(3) for layer in (
      models.MaxPool(), models.Hidden(5), models.AveragePool())]
  assert ours == list(range(1, 10))
  theirs = {layer.stream(number) for number in range(9)
            for layer in (Gate(5), Crop(1))}
  assert len(theirs) == 18
  assert all(2**31 <= stream < 2**32 for stream in theirs)


@pytest.mark.parametrize(('text', 'absorbed'), [
    ('4L-gate6-3L-5', '4L-gate6-5'), ('3L-4L-gate6', '4L-gate6'),
    ('3L-5-4L-gate6-2L', '5-4L-gate6'), ('gate6-4L-3L-5', 'gate6-5')])
def test_a_bottleneck_before_it_stays(text, absorbed):
  """Its kernels are its own: there is nothing to absorb a bottleneck into."""
  options = {'activation': 'tanh', 'dropout_hidden': 0.5}
  net = models.make_net(text, (7,), 3, **options)
  params = _draw(net)
  flat_net, flat = models.absorb_bottleneck(net, params)
  assert flat_net == models.make_net(absorbed, (7,), 3, **options)
  x = np.random.default_rng(1).normal(size=(4, 7))
  for key in (None, jax.random.key(2)):
    np.testing.assert_allclose(
        jax.jit(flat_net.apply)(flat, x, dropout_key=key),
        jax.jit(net.apply)(params, x, dropout_key=key), rtol=1e-4, atol=1e-5)
  assert models.count_parameters(flat_net) == models.count_absorbed(net)
  assert sum(a.size for a in jax.tree.leaves(flat)) == models.count_absorbed(
      net)


class _Running(nn.Module):

  @nn.compact
  def __call__(self, x):
    return nn.BatchNorm(use_running_average=True)(x)


def _dense(units, name, **options):
  return lambda self, x, site: nn.Dense(
      units(self.units), name=name(site), **options)(x)


@pytest.mark.parametrize(('changes', 'problem'), [
    ({'count_parameters': lambda self, shape, options: 7},
     'it states 7 parameters and makes 60'),
    ({'output_shape': lambda self, shape: (2 * self.units,)},
     'it states outputs of shape (12,) and makes (6,)'),
    ({'apply': _dense(lambda n: n, lambda site: site.name)},
     'it states 60 parameters and makes 30'),
    ({'apply': _dense(lambda n: 2 * n, lambda site: site.name)},
     'it states outputs of shape (6,) and makes (12,)'),
    ({'apply': lambda self, x, site: nn.Dense(12)(x)[:, :6]},
     'name its modules after site.name, not Dense_0'),
    ({'apply': lambda self, x, site: _Running(name=site.name)(x),
      'count_parameters': lambda self, shape, options: 2 * shape[0],
      'output_shape': lambda self, shape: shape},
     'it keeps batch_stats beside its parameters'),
    ({'apply': _dense(lambda n: n, lambda site: site.name, dtype=jnp.float16),
      'count_parameters': lambda self, shape, options: 30},
     'its parameters and outputs must be float32'),
    ({'fan_in': lambda self, shape: shape[0] / 2},
     'it states 12.0 multiply-adds, no whole number from 0 on'),
    ({'gives_map': True}, 'gives_map is True, but its outputs are (6,)'),
    ({'apply': lambda self, x, site: x['x']},
     'TypeError: '),
])
def test_a_layer_that_is_not_what_it_states(changes, problem):
  kind = frozen(type('Mine', (Gate,), {
      'name': 'mine', 'pattern': r'mine(\d+)',
      '__str__': lambda self: f'mine{self.units}', **changes}))
  shallow_mimic.register(kind)
  with pytest.raises(UserError) as error:
    models.make_net('mine6-5', (4,), 3)
  message = str(error.value)
  assert message.startswith(
      'the layer "mine6" (mine, version 1) on inputs of shape (4,): '
      + problem), message
  assert message.endswith('; mend Mine')
  assert '\n' not in message


def test_a_kind_registered_anew_is_not_served_stale():
  before = models.make_net('gate6', (4,), 3)
  params = models.param_shapes(before)
  shallow_mimic.register(frozen(type('Gate', (Gate,), {
      'version': '2', 'count_parameters': lambda self, shape, options: 30,
      'apply': lambda self, x, site: nn.Dense(self.units, name=site.name)(x)})))
  after = models.make_net('gate6', (4,), 3)
  assert before != after
  assert models.count_parameters(after) == 30 + 21
  assert models.param_shapes(after)['gate_0']['kernel'].shape == (4, 6)
  assert params['gate_0']['kernel'].shape == (4, 12)
  assert models.find_registered(after.architecture) == {'gate': '2'}


@pytest.mark.parametrize(('text', 'ignored'), [
    ('250L-H', True), ('gate6-H', True), ('std-5', True), ('H-gate6', True),
    ('gate6-H-2-gate6-3L', True), ('H-std', False), ('std-H-gate6-H', True),
    ('H-gate6-std', True)])
def test_ignores_padding(text, ignored):
  """A layer norm of padded units is another one; one of a gate's is not."""
  assert models.ignores_padding(text, dropout_hidden=0.25) is ignored
