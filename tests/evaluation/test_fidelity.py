"""Which metrics a student gets on which split, against direct evaluation."""

import functools

import jax
import numpy as np
import pytest
import small_family as small
import tiny_experiment

from shallow_mimic import configs, ensembles, evaluation, training
from shallow_mimic.data.dataset import Examples, make_dataset
from shallow_mimic.evaluation import fidelity
from shallow_mimic.training import family

NAMES = ('ECNN', 'DNN', 'LATER')
MEMBERS = (small.make_member(7), small.make_member(7, small.LABELS),
           small.make_member(7, teacher='DNN'))


@functools.cache
def make_case():
  """Data of 40 training rows, whose logits are kept behind those of views."""
  rng = np.random.default_rng(0)

  def draw(count):
    return Examples(
        rng.normal(size=(count, small.FEATURES)).astype(np.float32),
        rng.integers(0, small.CLASSES, count))

  dataset = make_dataset(
      name='made', classes=small.CLASSES, train=draw(small.ROWS), dev=draw(9),
      test=draw(11))

  def logits(count):
    return 3 * rng.normal(
        size=(count, small.CLASSES)).astype(np.float32)

  counts = {'ECNN': {'views': 5, 'train': small.ROWS},
            'DNN': {'train': small.ROWS - 1}, 'LATER': {}}
  targets = {name: {key: logits(count) for key, count in sets.items()}
             for name, sets in counts.items()}
  theirs = {split: {name: logits(count) for name in NAMES}
            for split, count in (('dev', 9), ('test', 11))}
  return dataset, targets, theirs


def judge(independent):
  dataset, targets, theirs = make_case()
  bench = fidelity.make_bench(dataset, targets, theirs, independent, 0)
  net = family.member_net(MEMBERS[0], (small.FEATURES,), small.CLASSES)
  params = jax.vmap(net.init)(jax.random.split(jax.random.key(1), 3))
  inputs = small.make_inputs()
  values, bins = fidelity.judge(
      net, params, MEMBERS,
      [training.choose_normalizer(m, inputs) for m in MEMBERS], bench)
  return net, params, bench, values, bins


def test_train_is_judged_where_the_teachers_logits_were_kept():
  _, _, bench, values, _ = judge({})
  assert bench.unknown == {'DNN', 'LATER'}
  full = {'accuracy', 'nll', 'ece', 'loss', 'agreement', 'kl'}
  for value in values:
    assert set(value) == {'dev', 'test', 'train'}
    assert set(value['dev']) == set(value['test']) == full
  # Those of labels are compared to the first teacher, ECNN.
  assert [set(value['train']) for value in values] == [
      full, full, {'accuracy', 'nll', 'ece'}]
  assert all(np.isfinite(x) for v in values for s in v.values()
             for x in s.values())


def test_train_rows_meet_their_own_logits():
  net, params, _, values, _ = judge({})
  dataset, targets, _ = make_case()
  alone = jax.tree.map(lambda leaf: leaf[1], params)
  ours = evaluation.predict(net, alone, dataset.train.x).argmax(-1)
  theirs = targets['ECNN']['train'].argmax(-1)
  assert values[1]['train']['agreement'] == pytest.approx(
      np.mean(ours == theirs))
  assert values[1]['train']['accuracy'] == pytest.approx(
      np.mean(ours == dataset.train.y))


def test_independent_teachers_are_compared_to_on_dev_and_test():
  net, params, _, values, _ = judge({'ECNN': 'LATER', '': 'LATER'})
  dataset, _, theirs = make_case()
  extra = {'agreement_independent', 'kl_independent'}
  for value, has in zip(values, (True, True, False), strict=True):
    for split in ('dev', 'test'):
      assert extra & set(value[split]) == (extra if has else set())
    assert not extra & set(value['train'])  # LATER labelled no training input
  alone = jax.tree.map(lambda leaf: leaf[1], params)
  ours = evaluation.predict(net, alone, dataset.test.x).argmax(-1)
  assert values[1]['test']['agreement_independent'] == pytest.approx(
      np.mean(ours == theirs['test']['LATER'].argmax(-1)))


def test_bins_are_those_of_test():
  *_, values, bins = judge({})
  for value, found in zip(values, bins, strict=True):
    assert found.counts.shape == (15,) and found.counts.sum() == 11
    assert found.corrects.sum() == pytest.approx(
        11 * value['test']['accuracy'])
    assert float(found.value) == pytest.approx(value['test']['ece'])


def test_rows_of_train_are_fixed_and_at_most_ten_thousand():
  np.testing.assert_array_equal(fidelity.choose_rows(10_000, 3),
                                np.arange(10_000))
  rows = fidelity.choose_rows(25_000, 3)
  assert len(rows) == len(set(rows)) == 10_000
  assert (np.diff(rows) > 0).all() and rows.max() < 25_000
  np.testing.assert_array_equal(rows, fidelity.choose_rows(25_000, 3))
  assert (rows != fidelity.choose_rows(25_000, 4)).any()


def test_independent_shares_no_member():
  config = tiny_experiment.make_config()
  config.teachers.CNN = configs.make_teacher(architecture='8')
  config.ensembles.update({
      'ALL': configs.make_ensemble('DNN', 'CNN'),
      'DNN:1': configs.make_ensemble('DNN:1'),
      'CNN': configs.make_ensemble('CNN')})
  for name, expected in (
      ('', {}), ('CNN', {'': 'CNN', 'EDNN': 'CNN', 'DNN:1': 'CNN'}),
      ('DNN:1', {'': 'DNN:1', 'CNN': 'DNN:1'})):
    config.report.independent = name
    assert ensembles.find_independent(config) == expected
