"""Tests of trained nets on disk: what each is made from, and is it that one."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import small_family
from work_dirs import find, flip_bit, list_names, read_all, reseal

from shallow_mimic import errors, models, register, training
from shallow_mimic.runs import files, kept, workdir
from shallow_mimic.training import family, kept_nets, objectives
from shallow_mimic.training.fit import Fitted
from shallow_mimic.training.kept_nets import Wanted

SHAPE, CLASSES = (small_family.FEATURES,), small_family.CLASSES
DATA = {'train': 'ab', 'dev': 'cd'}

# A change of every field that a net's description has to show …
MEMBER = {
    'architecture': '3L-H', 'width': 9, 'seed': 3, 'learning_rate': 0.07,
    'objective': small_family.SOFTENED, 'mixture': 'train',
    'weight_decay': 0.5, 'net_options': (('activation', 'tanh'),)}
RECIPE = {'steps': 9, 'batch': 7, 'optimizer': 'adam', 'momentum': 0.5,
          'warmup': 0.1, 'clip': 2.0}
SETTINGS = {'eval_every': 3, 'base_seed': 5}
# … and the fields that change no bit of a net that is trained in its family:
# names; how a family is packed, over which devices, when it is saved, and
# whether its inputs are streamed. Its teacher is described as its targets.
UNSEEN = {
    'model': 'other', 'teacher': 'other', 'waste': 0.1, 'bucket_overhead': 3,
    'split': 'batch', 'devices': 2, 'save_seconds': 9.0, 'memory_gib': 0.5}


def names_of(kind):
  return {field.name for field in dataclasses.fields(kind)}


def describe(member=None, settings=None, data=None, targets='t', **changes):
  """A net's description, with one field of whatever has it changed."""
  member = member or small_family.make_member(5)
  settings = settings or small_family.make_settings()
  for name, value in changes.items():
    if name in names_of(family.Member):
      member = dataclasses.replace(member, **{name: value})
    elif name in names_of(training.Recipe):
      settings = dataclasses.replace(settings, recipe=dataclasses.replace(
          settings.recipe, **{name: value}))
    else:
      settings = dataclasses.replace(settings, **{name: value})
  return kept_nets.describe_net(member, settings, data or DATA, targets)


def make_wanted(slot='teachers/CNN/0', **changes):
  member = small_family.make_member(
      5, **{name: value for name, value in changes.items()
            if name in names_of(family.Member)})
  return Wanted(slot, member, describe(**changes))


def make_fitted(wanted, seed=0):
  """A net with random parameters of its shapes."""
  net = family.member_net(wanted.member, SHAPE, CLASSES)
  return Fitted(jax.device_get(net.init(jax.random.key(seed))), 0.5, 8, False,
                [4, 8], [0.25, 0.5], [1.0, float('nan')])


def write(root, wanted, seed=0, **options):
  fitted = make_fitted(wanted, seed)
  kept_nets.write_net(root, wanted, fitted, 'round',
                      {'said.json': {'a': 1}}, **options)
  return fitted


def read(root, wanted):
  return kept_nets.read_net(root, wanted, SHAPE, CLASSES)


def refused(call, *arguments):
  with pytest.raises(errors.UserError) as error:
    call(*arguments)
  assert '\n' not in str(error.value)
  return str(error.value)


# What a net is made from ----------------------------------------------------


def test_every_field_is_described_or_said_to_change_no_bit():
  """A new field fails here, until someone says which it is."""
  assert names_of(family.Member) == (MEMBER.keys() | UNSEEN.keys()) & names_of(
      family.Member) and MEMBER.keys() <= names_of(family.Member)
  assert names_of(training.Recipe) == RECIPE.keys()
  assert names_of(training.Settings) == {'recipe'} | SETTINGS.keys() | (
      UNSEEN.keys() - names_of(family.Member))
  assert names_of(objectives.Objective) == {'name', 'constants', 'version'}


@pytest.mark.parametrize(('name', 'value'), {
    **MEMBER, **RECIPE, **SETTINGS}.items())
