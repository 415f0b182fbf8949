"""The training step: schedule, batches, and each member as if alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_family as small

from shallow_mimic import losses, models, training
from shallow_mimic.data import pools
from shallow_mimic.training import (
  chunks,
  family,
  objectives,
  optimizers,
  parallel,
  program,
  step,
)
from shallow_mimic.training.step import make_batch_rows

CASES = {
    'sgd-relu': ({'optimizer': 'sgd'}, {'activation': 'relu'}),
    'adam-relu-clip': (
        {'optimizer': 'adam', 'clip': 0.1}, {'activation': 'relu'}),
    'adam-tanh-dropout': (
        {'optimizer': 'adam'},
        {'activation': 'tanh', 'dropout_hidden': 0.5, 'dropout_input': 0.25}),
    'muon-relu': (
        {'optimizer': 'muon', 'momentum': 0.8}, {'activation': 'relu'}),
    'sgd-sigmoid-clip-dropout': (
        {'optimizer': 'sgd', 'clip': 0.1, 'momentum': 0.5},
        {'activation': 'sigmoid', 'dropout_hidden': 0.5}),
}


def make_case(name):
  recipe, options = CASES[name]
  members = small.mixed_family(net_options=tuple(sorted(options.items())))
  # Dropout's random bits take long to compile: half of the family shows it.
  return (members[::2] if 'dropout' in name else members,
          small.make_settings(**recipe))


@pytest.mark.parametrize('name', CASES)
def test_each_member_is_the_student_trained_alone(name):
  members, settings = make_case(name)
  params, means = small.run_chunks(members, settings)
  for member, got, mean in zip(members, params, means, strict=True):
    want, loss = small.train_alone(member, small.make_inputs(), settings)
    small.assert_close(got, want)
    np.testing.assert_allclose(mean, loss, rtol=1e-4)


@pytest.mark.parametrize(('texts', 'options'), [
    (('H', 'H-H-H', '3c3-p2-4L-H'), {}),
    (('4L-H-H', '7-H'), {'activation': 'sigmoid', 'dropout_hidden': 0.5})])
def test_a_family_of_several_depths(texts, options):
  """Consecutive hidden layers are padded on both axes of their kernel."""
  members = [
      small.make_member(width, seed=place, architecture=text,
                        net_options=tuple(sorted(options.items())))
      for place, text in enumerate(texts) for width in (7, 3)]
  settings = small.make_settings()
  program = small.make_program(members, settings)
  assert {b.width for b in program.buckets} == ({3, 7} if options else {7})
  params, _ = small.run_chunks(members, settings)
  # The narrow ones are padded.
  for member, got in list(zip(members, params, strict=True))[1::2]:
    want, _ = small.train_alone(member, small.make_inputs(), settings)
    small.assert_close(got, want)


def test_each_member_is_its_family_of_one():
  members, settings = make_case('sgd-relu')
  params, means = small.run_chunks(members, settings)
  for member, got, mean in zip(members[:2], params, means, strict=False):
    (want,), (loss,) = small.run_chunks([member], settings)
    small.assert_close(got, want)
    np.testing.assert_allclose(mean, loss, rtol=1e-4)


def test_training_moves_every_parameter():
  """The comparisons above are not of parameters that stay where they were."""
  members, settings = make_case('sgd-relu')
  program = small.make_program(members, settings)
  first, _ = small.split_up(
      program, members, program.states,
      [np.zeros(len(b.indices)) for b in program.buckets])
  last, _ = small.run_chunks(members, settings)
  for before, after in zip(first, last, strict=True):
    jax.tree.map(lambda a, b: np.testing.assert_array_less(
        1e-4, np.abs(a - b).max()), before, after)


@pytest.mark.parametrize('rate', [1e30, np.inf])
def test_a_member_that_diverges_touches_no_other(rate):
  members, settings = make_case('sgd-relu')
  want = list(small.run_chunks(members, settings)[0])
  wild = [dataclasses.replace(m, learning_rate=rate) if i == 0 else m
          for i, m in enumerate(members)]
  got, means = map(list, small.run_chunks(wild, settings))
  assert not all(np.isfinite(x).all() for x in jax.tree.leaves(got[0]))
  del got[0], want[0]
  small.assert_same(got, want)
  assert np.isfinite(means[1:]).all()


def test_a_further_width_changes_no_other_member():
  members, settings = make_case('sgd-relu')
  more = [small.make_member(21, seed=3), *members]
  params = []
  for them in (members, more):
    program = small.make_program(them, settings)
    assert len(program.buckets) == 1
    params.append(small.split_up(
        program, them, program.states, [np.zeros(len(them))])[0])
  small.assert_same(params[1][1:], params[0])
  want, _ = small.run_chunks(members, settings)
  got, _ = small.run_chunks(more, settings)
  small.assert_close(got[1:], want)


@pytest.mark.parametrize(('steps', 'warmup'), [
    (100, 0.05), (40, 0.25), (7, 0.5), (10, 0.0), (3, 1.0), (1, 0.05)])
def test_schedule_in_closed_form(steps, warmup):
  factor = optimizers.make_schedule(
      training.Recipe(steps=steps, batch=1, warmup=warmup))
  got = [float(factor(step)) for step in range(steps)]
  want = [small.closed_form_rate(s, steps, warmup) for s in range(steps)]
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)
  assert 0 < min(got) and max(got) <= 1


def make_hyper(member, base_seed=0):
  inputs = small.make_inputs()
  bucket = family.make_buckets(
      [member], (small.FEATURES,), small.CLASSES, batch=8, waste=0)[0]
  hypers = program.make_hypers(
      bucket, [member], [member.objective], inputs, base_seed)
  return jax.tree.map(lambda leaf: leaf[0], hypers)


def draw(member, step, base_seed=0, batch=64):
  return np.asarray(make_batch_rows(
      make_hyper(member, base_seed),
      jax.tree.map(jnp.asarray, small.make_inputs().data), step, batch))


def test_batches_are_a_function_of_seed_and_step():
  base = draw(small.make_member(3), 5)
  others = [
      small.make_member(17),
      small.make_member(3, small.LABELS, learning_rate=1.0, weight_decay=1.0),
  ]
  for member in others:
    np.testing.assert_array_equal(draw(member, 5), base)
  assert (draw(small.make_member(3), 6) != base).any()
  assert (draw(small.make_member(3, seed=1), 5) != base).any()
  assert (draw(small.make_member(3), 5, base_seed=1) != base).any()


def test_batches_come_from_the_members_own_set_and_from_all_of_it():
  whole = draw(small.make_member(3), 0, batch=800)
  part = draw(small.make_member(3, mixture='train'), 0, batch=800)
  assert set(whole) == set(range(small.ROWS))
  assert set(part) == set(range(25))


def test_weight_decay_is_for_kernels():
  net = models.make_net('3', (2,), 2)
  params = jax.tree.map(jnp.ones_like, net.init(jax.random.key(0)))
  recipe = training.Recipe(steps=10, batch=4, optimizer='sgd', warmup=0.1)
  inputs = small.make_inputs()
  data = inputs.data._replace(
      pool=pools.Pool(jnp.zeros((small.ROWS, 2))),
      targets=jnp.zeros((1, small.ROWS, 2)))
  hyper = make_hyper(small.make_member(3, weight_decay=0.25))._replace(
      learning_rate=jnp.float32(0.5), teacher=jnp.int32(0),
      normalizer=losses.LogitNormalizer(jnp.zeros(2), jnp.ones(2)))
  update = step.make_update_fn(
      net, [objectives.Objective('pseudo_label')], recipe)
  state = step.init_state(recipe, params)._replace(params=params)
  new, _ = jax.jit(update)(state, hyper, jax.tree.map(jnp.asarray, data), 0)
  # Inputs of zeros: the first kernel has no gradient, only decay.
  np.testing.assert_allclose(
      new.params['hidden_0']['kernel'], 1 - 0.5 * 0.25, rtol=1e-6)
  # Both logits are equal, so biases move by the gradient's ±½ alone.
  np.testing.assert_allclose(
      new.params['output']['bias'], [1 + 0.25, 1 - 0.25], rtol=1e-6)


def test_clip_is_each_members_own():
  """Clipping by the family's common norm would shrink all but one to none."""
  members, settings = make_case('adam-relu-clip')
  loud = [dataclasses.replace(members[0], learning_rate=1e6), *members[1:]]
  want, _ = small.run_chunks(members, settings)
  got, _ = small.run_chunks(loud, settings)
  small.assert_same(got[1:], want[1:])


