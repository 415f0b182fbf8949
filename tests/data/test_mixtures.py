"""Sets of inputs by name: what a text means, in rows, and what is refused."""

import dataclasses

import numpy as np
import pytest

from shallow_mimic import errors, training
from shallow_mimic.data import mixtures
from shallow_mimic.data.dataset import Examples, make_dataset
from shallow_mimic.data.pools import Beside, Pool, Stacked, take
from shallow_mimic.data.utterances import Sequences
from shallow_mimic.training.family import Member
from shallow_mimic.training.objectives import Objective

KNOWN = {'train': 5, 'views': 3, 'generated': 8}


def make_data():
  """Inputs that say where they come from: 100 · set + row."""

  def part(first, n, label):
    return Examples(
        (first + np.arange(n, dtype=np.float32))[:, None],
        np.full(n, label, np.int32))

  return make_dataset(
      name='toy', classes=3, train=part(0, 5, 1), dev=part(900, 2, 0),
      test=part(950, 2, 0),
      transfer={'views': part(100, 3, 2), 'generated': part(200, 8, -1)})


def test_parse():
  assert mixtures.parse_inputs('train+views+generated[:4]', KNOWN) == [
      ('train', None), ('views', None), ('generated', 4)]
  assert mixtures.parse_inputs('generated', KNOWN) == [('generated', None)]
  assert mixtures.parse_inputs('generated[:8]', KNOWN) == [('generated', 8)]


@pytest.mark.parametrize(('text', 'message'), [
    ('', "inputs '': cannot read ''; write sets as"
     ' train+views+generated[:4000]'),
    ('train+', "inputs 'train+': cannot read ''; write sets as"
     ' train+views+generated[:4000]'),
    ('train[4]', "inputs 'train[4]': cannot read 'train[4]'; write sets as"
     ' train+views+generated[:4000]'),
    ('train views', "inputs 'train views': cannot read 'train views'; write"
     ' sets as train+views+generated[:4000]'),
    ('train+dev', "inputs 'train+dev': there is no set 'dev'; known: train,"
     ' views, generated'),
    ('views[:4]', "inputs 'views[:4]': 'views' has 3 inputs, not 4"),
    ('views[:0]', "inputs 'views[:0]': 'views' has 3 inputs, not 0"),
    ('train+train[:2]', "inputs 'train+train[:2]': 'train' stands there"
     ' twice')])
def test_refusals(text, message):
  with pytest.raises(errors.UserError) as error:
    mixtures.parse_inputs(text, KNOWN)
  assert str(error.value) == message


def test_the_layout_holds_what_any_text_needs_in_the_order_of_the_sets():
  texts = ['generated[:2]+train[:3]', 'generated[:6]', 'train[:1]']
  layout = mixtures.make_layout(texts, KNOWN)
  assert layout.sets == (('train', 3), ('generated', 6))
  assert layout.rows == 9
  whole = mixtures.make_layout(['views', 'views[:1]'], KNOWN)
  assert whole.sets == (('views', 3),)


@pytest.mark.parametrize(('text', 'values'), [
    ('train', [0, 1, 2, 3, 4]),
    ('views+train[:2]', [100, 101, 102, 0, 1]),
    ('train+views+generated[:4]',
     [0, 1, 2, 3, 4, 100, 101, 102, 200, 201, 202, 203])])