def test_what_changes_bits_makes_another_net(name, value):
  assert describe() != describe(**{name: value})
  assert json.loads(json.dumps(describe())) == describe()


@pytest.mark.parametrize(('name', 'value'), UNSEEN.items())
def test_what_changes_no_bit_makes_the_same_net(name, value):
  assert describe() == describe(**{name: value})


def test_data_and_targets_are_part_of_a_net():
  assert describe() != describe(data={**DATA, 'train': 'xy'})
  assert describe() != describe(targets='other')
  assert 'targets' not in kept_nets.describe_net(
      small_family.make_member(5), small_family.make_settings(), DATA)


def test_constants_and_registered_versions_are_part_of_a_net():
  def of(**constants):
    return describe(objective=objectives.make_objective(
        'blended', **constants))
  assert of(temperature=2.0) != of(temperature=3.0)
  assert of(temperature=2.0, alpha=0.5) == of(temperature=2.0)
  assert 'registered' not in describe()
  seen = []
  for version in ('1', '2'):
    training.LossSpec.registry.remove('mine') if seen else None
    register(training.LossSpec(
        name='mine', version=version,
        function=lambda outputs, targets, labels: outputs.sum(-1)))
    seen.append(describe(objective=objectives.make_objective('mine')))
  assert seen[0] != seen[1]
  assert [one['registered'] for one in seen] == [{'mine': '1'}, {'mine': '2'}]


# On disk --------------------------------------------------------------------


def test_a_net_comes_back_to_the_bit(tmp_path):
  wanted = make_wanted()
  fitted = write(tmp_path, wanted)
  identity, back = read(tmp_path, wanted)
  assert identity == {'made_from': wanted.digest,
                      'params': kept_nets.digest_params(fitted.params)}
  small_family.assert_same(back.params, fitted.params)
  assert repr(back[1:]) == repr(fitted[1:])  # There is a nan.
  root = kept_nets.check_net(tmp_path, wanted)
  assert root.family == 'round' and root.identity == identity
  assert list_names(tmp_path / wanted.slot) == [
      'done.json', 'fitted.json', 'params.npz', 'said.json']


def test_equal_nets_are_equal_bytes(tmp_path):
  for name in 'ab':
    (tmp_path / name).mkdir()
    write(tmp_path / name, make_wanted())
  assert read_all(tmp_path / 'a') == read_all(tmp_path / 'b')


def test_parameters_may_be_left_out(tmp_path):
  wanted = make_wanted('students/search/SNN/a')
  write(tmp_path, wanted, with_params=False)
  assert kept_nets.require_net(tmp_path, wanted).identity == {
      'made_from': wanted.digest}
  assert not (tmp_path / wanted.slot / 'params.npz').exists()


def test_a_net_that_is_not_there(tmp_path):
  for slot, stage in (('teachers/CNN/0', 'teachers'),
                      ('realignments/1/net', 'teachers'),
                      ('students/search/SNN/a', 'students'),
                      ('students/final/SNN/a', 'students')):
    wanted = make_wanted(slot)
    assert kept_nets.check_net(tmp_path, wanted) is None
    with pytest.raises(workdir.UnfinishedError) as error:
      kept_nets.require_net(tmp_path, wanted)
    assert str(error.value) == (f'{tmp_path}/{slot} is not finished; run the'
                                f' stage `{stage}` first')


@pytest.mark.parametrize(('changes', 'named'), [
    ({'learning_rate': 0.07}, 'learning_rate'), ({'seed': 3}, 'member_seed'),
    ({'steps': 9, 'momentum': 0.5, 'base_seed': 2}, 'momentum, seed, steps'),
    ({'data': {'train': 'ab', 'dev': 'x', 'more': 'y'}}, 'data'),
    ({'targets': 'other'}, 'targets'),
    ({'objective': small_family.SOFTENED}, 'constants, objective'),
    ({'net_options': (('activation', 'tanh'), ('dropout_hidden', 0.5))},
     'activation, dropout_hidden')], ids=str)
