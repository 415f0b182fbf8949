"""Tests of rounds: what is there is kept, the rest is trained, to equal bits.

Nets are trained by a stub whose result depends on all of the family, as the
last bits of real ones do, and which saves a checkpoint at every step.
"""

import os

import jax
import numpy as np
import pytest
import small_family
from work_dirs import flip_bit, list_names, read_all

from shallow_mimic import errors, models
from shallow_mimic.runs import checkpoints, files, kept
from shallow_mimic.training import family, kept_nets, rounds
from shallow_mimic.training.fit import Fitted
from shallow_mimic.training.kept_nets import Wanted

STEPS = 4
SHAPE, CLASSES = (small_family.FEATURES,), small_family.CLASSES
SETTINGS = small_family.make_settings(STEPS)


def want(place, **changes):
  """The net of a seed, and its slot."""
  member = small_family.make_member(3, seed=place, **changes)
  return Wanted(f'teachers/CNN/{place}', member, kept_nets.describe_net(
      member, SETTINGS, {'train': 'ab'}))


class Trainer:
  """Trains nets, and stops where it is told to.

  Attributes:
    calls: (places of the family, first step) of every call.
    stop_at: the step before which it stops; 0 for never.
  """

  def __init__(self, stop_at=0):
    self.calls, self.stop_at = [], stop_at

  def train(self, nets, directory, identity):
    template = {'sum': np.float64(0)}
    found = checkpoints.read_checkpoint(
        directory, template, identity=identity)
    step, state = found or (0, template)
    self.calls.append(([net.member.seed for net in nets], step))
    while step < STEPS:
      step += 1
      if step == self.stop_at:
        raise KeyboardInterrupt
      state = {'sum': state['sum'] * 1.1 + sum(
          net.member.learning_rate * (1 + net.member.seed) for net in nets)}
      checkpoints.write_checkpoint(directory, step, state, identity=identity)
    return [Fitted(self.fill(net, float(state['sum'])), 0.5, 4, False, [4],
                   [0.5], [1.0]) for net in nets]

  def fill(self, net, value):
    shapes = models.param_shapes(
        family.member_net(net.member, SHAPE, CLASSES))
    return jax.tree.map(
        lambda leaf: np.full(leaf.shape, value + net.member.seed, leaf.dtype),
        shapes)

  def judge(self, nets, trained):
    return [{'said.json': {'seed': net.member.seed, 'accuracy': one.accuracy}}
            for net, one in zip(nets, trained, strict=True)]

  def make(self, root, nets, *, replace=False, **changes):
    """Makes nets, or some places' nets; what was said."""
    said = []
    nets = [net if isinstance(net, Wanted) else want(net) for net in nets]
    work = rounds.Work('teachers CNN', self.train, self.judge,
                       SETTINGS.packing)._replace(**changes)
    rounds.Nets(nets, work, replace).make(root, said.append)
    return said


def make(root, nets, **options):
  """Makes nets: (calls of the training, what was said)."""
  trainer = Trainer()
  said = trainer.make(root, nets, **options)
  return trainer.calls, said


def cut_off(root, nets, stop_at, **options):
  """Begins to train nets, and is killed before a step."""
  trainer = Trainer(stop_at)
  with pytest.raises(KeyboardInterrupt):
    trainer.make(root, nets, **options)
  return trainer.calls


def refused(root, nets, **options):
  """The line that making nets is refused with; nothing has changed."""
  before, trainer = read_all(root), Trainer()
  with pytest.raises(errors.UserError) as error:
    trainer.make(root, nets, **options)
  assert '\n' not in str(error.value) and trainer.calls == []
  assert read_all(root) == before
  return str(error.value)


def read_nets(root):
  """The bytes of all nets."""
  return read_all(root / 'teachers')


def find_round(root):
  """The folder of the only round that is not ended."""
  [found] = [path.parent for path in (root / 'training').glob('*/checkpoints')]
  return found


# What is there is kept ------------------------------------------------------