def test_rows_are_the_inputs_named(text, values):
  dataset = make_data()
  known = mixtures.set_sizes(dataset)
  assert known == KNOWN
  layout = mixtures.make_layout([text, 'generated[:6]', 'train'], known)
  rows = mixtures.layout_rows(text, layout, dataset)
  pool, labels = mixtures.gather(dataset, layout)
  assert rows.dtype == np.int32
  np.testing.assert_array_equal(pool.x[rows, 0], values)
  expected = {0: 1, 1: 2, 2: -1}
  np.testing.assert_array_equal(
      labels[rows], [expected[value // 100] for value in values])


@pytest.mark.parametrize('memory', [0, 10 ** 6])
def test_gathering_lines_logits_up_with_their_inputs(memory):
  """Each teacher labelled its own sets; its logits here are their inputs."""
  dataset = make_data()

  def member(text, teacher, name):
    return Member(
        'SNN', 'H', 3, 0, 0.1, Objective(name), text, teacher)

  members = [
      member('views+train[:2]', 'A', 'logit_regression'),
      member('train+generated[:3]', 'B', 'distillation_kl'),
      member('train[:2]', '', 'cross_entropy'),
  ]
  x = {name: part.x for name, part in mixtures.known_sets(dataset).items()}
  logits = {name: rows + np.arange(3, dtype=np.float32)[None]
            for name, rows in x.items()}
  targets = {
      'A': {'generated': logits['generated'][:1], 'views': logits['views'],
            # In parts, and more of them than any member asks for.
            'train': Stacked([logits['train'][:1], logits['train'][1:4]])},
      'B': {'train': logits['train'], 'generated': logits['generated']}}
  got = training.gather_family_data(members, dataset, targets, memory)
  assert got.data.pool.streamed == isinstance(got.data.targets, Beside) == (
      memory < 10 ** 3)
  if got.data.pool.streamed:
    got = got._replace(data=got.data._replace(
        pool=Pool(got.data.pool.x.join()), targets=got.data.targets.join()))
  assert got.sets == tuple(m.mixture for m in members)
  assert got.teachers == ('A', 'B')
  np.testing.assert_array_equal(got.data.sizes, [5, 8, 2])
  for place, teacher in ((0, 0), (1, 1)):
    rows = got.data.rows[place, :got.data.sizes[place]]
    np.testing.assert_array_equal(
        got.data.targets[teacher, rows, 2], got.data.pool.x[rows, 0] + 2)
  # What A never saw is not a number, not some other row's logits.
  unseen = np.isin(got.data.pool.x[:, 0], [4, 201, 202])
  np.testing.assert_array_equal(np.isnan(got.data.targets[0, :, 0]), unseen)
  (pair, normalizer), = got.normalizers.items()
  assert pair == ('A', 'views+train[:2]')
  values = np.array([100., 101, 102, 0, 1])[:, None] + np.arange(3.)[None]
  np.testing.assert_allclose(normalizer.mean, values.mean(0), rtol=1e-6)
  np.testing.assert_allclose(normalizer.std, values.std(0), rtol=1e-6)


@pytest.mark.parametrize('name', ['logit_regression', 'blended'])
def test_nobody_trains_on_targets_of_zeros(name):
  member = Member('SNN', 'H', 3, 0, 0.1, Objective(name), 'train')
  with pytest.raises(errors.UserError) as error:
    training.gather_family_data([member], make_data(), {})
  assert str(error.value) == (
      f'SNN has no teacher; the loss {name!r} needs one')


def test_a_limit_inside_an_utterance_takes_no_neighbour_away():
  x = np.arange(8., dtype=np.float32).reshape(8, 1, 1)

  def part(rows):
    return Examples(rows, np.zeros(len(rows), np.int32))

  dataset = make_dataset(
      name='toy', classes=1, train=part(x), dev=part(x), test=part(x), reach=2,
      sequences={split: Sequences(np.array([3, 8]), np.zeros(2, np.int32),
                                  np.array([1, 2]), ('a', 'b'))
                 for split in ('train', 'dev', 'test')})
  members = [Member('SNN', 'H', 3, 0, 0.1, Objective('cross_entropy'),
                    'train[:5]', '')]
  got = training.gather_family_data(members, dataset, {})
  rows = got.data.rows[0, :got.data.sizes[0]]
  np.testing.assert_array_equal(
      take(got.data.pool, rows),
      take(dataset.pool('train'), np.arange(5)))


def test_a_fold_is_left_out_with_the_views_that_come_from_it():
  dataset = dataclasses.replace(make_data(), folds={
      'train': np.array([0, 1, 2, 1, 0]),
      'transfer.views': np.array([1, 0, 2])})
  layout = mixtures.make_layout(['train+views+generated[:2]'], KNOWN)
  pool, _ = mixtures.gather(dataset, layout)

  def values(text):
    return list(
        pool.x[mixtures.layout_rows(text, layout, dataset), 0])

  assert values('train+views+generated[:2]!1') == [0, 2, 4, 101, 102, 200, 201]
  assert values('train!0') == [1, 2, 3]
  with pytest.raises(errors.UserError) as error:
    values('train+views!3')
  assert str(error.value) == (
      "inputs 'train+views!3': fold 3 is none of theirs, or all of them; the"
      ' data have 3 folds (config.data.folds)')


# What a net depends on -------------------------------------------------------


def make_folded(**changes):
  made = make_data()
  parts = {'train': made.train, 'dev': made.dev, 'test': made.test,
           'transfer': made.transfer, 'folds': {
               'train': np.arange(5) % 2, 'transfer.views': np.arange(3) % 2}}
  return make_dataset(name='toy', classes=3, **(parts | changes))


@pytest.mark.parametrize(('texts', 'keys'), [
    (['train'], {'train'}),
    (['train+views[:2]'], {'train', 'transfer.views'}),
    (['train', 'generated[:3]'], {'train', 'transfer.generated'}),
    (['train!1'], {'train', 'folds.train'}),
    (['train+views+generated!0', 'train'],
     {'train', 'transfer.views', 'transfer.generated', 'folds.train',
      'folds.transfer.views'}),
    ([], set())])
def test_a_net_depends_on_its_own_sets(texts, keys):
  made = make_folded()
  found = mixtures.identify_data(made, texts)
  assert found == {
      'classes': 3, 'dev': made.digests['dev'],
      **{key: made.digests[key] for key in keys}}
  more = mixtures.identify_data(made, texts, splits=('dev', 'test'))
  assert more == {**found, 'test': made.digests['test']}


@pytest.mark.parametrize('texts', [['train'], ['views[:2]', 'train!1']])
def test_what_a_net_does_not_use_changes_nothing_for_it(texts):
  before = make_folded()
  other = before.transfer['generated']
  after = make_folded(
      test=Examples(before.test.x + 1, before.test.y),
      transfer={'new': other, 'views': before.transfer['views'],
                'generated': other._replace(x=other.x + 1)},
      folds={'train': np.arange(5) % 2, 'transfer.views': np.arange(3) % 3})
  assert mixtures.identify_data(before, texts) == mixtures.identify_data(
      after, texts)
  for changes in ({'train': Examples(before.train.x + 1, before.train.y)},
                  {'dev': Examples(before.dev.x + 1, before.dev.y)}):
    assert mixtures.identify_data(before, texts) != mixtures.identify_data(
        make_folded(**changes), texts)


def test_a_fold_that_is_left_out_is_part_of_it():
  before, after = make_folded(), make_folded(folds={
      'train': np.arange(5) % 3, 'transfer.views': np.arange(3) % 2})
  for text, same in (('train', True), ('train!0', False), ('views!0', True)):
    one, other = (mixtures.identify_data(made, [text])
                  for made in (before, after))
    assert (one == other) == same


def test_mixtures_of_unknown_sets_are_refused():
  with pytest.raises(errors.UserError, match="there is no set 'new'"):
    mixtures.identify_data(make_data(), ['train+new'])
