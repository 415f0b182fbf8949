"""A small family and its data, for the tests of what trains families."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from shallow_mimic import losses, models, training
from shallow_mimic.data import pools
from shallow_mimic.training import batches, family, objectives, program

FEATURES, CLASSES, ROWS = 6, 4, 40
SETS = ('train', 'train+generated')
TEACHERS = ('DNN', 'ECNN')
LOGITS = objectives.Objective('logit_regression')
LABELS = objectives.Objective('cross_entropy')
DECISIONS = objectives.Objective('pseudo_label')
SOFTENED = objectives.make_objective('distillation_kl', temperature=3.0)


def make_inputs(seed=0, dev=23):
  """Random data with two sets of inputs and two teachers."""
  rng = np.random.default_rng(seed)

  def normal(*shape):
    return rng.normal(size=shape).astype(np.float32)

  x = normal(ROWS, FEATURES)
  teachers = 3 * normal(len(TEACHERS), ROWS, CLASSES) + 1
  rows = np.zeros((2, ROWS), np.int32)
  rows[0, :25], rows[1] = np.arange(25), np.arange(ROWS)[::-1]
  data = batches.Data(
      pool=pools.Pool(x),
      labels=rng.integers(0, CLASSES, ROWS).astype(np.int32),
      targets=teachers, rows=rows, sizes=np.array([25, ROWS], np.int32),
  )
  normalizers = {
      (name, text): losses.LogitNormalizer.fit(
          teachers[t, rows[s, :data.sizes[s]]])
      for t, name in enumerate(TEACHERS) for s, text in enumerate(SETS)
  }
  return training.FamilyData(
      data, SETS, TEACHERS, normalizers, pools.Pool(normal(dev, FEATURES)),
      rng.integers(0, CLASSES, dev).astype(np.int32), CLASSES,
  )


def make_member(width, objective=LOGITS, **changes):
  """A student; one that learns from labels has no teacher."""
  member = family.Member(
      model='SNN', architecture='4L-H', width=width, seed=0,
      learning_rate=0.05, objective=objective, mixture='train+generated',
      teacher='' if objective == LABELS else 'ECNN',
      net_options=(('activation', 'relu'),),
  )
  return dataclasses.replace(member, **changes)


def mixed_family(**changes):
  """Widths, seeds, objectives, rates, sets and teachers that all differ."""
  return [
      make_member(3, LOGITS, weight_decay=0.05, **changes),
      make_member(17, LABELS, mixture='train', weight_decay=0.1, **changes),
      make_member(8, SOFTENED, seed=1, teacher='DNN', **changes),
      make_member(5, DECISIONS, learning_rate=0.02, **changes),
  ]


def make_settings(steps=8, **changes):
  """Settings of few steps; what a recipe has goes to the recipe."""
  recipe = {'steps': steps, 'batch': 8, 'optimizer': 'sgd', 'warmup': 0.4}
  names = {field.name for field in dataclasses.fields(training.Recipe)}
  recipe |= {name: changes.pop(name) for name in names & set(changes)}
  changes = {'eval_every': steps, 'waste': 1.0, 'devices': 1, **changes}
  return training.Settings(training.Recipe(**recipe), **changes)


def run_chunks(members, settings, bounds=()):
  """Parameters and mean losses of each member after all of the steps."""
  return _run_chunks(tuple(members), settings, bounds)


@functools.cache
def _run_chunks(members, settings, bounds):
  program = make_program(members, settings)
  # The program gives its states' memory away; the next run needs them too.
  states = jax.tree.map(jnp.copy, program.states)
  bounds = [0, *bounds, settings.recipe.steps]
  for start, stop in itertools.pairwise(bounds):
    states, means = program.chunk(
        states, program.hypers, program.data, np.int32(start), np.int32(stop))
  join = program.placement.join
  return split_up(program, members, join(states), join(means))


def make_program(members, settings):
  """The program of a family on `make_inputs()`, made once."""
  return _make_program(tuple(members), settings)


@functools.cache
def _make_program(members, settings):
  return program.make_program(members, make_inputs(), settings)


def split_up(program, members, states, means):
  """Members' own parameters and losses, in the family's order."""
  params, values = [None] * len(members), [None] * len(members)
  for bucket, state, mean in zip(program.buckets, states, means, strict=True):
    for place, index in enumerate(bucket.indices):
      params[index] = jax.device_get(family.unpad_member(
          bucket, members, place, state.params, (FEATURES,), CLASSES))
      values[index] = float(mean[place])
  return params, values


def closed_form_rate(step, steps, warmup):
  """The schedule by hand, float64: linear to 1, then a cosine to 0."""
  rise = max(1, round(warmup * steps))
  if step < rise:
    return 1 / rise + (1 - 1 / rise) * step / rise
  return 0.5 * (1 + np.cos(np.pi * (step - rise) / (max(steps, rise + 1)
                                                      - rise)))


def scale_by_optax_muon(momentum):
  """Optax's own, after Nesterov's momentum; Adam for output and biases."""

  def is_matrix(params):
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf.ndim > 1 and 'output' not in
        jax.tree_util.keystr(path), params)

  def dimensions(params):
    return jax.tree.map(
        lambda leaf, matrix: optax.contrib.MuonDimensionNumbers(
            tuple(range(leaf.ndim - 1)), leaf.ndim - 1) if matrix else None,
        params, is_matrix(params))

  return optax.chain(
      optax.masked(optax.trace(momentum, nesterov=True), is_matrix),
      optax.contrib.muon(
          1.0, beta=0.0, nesterov=False, consistent_rms=0.2,
          muon_weight_dimension_numbers=dimensions),
      optax.scale(-1.0))


def train_alone(member, inputs, settings):
  """One student without any of the machinery: init, apply, optax, a loop."""
  recipe, data = settings.recipe, inputs.data
  net = models.make_net(
      member.architecture.replace('H', str(member.width)), (FEATURES,), CLASSES,
      **dict(member.net_options))
  key = jax.random.fold_in(jax.random.key(settings.base_seed), member.seed)
  params = jax.jit(net.init)(
      jax.random.fold_in(jax.random.fold_in(key, 0), member.width))
  key = jax.random.fold_in(key, 1)
  transform = optax.chain(
      optax.clip_by_global_norm(recipe.clip) if recipe.clip
      else optax.identity(),
      {'adam': optax.scale_by_adam,
       'muon': lambda: scale_by_optax_muon(recipe.momentum),
       'sgd': lambda: optax.trace(recipe.momentum)}[recipe.optimizer](),
      optax.add_decayed_weights(
          member.weight_decay, jax.tree.map(lambda p: p.ndim > 1, params)),
  )
  which = SETS.index(member.mixture)
  own, size = jnp.asarray(data.rows[which]), data.sizes[which]
  drops = any('dropout' in name for name, _ in member.net_options)

  @jax.jit
  def advance(params, opt, step, rate):
    draw = jax.random.fold_in(key, step)
    rows = own[jax.random.randint(draw, (recipe.batch,), 0, size)]
    drop = jax.random.fold_in(jax.random.fold_in(key, 1), step)
    wanted = wanted_of(member, inputs, rows)

    def loss_of(p):
      outputs = net.apply(p, jnp.asarray(data.pool.x)[rows],
                          dropout_key=drop if drops else None)
      return jnp.mean(alone_loss(member.objective, outputs, wanted))

    loss, gradient = jax.value_and_grad(loss_of)(params)
    direction, opt = transform.update(gradient, opt, params)
    return jax.tree.map(lambda p, d: p - rate * d, params, direction), opt, loss

  opt, total = transform.init(params), 0.0
  for step in range(recipe.steps):
    rate = np.float32(member.learning_rate * closed_form_rate(
        step, recipe.steps, recipe.warmup))
    params, opt, loss = advance(params, opt, step, rate)
    total += float(loss)
  return jax.device_get(params), total / recipe.steps


def wanted_of(member, inputs, rows):
  """What the objective compares with: labels or (normalised) logits."""
  if member.objective == LABELS:
    return jnp.asarray(inputs.data.labels)[rows]
  logits = jnp.asarray(inputs.data.targets)[
      TEACHERS.index(member.teacher), rows]
  if member.objective == LOGITS:
    mean, std = inputs.normalizers[member.teacher, member.mixture]
    return (logits - mean[None]) / std[None]
  return logits


def alone_loss(objective, outputs, wanted):
  """The four objectives from their formulas, [B]."""
  if objective == LOGITS:
    return 0.5 * jnp.sum((outputs - wanted) ** 2, -1)
  if objective == SOFTENED:
    t = objectives.find_constants(objective)['temperature']
    p, log_q = jax.nn.softmax(wanted / t), jax.nn.log_softmax(outputs / t)
    return t * t * jnp.sum(p * (jnp.log(p) - log_q), -1)
  labels = wanted if objective == LABELS else jnp.argmax(wanted, -1)
  return -jnp.take_along_axis(
      jax.nn.log_softmax(outputs), labels[:, None], 1)[:, 0]


def assert_close(got, want, **tolerance):
  """Two trees, leaf by leaf."""
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, **(tolerance or {'rtol': 2e-4, 'atol': 2e-5})), got, want)


def assert_same(got, want):
  """Two trees, bit by bit."""
  jax.tree.map(np.testing.assert_array_equal, got, want)