def test_all_are_trained_as_one_family_and_kept(tmp_path):
  calls, said = make(tmp_path, (0, 1, 2))
  assert calls == [([0, 1, 2], 0)]
  assert said == ['teachers CNN: done']
  for place in (0, 1, 2):
    net = want(place)
    root = kept_nets.check_net(tmp_path, net)
    identity, fitted = kept_nets.read_net(tmp_path, net, SHAPE, CLASSES)
    assert root.identity == identity
    assert fitted.params['output']['bias'][0] != 0
    assert files.read_json(tmp_path / net.slot / 'said.json') == {
        'accuracy': 0.5, 'seed': place}
  # Of the training only its record is left.
  assert [name.partition('/')[2] for name in list_names(
      tmp_path / 'training')] == ['', 'started.json']


def test_what_is_there_is_verified_and_not_trained_again(tmp_path):
  make(tmp_path, (0, 1))
  before = read_all(tmp_path)
  assert make(tmp_path, (0, 1)) == ([], [
      'teachers CNN: there already, verified'])
  assert read_all(tmp_path) == before


def test_nets_that_are_added_are_trained_alone(tmp_path):
  make(tmp_path, (0, 1))
  before = read_nets(tmp_path)
  inode = os.stat(tmp_path / 'teachers/CNN/0/params.npz').st_ino
  calls, said = make(tmp_path, (0, 1, 2, 3))
  assert calls == [([2, 3], 0)]
  assert said == ['teachers CNN: 2 there already, verified; 2 to train',
                  'teachers CNN: done']
  after = read_nets(tmp_path)
  assert {path: after[path] for path in before} == before
  assert len(after) == 2 * len(before)
  assert os.stat(tmp_path / 'teachers/CNN/0/params.npz').st_ino == inode


def test_nets_that_are_removed_stay_on_disk(tmp_path):
  make(tmp_path, (0, 1, 2))
  before = read_all(tmp_path)
  assert make(tmp_path, (1,)) == ([], ['teachers CNN: there already, verified'])
  assert read_all(tmp_path) == before
  # And are there when they are wanted again.
  assert make(tmp_path, (0, 1, 2))[0] == []


def test_nets_are_trained_some_at_a_time(tmp_path):
  calls, said = make(tmp_path, (0, 1, 2), together=2)
  assert calls == [([0, 1], 0), ([2], 0)]
  assert said == ['teachers CNN: done']


def test_parameters_may_be_left_out(tmp_path):
  make(tmp_path, (0,), with_params=False)
  assert not (tmp_path / 'teachers/CNN/0/params.npz').exists()
  assert make(tmp_path, (0,), with_params=False)[0] == []


# Equal bits -----------------------------------------------------------------


@pytest.mark.parametrize('gone', [(0,), (1, 2), (0, 1, 2)])
def test_a_net_that_was_deleted_is_made_again_in_its_family(tmp_path, gone):
  make(tmp_path, (0, 1, 2))
  make(tmp_path, (0, 1, 2, 3))
  before = read_all(tmp_path)
  for place in gone:
    for path in (tmp_path / f'teachers/CNN/{place}').iterdir():
      path.unlink()
    (tmp_path / f'teachers/CNN/{place}').rmdir()
  inode = os.stat(tmp_path / 'teachers/CNN/3/params.npz').st_ino
  calls, _ = make(tmp_path, (0, 1, 2, 3))
  assert calls == [([0, 1, 2], 0)]
  assert read_all(tmp_path) == before
  assert os.stat(tmp_path / 'teachers/CNN/3/params.npz').st_ino == inode


def delete(root, place):
  kept.clear(root / f'teachers/CNN/{place}')


def test_a_net_whose_family_is_not_wanted_any_more_is_trained_alone(tmp_path):
  make(tmp_path, (0, 1, 2))
  delete(tmp_path, 1)
  before = read_nets(tmp_path)
  assert make(tmp_path, (1, 2))[0] == [([1], 0)]
  after = read_nets(tmp_path)
  assert {path: after[path] for path in before} == before
  assert kept_nets.check_net(tmp_path, want(1)).family != (
      kept_nets.check_net(tmp_path, want(2)).family)


def test_nets_deleted_of_two_families_are_made_again_in_both(tmp_path):
  make(tmp_path, (0, 1))
  make(tmp_path, (0, 1, 2, 3))
  before = read_all(tmp_path)
  delete(tmp_path, 1)
  delete(tmp_path, 2)
  assert sorted(make(tmp_path, (0, 1, 2, 3))[0]) == [
      ([0, 1], 0), ([2, 3], 0)]
  assert read_all(tmp_path) == before