@pytest.mark.parametrize('bounds', [(2, 3, 7)])
def test_chunk_boundaries_do_not_matter(bounds):
  members, settings = make_case('adam-relu-clip')
  want, _ = small.run_chunks(members, settings)
  got, _ = small.run_chunks(members, settings, bounds)
  small.assert_same(got, want)


@pytest.mark.parametrize('group', [1, 3])
def test_the_size_of_groups_does_not_matter(group):
  members, settings = make_case('adam-relu-clip')
  objectives = tuple(dict.fromkeys(m.objective for m in members))
  results = []
  for size in (group, len(members)):
    program = small.make_program(members, settings)
    update = step.make_update_fn(
        program.buckets[0].net, objectives, settings.recipe)
    states = jax.tree.map(jnp.copy, program.states)
    chunk = parallel.make_single(chunks.make_chunk_fn([update], [size]))
    states, means = chunk(states, program.hypers, program.data,
                          np.int32(0), np.int32(settings.recipe.steps))
    results.append(small.split_up(program, members, states, means))
  small.assert_close(*results)


def test_a_family_of_several_buckets_is_the_same_family():
  members, settings = make_case('sgd-relu')
  narrow = dataclasses.replace(settings, waste=0.0)
  assert len(small.make_program(members, narrow).buckets) == 4
  want = small.run_chunks(members, settings)
  small.assert_close(small.run_chunks(members, narrow), want)


@pytest.mark.parametrize(('options', 'expected'), [
    ((), False), ((('activation', 'relu'),), False),
    ((('dropout_hidden', 0.0),), False), ((('dropout_hidden', 0.1),), True),
    ((('activation', 'relu'), ('dropout_input', 0.5)), True)])
def test_has_dropout(options, expected):
  assert step.has_dropout(options) is expected
