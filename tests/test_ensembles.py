"""Tests of ensembles: against NumPy in float64, in any order, weighted."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from shallow_mimic import ensembles, errors, models
from shallow_mimic.data.dataset import Dataset, Examples
from shallow_mimic.evaluation import describe, metrics
from shallow_mimic.runs import files


def make_logits(teachers=4, rows=6, classes=5, scale=3.0):
  rng = np.random.default_rng(0)
  return (scale * rng.normal(size=(teachers, rows, classes))
          ).astype(np.float32)


def average(logits, space, weights=None):
  """The definition, in float64."""
  logits = logits.astype(np.float64)
  if space == 'logits':
    return np.average(logits, axis=0, weights=weights)
  return np.log(np.average(special.softmax(logits, axis=-1), axis=0,
                           weights=weights))


@pytest.mark.parametrize('space', ensembles.SPACES)
@pytest.mark.parametrize('weights', [None, [1, 2, 3, 4], [0, 0.5, 0, 0.25]])
def test_against_numpy(space, weights):
  logits = make_logits()
  ours = ensembles.ensemble_logits(logits, space, weights)
  assert ours.dtype == jnp.float32
  np.testing.assert_allclose(ours, average(logits, space, weights), rtol=2e-5,
                             atol=2e-6)


@pytest.mark.parametrize('space', ensembles.SPACES)
def test_any_leading_axes(space):
  logits = make_logits(3, 6, 5)
  flat = ensembles.ensemble_logits(logits, space)
  folded = ensembles.ensemble_logits(logits.reshape(3, 2, 3, 5), space)
  np.testing.assert_array_equal(folded.reshape(6, 5), flat)
  alone = ensembles.ensemble_logits(logits[:, 0], space)
  np.testing.assert_allclose(alone, flat[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('space', ensembles.SPACES)
@pytest.mark.parametrize('weights', [None, (1.0, 2.0, 3.0, 4.0)])
def test_order_does_not_matter_to_the_last_bit(space, weights):
  logits = make_logits(rows=50)
  logits[1] *= 1e3  # Sums of unlike sizes round.
  first = ensembles.ensemble_logits(logits, space, weights)
  for order in map(list, itertools.permutations(range(4))):
    theirs = weights and tuple(weights[i] for i in order)
    np.testing.assert_array_equal(
        ensembles.ensemble_logits(logits[order], space, theirs), first)


def test_one_teacher_is_itself():
  logits = make_logits(1)
  np.testing.assert_array_equal(ensembles.ensemble_logits(logits), logits[0])
  np.testing.assert_allclose(
      ensembles.ensemble_logits(logits, 'probabilities'),
      special.log_softmax(logits[0], axis=-1), rtol=1e-5, atol=1e-6)


def test_scale_of_weights_does_not_matter():
  logits = make_logits()
  np.testing.assert_allclose(
      ensembles.ensemble_logits(logits, weights=[2, 2, 2, 2]),
      ensembles.ensemble_logits(logits), rtol=1e-6, atol=1e-7)


def test_impossible_classes_have_exact_logarithms():
  logits = np.array([[[0.0, 500.0]], [[0.0, 600.0]]], np.float32)
  ours = ensembles.ensemble_logits(logits, 'probabilities')
  np.testing.assert_allclose(ours, [[-500 - np.log(2), 0]], rtol=1e-6)


@pytest.mark.parametrize('space', ensembles.SPACES)
def test_weights_may_be_traced(space):
  logits = np.random.default_rng(0).normal(size=(3, 2, 5)).astype(np.float32)
  weights = np.array([1, 0, 3], np.float32)

  def run(w):
    return ensembles.ensemble_logits(logits, space, w)

  np.testing.assert_allclose(jax.jit(run)(weights), run(weights), rtol=1e-6)
  with pytest.raises(ValueError, match=r'weights must be \[3\]'):
    jax.jit(run)(weights[:2])


def test_the_spaces_differ():
  logits = np.array([[[4.0, 0.0]], [[-1.0, 0.0]]], np.float32)
  ours = ensembles.ensemble_logits(logits)
  np.testing.assert_allclose(ours, [[1.5, 0.0]])
  theirs = ensembles.ensemble_logits(logits, 'probabilities')
  p = (1 / (1 + np.exp(-4.0)) + 1 / (1 + np.exp(1.0))) / 2
  np.testing.assert_allclose(theirs, [[np.log(p), np.log(1 - p)]], rtol=1e-6)


@pytest.mark.parametrize('shape', [(3,), (0, 3)])
def test_shapes_that_are_no_logits(shape):
  with pytest.raises(ValueError) as error:
    ensembles.ensemble_logits(np.zeros(shape))
  assert str(error.value) == f'logits must be [T, …, C] with T > 0, got {shape}'


def test_unknown_space():
  with pytest.raises(ValueError) as error:
    ensembles.ensemble_logits(np.zeros((2, 3)), 'votes')
  assert str(error.value) == (
      "unknown space 'votes'; known: logits, probabilities")


@pytest.mark.parametrize('weights', [[1, 2, 3], [[1, 2]], 1.0])
def test_weights_of_another_shape(weights):
  with pytest.raises(ValueError) as error:
    ensembles.ensemble_logits(np.zeros((2, 3)), weights=weights)
  assert str(error.value) == (
      'weights must be [2], one a teacher, got'
      f' {np.asarray(weights).shape}')


@pytest.mark.parametrize('weights', [
    [0, 0], [1, -1], [2, -1], [np.nan, 1], [np.inf, 1]])
def test_weights_of_no_use(weights):
  with pytest.raises(ValueError) as error:
    ensembles.ensemble_logits(np.zeros((2, 3)), weights=weights)
  assert str(error.value) == (
      'weights must be finite, not negative and not all 0, got'
      f' {np.asarray(weights, np.float64)}')


@pytest.fixture(name='dataset')
def make_dataset():
  rng = np.random.default_rng(3)
  parts = [Examples(rng.normal(size=(n, 4)).astype(np.float32),
                    (np.arange(n) % 3).astype(np.int32)) for n in (8, 7, 9)]
  return Dataset(name='made', classes=3, train=parts[0], dev=parts[1],
                 test=parts[2], transfer={}, preprocessing={},
                 digests={}, fitted=None)


def make_nets():
  small = models.make_net('5', (4,), 3)
  large = models.make_net('6-7', (4,), 3)

  def teacher(net, seed, digest):
    return ensembles.Teacher(
        net, net.init(jax.random.key(seed)), digest)

  return {'A:0': teacher(small, 0, 'x'), 'B:0': teacher(large, 1, 'y')}


def test_what_is_written(tmp_path, dataset):
  nets = make_nets()
  identity = ensembles.write_ensemble(tmp_path, 'E', 'logits', nets, dataset)
  for split, part in (('dev', dataset.dev), ('test', dataset.test)):
    theirs = np.mean([one.net.apply(one.params, jnp.asarray(part.x))
                      for one in nets.values()], axis=0)
    ours = ensembles.read_ensemble_logits(tmp_path, split)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
  record = files.read_json(tmp_path / 'record.json')
  assert (record['role'], record['model']) == ('ensemble', 'E')
  assert record['architecture'] == '2 × 5, 6-7'
  assert record['parameters'] == (4 * 5 + 5 + 5 * 3 + 3) + (
      4 * 6 + 6 + 6 * 7 + 7 + 7 * 3 + 3)
  assert record['learning_rate'] is None
  assert record['objective'] == ''  # It minimises nothing.
  logits = ensembles.read_ensemble_logits(tmp_path, 'test')
  assert record['metrics']['test']['accuracy'] == pytest.approx(
      np.mean(logits.argmax(-1) == dataset.test.y))
  assert identity == ensembles.identify('logits', nets) == {
      'space': 'logits', 'teachers': {'A:0': 'x', 'B:0': 'y'}}


def test_no_members(tmp_path, dataset):
  with pytest.raises(errors.UserError) as error:
    ensembles.write_ensemble(tmp_path, 'E', 'logits', {}, dataset)
  assert str(error.value) == "the ensemble 'E' has no members"


def make_folds():
  """Four teachers: two held out fold 0, one fold 1, one nothing."""
  net = models.make_net('5', (4,), 3)
  return [ensembles.Teacher(net, net.init(jax.random.key(i)), str(i), fold)
          for i, fold in enumerate((0, 1, 0, None))]


@pytest.mark.parametrize('space', ensembles.SPACES)
def test_an_input_is_labelled_by_those_who_never_saw_it(dataset, space):
  teachers, x = make_folds(), dataset.test.x
  folds = np.array([0, 1, 2, -1, 0, 1, -1, 0, 2])
  got = ensembles.apply_ensemble(teachers, x, space, folds, batch=4)
  said = [np.asarray(one.net.apply(one.params, x)) for one in teachers]
  if space == 'probabilities':
    said = [np.asarray(jax.nn.softmax(logits)) for logits in said]
  for row, fold in enumerate(folds):
    who = {0: [0, 2], 1: [1]}.get(fold, [0, 1, 2, 3])
    want = np.mean([said[i][row] for i in who], axis=0)
    want = np.log(want) if space == 'probabilities' else want
    np.testing.assert_allclose(got[row], want, rtol=2e-5, atol=1e-6)
  everyone = ensembles.apply_ensemble(teachers, x, space, batch=4)
  np.testing.assert_array_equal(got[folds == -1], everyone[folds == -1])
  assert not np.allclose(got[folds == 0], everyone[folds == 0])


def test_who_held_out_what_is_part_of_an_ensemble(tmp_path, dataset):
  teachers = {f'CNN:{i}': one for i, one in enumerate(make_folds())}
  assert ensembles.write_ensemble(
      tmp_path, 'E', 'logits', teachers, dataset) == {
      'space': 'logits', 'teachers': {f'CNN:{i}': str(i) for i in range(4)},
      'held_out': {'CNN:0': 0, 'CNN:1': 1, 'CNN:2': 0}}


@pytest.mark.parametrize('space', ensembles.SPACES)
def test_mirrored_members_see_mirror_images(space):
  net = models.make_net('3c3-p2-5', (6, 5, 2), 4)
  names = ('CNN:0', 'CNN:1')
  plain = {name: ensembles.Teacher(net, net.init(jax.random.key(i)), str(i), i)
           for i, name in enumerate(names)}
  both = ensembles.add_mirrored(plain)
  assert list(both) == [*names, 'CNN:0 mirrored', 'CNN:1 mirrored']
  x = np.random.default_rng(0).normal(size=(7, 6, 5, 2)).astype(np.float32)
  views = (x, x[:, :, ::-1])
  said = np.stack([net.apply(one.params, view) for view in views
                   for one in plain.values()])
  wanted = np.asarray(ensembles.ensemble_logits(said, space))
  got = ensembles.apply_ensemble(list(both.values()), x, space, batch=4)
  np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
  assert not np.allclose(
      got, ensembles.apply_ensemble(list(plain.values()), x, space, batch=4))
  assert ensembles.identify(space, both) != ensembles.identify(space, plain)
  # A mirrored member held out what the member did.
  assert ensembles.labellers(list(both.values()), 1) == [1, 3]


def test_mirror_images_add_work_and_no_parameters():
  net = models.make_net('3c3-p2-5', (6, 5, 2), 4)
  teacher = ensembles.Teacher(net, net.init(jax.random.key(0)), 'a')
  values = {'dev': {'accuracy': 0.5}}
  bins = metrics.CalibrationBins(*np.zeros((3, 15), np.float32))
  once, twice = (
      describe.make_ensemble_record('E', list(members.values()), values, bins)
      for members in (
          {'CNN:0': teacher}, ensembles.add_mirrored({'CNN:0': teacher})))
  assert twice.parameters == once.parameters
  assert twice.multiply_adds == 2 * once.multiply_adds
  assert twice.architecture == '1 × 3c3-p2-5 (+ mirror images)'