@pytest.mark.parametrize('stop_at', [1, 2, STEPS])
def test_a_round_that_was_cut_off_goes_on(tmp_path, stop_at):
  root = tmp_path / 'run'
  for folder in (root, tmp_path / 'whole'):
    folder.mkdir()
  make(tmp_path / 'whole', (0, 1))
  cut_off(root, (0, 1), stop_at)
  assert make(root, (0, 1))[0] == [([0, 1], stop_at - 1)]
  assert read_all(root) == read_all(tmp_path / 'whole')


def test_a_round_is_ended_first_though_more_is_wanted_by_now(tmp_path):
  for name in ('whole', 'run'):
    (tmp_path / name).mkdir()
  make(tmp_path / 'whole', (0, 1))
  make(tmp_path / 'whole', (0, 1, 2))
  cut_off(tmp_path / 'run', (0, 1), 3)
  assert make(tmp_path / 'run', (0, 1, 2))[0] == [([0, 1], 2), ([2], 0)]
  assert read_all(tmp_path / 'run') == read_all(tmp_path / 'whole')


@pytest.mark.parametrize('written', [1, 2])
def test_a_round_killed_while_it_wrote_its_nets_goes_on(
    tmp_path, written, monkeypatch):
  for name in ('whole', 'run'):
    (tmp_path / name).mkdir()
  make(tmp_path / 'whole', (0, 1, 2))
  real, count = kept.write_whole, [0]

  def write_whole(*arguments, **options):
    if count[0] == written:
      raise KeyboardInterrupt
    count[0] += 1
    real(*arguments, **options)

  monkeypatch.setattr(kept, 'write_whole', write_whole)
  with pytest.raises(KeyboardInterrupt):
    make(tmp_path / 'run', (0, 1, 2))
  monkeypatch.undo()
  before = read_nets(tmp_path / 'run')
  calls, said = make(tmp_path / 'run', (0, 1, 2))
  assert calls == [([0, 1, 2], STEPS)]  # Only its last checkpoint is read.
  assert said[0] == (f'teachers CNN: {written} there already, verified;'
                     f' {3 - written} to train')
  after = read_nets(tmp_path / 'run')
  assert {path: after[path] for path in before} == before
  assert read_all(tmp_path / 'run') == read_all(tmp_path / 'whole')


# Whose a checkpoint is ------------------------------------------------------


@pytest.mark.parametrize('change', ['fewer', 'rate', 'packing'])
def test_a_round_of_other_nets_is_not_gone_on_with(tmp_path, change):
  cut_off(tmp_path, (0, 1), 3)
  nets, options = (0, 1), {}
  if change == 'fewer':
    nets = (0,)
  elif change == 'rate':
    nets = (0, want(1, learning_rate=0.3))
  else:
    options = {'packing': {'waste': 0.5}}
  calls, _ = make(tmp_path, nets, **options)
  assert [call[1] for call in calls] == [0]
  alone = tmp_path / 'alone'
  alone.mkdir()
  make(alone, nets, **options)
  assert read_nets(tmp_path) == read_nets(alone)


def test_another_packing_keeps_the_nets_that_are_there(tmp_path):
  make(tmp_path, (0, 1))
  assert make(tmp_path, (0, 1), packing={'waste': 0.5})[0] == []
  assert make(tmp_path, (0, 1, 2), packing={'waste': 0.5})[0] == [([2], 0)]


def lay_in(ours, theirs, step, number=None):
  """Puts a step of another round's checkpoints into ours."""
  target = ours / 'checkpoints' / str(number or step)
  (theirs / 'checkpoints' / str(step)).rename(target)


def test_a_foreign_checkpoint_laid_into_ours_is_passed_over(
    tmp_path, warnings):
  for name in ('whole', 'run', 'other'):
    (tmp_path / name).mkdir()
  make(tmp_path / 'whole', (0, 1))
  cut_off(tmp_path / 'run', (0, 1), 3)
  cut_off(tmp_path / 'other', (0, want(1, learning_rate=0.3)), 4)
  folder = find_round(tmp_path / 'run')
  lay_in(folder, find_round(tmp_path / 'other'), 3)
  assert make(tmp_path / 'run', (0, 1))[0] == [([0, 1], 2)]
  assert warnings == [
      f'checkpoint {folder}/checkpoints/3 is damaged (of another net or step):'
      ' using step 2']
  assert read_nets(tmp_path / 'run') == read_nets(tmp_path / 'whole')