def test_another_recipe_in_our_slot_is_refused_by_its_fields(
    tmp_path, changes, named):
  write(tmp_path, make_wanted(**changes))
  before = read_all(tmp_path)
  message = (
      f'{tmp_path}/teachers/CNN/0 was trained with another {named}; set that'
      ' back, choose another --workdir, or say --redo=teachers: what no longer'
      f' fits is moved into {tmp_path}/old and trained anew')
  for call in (kept_nets.check_net, kept_nets.require_net, read):
    assert refused(call, tmp_path, make_wanted()) == message
  assert read_all(tmp_path) == before


@pytest.mark.parametrize('name', ['params.npz', 'fitted.json', 'said.json',
                                  'done.json'])
@pytest.mark.parametrize('missing', [False, True])
def test_a_spoilt_net_is_told(tmp_path, name, missing):
  wanted = make_wanted()
  write(tmp_path, wanted)
  path = tmp_path / wanted.slot / name
  path.unlink() if missing else flip_bit(path)
  for call in (kept_nets.check_net, read):
    line = refused(call, tmp_path, wanted)
    assert str(path) in line
    assert ('missing' in line) == missing
    assert 'run again to make it anew' in line


def test_a_file_of_another_net_is_told(tmp_path):
  ours, theirs = make_wanted(), make_wanted('teachers/CNN/1', seed=1)
  write(tmp_path, ours)
  write(tmp_path, theirs, seed=1)
  path = tmp_path / ours.slot / 'params.npz'
  path.write_bytes((tmp_path / theirs.slot / 'params.npz').read_bytes())
  assert refused(kept_nets.check_net, tmp_path, ours).startswith(
      f'{path} is damaged: ')


def test_parameters_are_those_that_the_identity_says(tmp_path):
  """Even where someone made the digest of the file fit."""
  ours, theirs = make_wanted(), make_wanted('teachers/CNN/1')
  write(tmp_path, ours)
  write(tmp_path, theirs, seed=1)
  folder = tmp_path / ours.slot
  (folder / 'params.npz').write_bytes(
      (tmp_path / theirs.slot / 'params.npz').read_bytes())
  reseal(folder / 'done.json', lambda tree: tree | {
      'files': {name: files.digest_file(folder / name)
                for name in tree['files']}})
  kept_nets.check_net(tmp_path, ours)
  assert refused(read, tmp_path, ours) == (
      f'{folder}/params.npz is damaged: its parameters are not those that the'
      f' net was finished with; delete {folder} and run again to make it anew')


def test_parameters_of_other_shapes_are_told(tmp_path):
  wanted = make_wanted()
  write(tmp_path, wanted)
  other = wanted._replace(member=dataclasses.replace(wanted.member, width=6))
  assert refused(read, tmp_path, other).startswith(
      f'cannot read {tmp_path}/{wanted.slot}/params.npz: ')
  assert np.prod(models.param_shapes(family.member_net(
      other.member, SHAPE, CLASSES))['output']['bias'].shape) == CLASSES


def test_a_net_is_not_read_through_a_link(tmp_path):
  wanted, outside = make_wanted(), tmp_path / 'outside'
  outside.mkdir()
  write(outside, wanted)
  before = read_all(outside)
  for link in ('teachers', 'teachers/CNN', 'teachers/CNN/0'):
    root = tmp_path / link.replace('/', '-')
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside / link)
    assert f'{root / link} is a link to ' in refused(
        kept_nets.check_net, root, wanted)
    # Not even where nobody looked before.
    assert f'{root / link} is a link' in refused(write, root, wanted)
  assert read_all(outside) == before


def test_a_net_that_was_half_written_is_none(tmp_path, monkeypatch):
  wanted = make_wanted()

  def stop(*_, **__):
    raise KeyboardInterrupt

  monkeypatch.setattr(kept, 'finish', stop)
  with pytest.raises(KeyboardInterrupt):
    write(tmp_path, wanted)
  assert kept_nets.check_net(tmp_path, wanted) is None
  monkeypatch.undo()
  write(tmp_path, wanted)
  assert find(tmp_path, 'teachers/CNN/*').name == '0'
  assert [path.name for path in (tmp_path / 'teachers/CNN').iterdir()] == ['0']