def test_our_own_checkpoint_laid_in_as_a_later_step_is_passed_over(
    tmp_path, warnings):
  for name in ('whole', 'run'):
    (tmp_path / name).mkdir()
  make(tmp_path / 'whole', (0, 1))
  cut_off(tmp_path / 'run', (0, 1), 3)
  folder = find_round(tmp_path / 'run')
  lay_in(folder, folder, 1, number=STEPS)
  assert make(tmp_path / 'run', (0, 1))[0] == [([0, 1], 2)]
  assert len(warnings) == 1
  assert read_nets(tmp_path / 'run') == read_nets(tmp_path / 'whole')


def test_foreign_checkpoints_alone_are_refused(tmp_path):
  for name in ('run', 'other'):
    (tmp_path / name).mkdir()
  cut_off(tmp_path / 'run', (0, 1), 1)  # Before it saved anything.
  cut_off(tmp_path / 'other', (0, want(1, learning_rate=0.3)), 3)
  [ours] = (tmp_path / 'run/training').iterdir()
  (find_round(tmp_path / 'other') / 'checkpoints').rename(ours / 'checkpoints')
  with pytest.raises(errors.UserError) as error:
    make(tmp_path / 'run', (0, 1))
  assert str(error.value) == (
      f'no checkpoint in {ours}/checkpoints is good (step 2: of another net or'
      ' step; step 1: of another net or step); delete that folder and run the'
      ' same command again to start this part anew')
  checkpoints.delete_checkpoints(ours / 'checkpoints')
  assert make(tmp_path / 'run', (0, 1))[0] == [([0, 1], 0)]


def test_the_folder_of_another_round_is_told(tmp_path):
  for name in ('run', 'other'):
    (tmp_path / name).mkdir()
  cut_off(tmp_path / 'run', (0, 1), 3)
  cut_off(tmp_path / 'other', (0, want(1, learning_rate=0.3)), 3)
  ours, theirs = (find_round(tmp_path / name) for name in ('run', 'other'))
  ours.rename(tmp_path / 'away')
  theirs.rename(ours)
  assert refused(tmp_path / 'run', (0, 1)) == (
      f'{ours} holds the training of other nets than its name says; delete it')


@pytest.mark.parametrize('tree', [
    {}, {'nets': {'teachers/CNN/0': 'ab'}}, {'nets': 3}, {'nets': []},
    {'nets': {}}, {'nets': None}, {'nets': 'teachers/CNN/0'}], ids=str)
def test_a_sealed_record_of_another_shape_is_one_line(tmp_path, tree):
  make(tmp_path, (0, 1))
  [folder] = (tmp_path / 'training').iterdir()
  for packing in ({}, {'packing': SETTINGS.packing}):
    tree |= packing
    files.write_sealed(folder / 'started.json', tree)
    # Someone may even have given the folder the name that fits.
    for name in ('0' * 32, files.digest_json(tree)[:32]):
      folder = folder.rename(folder.with_name(name))
      if len(tree) < 2 or not isinstance(tree['nets'], dict) or (
          not tree['nets'] or name == '0' * 32):
        assert str(folder) in refused(tmp_path, (0, 1, 2))
      else:  # A round of other nets.
        assert make(tmp_path, (0, 1, 2))[0] == [([2], 0)]


@pytest.mark.parametrize('data', ['', '{', '[]', '{}', 'null', '3'])
def test_a_damaged_record_is_told(tmp_path, data):
  cut_off(tmp_path, (0, 1), 3)
  path = find_round(tmp_path) / 'started.json'
  path.write_text(data, encoding='utf-8')
  assert str(path) in refused(tmp_path, (0, 1))


def test_a_record_that_is_gone_is_no_hindrance(tmp_path):
  for name in ('whole', 'run'):
    (tmp_path / name).mkdir()
  make(tmp_path / 'whole', (0, 1))
  cut_off(tmp_path / 'run', (0, 1), 3)
  (find_round(tmp_path / 'run') / 'started.json').unlink()
  # The folder's name says whose its checkpoints are, as do these.
  assert make(tmp_path / 'run', (0, 1))[0] == [([0, 1], 2)]
  assert read_all(tmp_path / 'run') == read_all(tmp_path / 'whole')


def test_files_of_someone_else_in_a_rounds_folder_stay(tmp_path):
  cut_off(tmp_path, (0, 1), 3)
  folder = find_round(tmp_path)
  (folder / 'checkpoints/mine.txt').write_text('mine', encoding='utf-8')
  (tmp_path / 'training/mine.txt').write_text('mine', encoding='utf-8')
  assert make(tmp_path, (0, 1))[0] == [([0, 1], 2)]
  assert list_names(folder) == [
      'checkpoints', 'checkpoints/mine.txt', 'started.json']
  assert (tmp_path / 'training/mine.txt').exists()


@pytest.mark.parametrize('name', ['training', 'round', 'checkpoints'])
def test_a_round_is_not_trained_through_a_link(tmp_path, name):
  root, outside = tmp_path / 'run', tmp_path / 'outside'
  root.mkdir()
  cut_off(root, (0, 1), 3)
  folder = find_round(root)
  link = {'training': root / 'training', 'round': folder,
          'checkpoints': folder / 'checkpoints'}[name]
  link.rename(outside)
  link.symlink_to(outside)
  before, trainer = read_all(outside), Trainer()
  with pytest.raises(errors.UserError) as error:
    trainer.make(root, (0, 1))
  assert str(error.value).startswith(f'{link} is a link')
  assert read_all(outside) == before
  assert not (root / 'teachers').exists()


# Nets that do not fit -------------------------------------------------------


def test_another_recipe_in_our_slot_is_refused(tmp_path):
  make(tmp_path, (0, 1))
  assert refused(tmp_path, (0, want(1, learning_rate=0.3), 2)) == (
      f'{tmp_path}/teachers/CNN/1 was trained with another learning_rate; set'
      ' that back, choose another --workdir, or say --redo=teachers: what no'
      f' longer fits is moved into {tmp_path}/old and trained anew')


def test_what_does_not_fit_is_moved_aside_where_that_is_wanted(tmp_path):
  make(tmp_path, (0, 1, 2))
  before = read_nets(tmp_path)
  nets = (0, want(1, learning_rate=0.3), want(2, learning_rate=0.3))
  calls, said = make(tmp_path, nets, replace=True)
  assert calls == [([1, 2], 0)]
  assert said == [
      'teachers CNN: 2 nets no longer fit; they are moved, the first is now'
      f' {tmp_path}/old/1/teachers/CNN/1',
      'teachers CNN: 1 there already, verified; 2 to train',
      'teachers CNN: done']
  moved, after = read_all(tmp_path / 'old/1/teachers'), read_nets(tmp_path)
  for path, data in before.items():
    assert (after if path.parts[1] == '0' else moved)[path] == data
  assert len(moved) + len(after) == len(before) + 8
  assert make(tmp_path, nets, replace=True)[0] == []


def test_what_fits_is_not_moved(tmp_path):
  make(tmp_path, (0, 1))
  before = read_all(tmp_path)
  assert make(tmp_path, (0, 1), replace=True) == (
      [], ['teachers CNN: there already, verified'])
  assert read_all(tmp_path) == before


@pytest.mark.parametrize('replace', [False, True])
def test_a_damaged_net_is_refused(tmp_path, replace):
  """It is not moved aside: someone may want to mend it."""
  make(tmp_path, (0, 1))
  flip_bit(tmp_path / 'teachers/CNN/1/params.npz')
  assert refused(tmp_path, (0, 1, 2), replace=replace).startswith(
      f'{tmp_path}/teachers/CNN/1/params.npz is damaged: ')


def test_the_folder_of_another_net_is_refused(tmp_path):
  make(tmp_path, (0, 1))
  delete(tmp_path, 0)
  (tmp_path / 'teachers/CNN/1').rename(tmp_path / 'teachers/CNN/0')
  assert refused(tmp_path, (0,)).startswith(
      f'{tmp_path}/teachers/CNN/0 was trained with another member_seed; ')
