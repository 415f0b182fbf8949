import gc
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import places
import pytest
from absl import logging
from machines import few_files

from shallow_mimic import errors
from shallow_mimic.runs import checkpoints, files, orbax_arrays, refusals

AGAIN = ', then run the same command again: what was finished is kept'
_ROOT = str(places.ROOT)


class Moments(NamedTuple):
  mu: dict
  nu: dict


def make_tree(seed=0):
  rng = np.random.default_rng(seed)
  params = {'w': rng.normal(size=(3, 4)), 'b': rng.normal(size=4)}
  params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)
  return {
      'params': params,
      'moments': Moments(params, {'only': params['w'].astype(jnp.bfloat16)}),
      'optimiser': optax.adam(0.1).init(params),
      'host': np.array([np.nan, -0.0, np.inf, seed]),
      'step': jnp.int32(seed),
      'mask': [np.array([True, False]), ()],
      'epoch': seed,
      'best': 0.5,
      'none': None,
      'empty': np.zeros((0, 3), np.int8),
      'key': jax.random.key(seed),
      'keys': jax.random.split(jax.random.key(seed, impl='rbg'), 2),
  }


def abstract(tree):
  return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype)
      if hasattr(x, 'dtype') else x, tree
  )


def describe(leaf):
  """Dtype, shape and bytes of any leaf."""
  dtype = getattr(leaf, 'dtype', None)
  if dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
    return str(dtype), leaf.shape, jax.random.key_data(leaf).tolist()
  array = np.asarray(leaf)
  return array.dtype, array.shape, array.tobytes()


def assert_same_bits(actual, expected):
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  assert jax.tree.map(describe, actual) == jax.tree.map(describe, expected)


def small(step):
  """A tree that tells which step it is."""
  return {'w': np.full((40, 30), step, np.float32), 'n': np.int32(step)}


@pytest.fixture
def directory(tmp_path):
  """Steps 10 and 20, both good."""
  for step in (10, 20):
    checkpoints.write_checkpoint(tmp_path / 'c', step, small(step))
  return tmp_path / 'c'


@pytest.fixture
def warnings_seen(monkeypatch):
  seen = []
  monkeypatch.setattr(
      logging, 'warning', lambda text, *args: seen.append(text % args)
  )
  return seen


def read_newest(folder, template):
  return checkpoints.read_checkpoint(folder, template)[1]


def names_in(folder):
  return sorted(path.name for path in folder.iterdir())


def files_of(folder):
  return sorted(path for path in folder.rglob('*') if path.is_file())


@pytest.mark.parametrize('make_template', [lambda tree: tree, abstract])
def test_round_trip(tmp_path, make_template):
  tree = make_tree(3)
  checkpoints.write_checkpoint(tmp_path, 7, tree)
  template = make_template(make_tree(0))
  step, back = checkpoints.read_checkpoint(tmp_path, template)
  assert step == 7
  assert_same_bits(back, tree)


@pytest.mark.parametrize('leaf', [
    np.arange(3), 2, 2.5, True, np.zeros((2, 0)), np.float32(1), 1j,
])
def test_bare_leaf(tmp_path, leaf):
  checkpoints.write_checkpoint(tmp_path, 0, leaf)
  step, back = checkpoints.read_checkpoint(tmp_path, leaf)
  assert step == 0
  assert_same_bits(back, leaf)


def test_no_steps_is_none(tmp_path):
  assert checkpoints.read_checkpoint(tmp_path, small(0)) is None
  assert checkpoints.read_checkpoint(tmp_path / 'absent', small(0)) is None
  assert checkpoints.steps(tmp_path / 'absent') == []


def test_steps_are_numbers_in_order(directory):
  checkpoints.write_checkpoint(directory, 100, small(100), keep=5)
  for name in ('007', '30.tmp', '.40', 'x', '-5', '٣'):
    (directory / name).mkdir()
  (directory / '50').write_text('not a folder', encoding='utf-8')
  assert checkpoints.steps(directory) == [10, 20, 100]


def test_relative_path(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  checkpoints.write_checkpoint('c', 1, small(1))
  assert checkpoints.steps(tmp_path / 'c') == [1]
  assert_same_bits(checkpoints.read_checkpoint('c', small(0)),
                   (1, small(1)))


@pytest.mark.parametrize('keep, left', [
    (1, [5]), (2, [4, 5]), (3, [3, 4, 5]), (9, [1, 2, 3, 4, 5]),
])
def test_keep(tmp_path, keep, left):
  for step in range(1, 6):
    checkpoints.write_checkpoint(tmp_path, step, small(step), keep=keep)
  assert checkpoints.steps(tmp_path) == left
  assert names_in(tmp_path) == [str(step) for step in left]


def test_writing_after_a_walk_back_keeps_what_it_wrote(directory):
  """A damaged newer step takes nobody's place among the kept ones."""
  (directory / '20' / 'digests.json').unlink()
  checkpoints.write_checkpoint(directory, 15, small(15), keep=1)
  assert checkpoints.steps(directory) == [15, 20]
  assert_same_bits(checkpoints.read_checkpoint(directory, small(0)),
                   (15, small(15)))
  checkpoints.write_checkpoint(directory, 25, small(25), keep=2)
  assert checkpoints.steps(directory) == [15, 25]


def test_same_step_is_replaced(directory):
  """Nothing of the old one is left, be it in TensorStore's caches."""
  assert_same_bits(read_newest(directory, small(0)), small(20))
  checkpoints.write_checkpoint(directory, 20, small(21))
  assert_same_bits(read_newest(directory, small(0)), small(21))
  assert names_in(directory) == ['10', '20']


def test_left_over_temporaries_are_removed(directory):
  for name in ('30.tmp', '30.tmp.orbax-checkpoint-tmp', '20.old.tmp'):
    (directory / name / 'd').mkdir(parents=True)
  checkpoints.write_checkpoint(directory, 30, small(30))
  assert names_in(directory) == ['20', '30']


@pytest.mark.parametrize('device', [0, 3])
def test_tree_on_one_of_several_devices(tmp_path, device):
  tree = jax.device_put(small(1), jax.devices()[device])
  checkpoints.write_checkpoint(tmp_path, 1, tree)
  assert_same_bits(read_newest(tmp_path, tree), small(1))


def test_tree_over_several_devices(tmp_path):
  mesh = jax.make_mesh((4,), ('D',), (jax.sharding.AxisType.Auto,))
  spec = jax.sharding.PartitionSpec
  tree = {
      'split': jax.device_put(
          np.arange(8.0), jax.NamedSharding(mesh, spec('D'))
      ),
      'copied': jax.device_put(np.ones(3), jax.NamedSharding(mesh, spec())),
  }
  checkpoints.write_checkpoint(tmp_path, 1, tree)
  assert_same_bits(read_newest(tmp_path, tree), tree)


def test_restored_tree_trains_on(tmp_path):
  """A donated, restored state steps to the same bits; nothing is aliased."""
  step = jax.jit(lambda tree: jax.tree.map(lambda x: x * 3 + 1, tree),
                 donate_argnums=0)
  tree = jax.tree.map(jnp.asarray, small(2))
  checkpoints.write_checkpoint(tmp_path, 1, tree)
  back = read_newest(tmp_path, tree)
  assert_same_bits(step(back), step(tree))
  assert_same_bits(back, small(2))


def test_empty_folder_is_no_step(directory, warnings_seen):
  (directory / '30').mkdir()
  assert_same_bits(checkpoints.read_checkpoint(directory, small(0)),
                   (20, small(20)))
  assert warnings_seen == [
      f'checkpoint {directory}/30 is damaged (unfinished: no digests.json):'
      ' using step 20'
  ]


def test_orbax_folder_without_digests_is_unfinished(directory, warnings_seen):
  (directory / '20' / 'digests.json').unlink()
  assert checkpoints.read_checkpoint(directory, small(0))[0] == 10
  assert 'no digests.json' in warnings_seen[0]


def test_good_step_is_read_without_a_word(directory, warnings_seen):
  assert checkpoints.read_checkpoint(directory, small(0))[0] == 20
  assert warnings_seen == []


def test_flipped_bit_that_orbax_restores_silently(directory, warnings_seen):
  """The trap that this module is for: shown, then avoided."""
  value = np.float32(20).tobytes() * 1200
  (hit,) = [path for path in files_of(directory / '20')
            if value in path.read_bytes()]
  data = hit.read_bytes()
  hit.write_bytes(flip(data, data.index(value) + 1))
  silent = orbax_arrays.read_arrays(directory / '20')["tree['w']"]
  assert np.sum(silent != 20) == 1
  assert_same_bits(checkpoints.read_checkpoint(directory, small(0)),
                   (10, small(10)))
  assert warnings_seen == [
      f'checkpoint {directory}/20 is damaged (file'
      f' {hit.relative_to(directory / "20")} is not what was written): using'
      ' step 10'
  ]


@pytest.mark.parametrize('change', [
    lambda array: np.nextafter(array, 99), lambda array: array.reshape(30, 40),
    lambda array: array.astype(np.float64), lambda array: array.view(np.int32),
])
def test_leaf_that_orbax_gives_back_changed(
    directory, warnings_seen, monkeypatch, change
):
  read = orbax_arrays.read_arrays
  def read_changed(folder):
    arrays = read(folder)
    if folder.name == '20':
      arrays["tree['w']"] = change(arrays["tree['w']"])
    return arrays
  monkeypatch.setattr(orbax_arrays, 'read_arrays', read_changed)
  assert checkpoints.read_checkpoint(directory, small(0))[0] == 10
  assert warnings_seen == [
      f"checkpoint {directory}/20 is damaged (leaf tree['w'] is not what was"
      ' written): using step 10'
  ]


def flip(data, place):
  if not data:
    return b'x'
  return data[:place] + bytes([data[place] ^ 4]) + data[place + 1:]


@pytest.mark.parametrize('damage', [
    lambda data: b'', lambda data: data[:-2],
    lambda data: data[:len(data) // 2], lambda data: flip(data, 0),
    lambda data: flip(data, len(data) // 3),
    lambda data: flip(data, len(data) - 1), lambda data: None,
], ids=['empty', 'cut', 'half', 'first', 'third', 'last', 'absent'])
def test_any_damage_to_any_file(directory, warnings_seen, capfd, damage):
  """The step before, one warning, and no chatter of Orbax's threads."""
  hurt = files_of(directory / '20')
  for path in hurt:
    data = path.read_bytes()
    damaged = damage(data)
    path.unlink() if damaged is None else path.write_bytes(damaged)
    assert_same_bits(checkpoints.read_checkpoint(directory, small(0)),
                     (10, small(10)))
    assert len(warnings_seen) == 1, path
    warnings_seen.clear()
    path.write_bytes(data)
  assert len(hurt) > 5
  assert checkpoints.read_checkpoint(directory, small(0))[0] == 20
  assert capfd.readouterr() == ('', '')


@pytest.mark.parametrize('data', [
    '', '[]', '3', '{}', '{"sha256": 1}', '{"leaves": {}, "digests": {}}',
])
def test_digests_of_another_form(directory, warnings_seen, data):
  (directory / '20' / 'digests.json').write_text(data, encoding='utf-8')
  assert checkpoints.read_checkpoint(directory, small(0))[0] == 10
  assert 'digests.json is not what was written' in warnings_seen[0]


def test_digests_of_another_step(directory):
  shutil.copy(directory / '10' / 'digests.json', directory / '20')
  assert checkpoints.read_checkpoint(directory, small(0))[0] == 10


def test_a_step_laid_in_under_another_number(directory, warnings_seen):
  """A step is its number, too: nothing goes on from a step of elsewhere."""
  shutil.copytree(directory / '10', directory / '30')
  assert_same_bits(checkpoints.read_checkpoint(directory, small(0)),
                   (20, small(20)))
  assert warnings_seen == [
      f'checkpoint {directory}/30 is damaged (of another net or step): using'
      ' step 20']


def write_foreign(directory, step):
  """Whole, intact, of equal shapes: all but its identity is ours."""
  checkpoints.write_checkpoint(directory, step, small(-step), identity='other')


def test_a_step_of_another_identity_is_passed_over(tmp_path, warnings_seen):
  checkpoints.write_checkpoint(tmp_path, 10, small(10), identity='ours')
  write_foreign(tmp_path, 20)
  assert_same_bits(
      checkpoints.read_checkpoint(tmp_path, small(0), identity='ours'),
      (10, small(10)))
  assert warnings_seen == [
      f'checkpoint {tmp_path}/20 is damaged (of another net or step): using'
      ' step 10']
  assert_same_bits(
      checkpoints.read_checkpoint(tmp_path, small(0), identity='other'),
      (20, small(-20)))


def test_steps_of_another_identity_alone_are_refused(tmp_path, warnings_seen):
  write_foreign(tmp_path, 20)
  for identity in ('ours', ''):
    with pytest.raises(errors.UserError) as caught:
      checkpoints.read_checkpoint(tmp_path, small(0), identity=identity)
    assert str(caught.value) == (
        f'no checkpoint in {tmp_path} is good (step 20: of another net or'
        ' step); delete that folder and run the same command again to start'
        ' this part anew')
  assert warnings_seen == []


def test_the_digests_cover_the_identity(tmp_path):
  write_foreign(tmp_path, 20)
  path = tmp_path / '20' / 'digests.json'
  record = json.loads(path.read_text(encoding='utf-8'))
  assert record['of'] == ['other', 20]
  path.write_text(json.dumps(record | {'of': ['ours', 20]}), encoding='utf-8')
  with pytest.raises(errors.UserError, match=r'digests\.json is not what was'):
    checkpoints.read_checkpoint(tmp_path, small(0), identity='ours')


def test_a_link_to_steps_of_elsewhere_is_not_written_through(
    directory, tmp_path):
  link, before = tmp_path / 'link', names_in(directory)
  link.symlink_to(directory)
  for call in (lambda: checkpoints.write_checkpoint(link, 30, small(30)),
               lambda: checkpoints.delete_checkpoints(link)):
    with pytest.raises(errors.UserError) as caught:
      call()
    assert str(caught.value) == (
        f'{link} is a link; put the folder itself in its place')
  assert names_in(directory) == before


def test_a_step_that_is_a_link_is_none(directory, tmp_path):
  """Neither read nor counted nor deleted."""
  (directory / '30').symlink_to(directory / '20')
  assert checkpoints.steps(directory) == [10, 20]
  assert checkpoints.read_checkpoint(directory, small(0))[0] == 20
  checkpoints.delete_checkpoints(directory)
  assert names_in(directory) == ['30']
  assert (directory / '30').is_symlink()


def test_steps_are_deleted_and_nothing_else(directory):
  for name in ('40.tmp', '20.old.tmp'):
    (directory / name).mkdir()
  (directory / 'mine.txt').write_text('mine', encoding='utf-8')
  checkpoints.delete_checkpoints(directory)
  assert names_in(directory) == ['mine.txt']
  (directory / 'mine.txt').unlink()
  checkpoints.delete_checkpoints(directory)
  assert not directory.exists()
  checkpoints.delete_checkpoints(directory)  # Already gone.


def test_two_damaged_steps_are_both_named(directory, warnings_seen):
  checkpoints.write_checkpoint(directory, 30, small(30), keep=3)
  for step in (20, 30):
    (directory / str(step) / 'digests.json').unlink()
  assert checkpoints.read_checkpoint(directory, small(0))[0] == 10
  assert [re.search(r'/(\d+) is.*step (\d+)$', line).groups()
          for line in warnings_seen] == [('30', '10'), ('20', '10')]


def test_no_good_step(directory, warnings_seen):
  for step in (10, 20):
    (directory / str(step) / 'digests.json').unlink()
  with pytest.raises(errors.UserError) as caught:
    checkpoints.read_checkpoint(directory, small(0))
  assert str(caught.value) == (
      f'no checkpoint in {directory} is good (step 20: unfinished: no'
      ' digests.json; step 10: unfinished: no digests.json); delete that folder'
      ' and run the same command again to start this part anew'
  )
  assert warnings_seen == []


@pytest.mark.parametrize('change, differs', [
    ({'w': np.zeros((40, 31), np.float32)},
     "['w'] is float32[40, 30] there and float32[40, 31] here"),
    ({'w': np.zeros((40, 30), np.float64)},
     "['w'] is float32[40, 30] there and float64[40, 30] here"),
    ({'w': jax.ShapeDtypeStruct((40, 30), jnp.bfloat16)},
     "['w'] is float32[40, 30] there and bfloat16[40, 30] here"),
    ({'n': 1}, "['n'] is int32[] there and int64[] here"),
    ({'n': np.zeros(1, np.int32)}, "['n'] is int32[] there and int32[1] here"),
    ({'x': np.zeros(2)}, "['x'] is absent there and float64[2] here"),
    ({'n': None}, "['n'] is int32[] there and absent here"),
])
def test_template_of_another_configuration(
    directory, warnings_seen, change, differs
):
  with pytest.raises(errors.UserError) as caught:
    checkpoints.read_checkpoint(directory, small(0) | change)
  assert str(caught.value) == (
      f'checkpoint {directory}/20 is of another configuration: leaf tree'
      f'{differs}; run with the configuration that wrote it or choose another'
      ' --workdir'
  )
  assert warnings_seen == []


def test_kinds_of_key_are_told_apart(tmp_path):
  checkpoints.write_checkpoint(tmp_path, 1, jax.random.key(0, impl='rbg'))
  for other in (jax.random.key(0), jax.random.key(0, impl='unsafe_rbg'),
                jax.random.PRNGKey(0)):
    with pytest.raises(errors.UserError, match=r'is key<rbg>\[\] there and'):
      checkpoints.read_checkpoint(tmp_path, other)


@pytest.mark.parametrize('arguments, message', [
    ((-1, 1.0, 2), 'need step >= 0 and keep >= 1, got -1 and 2'),
    ((1, 1.0, 0), 'need step >= 0 and keep >= 1, got 1 and 0'),
    ((1, {'a': None}, 1), "nothing to write: {'a': None} has no leaf"),
])
def test_write_refuses(tmp_path, arguments, message):
  step, tree, keep = arguments
  with pytest.raises(ValueError, match=f'^{re.escape(message)}$'):
    checkpoints.write_checkpoint(tmp_path / 'c', step, tree, keep=keep)
  assert names_in(tmp_path) == []


def test_write_refuses_text_before_it_touches_the_disk(tmp_path):
  with pytest.raises(TypeError, match=r"^leaf tree\['a'\] is <U1; a "):
    checkpoints.write_checkpoint(tmp_path / 'c', 1, {'a': 'x'})
  assert names_in(tmp_path) == []


def test_directory_that_cannot_be_made(tmp_path):
  (tmp_path / 'file').write_text('', encoding='utf-8')
  with pytest.raises(errors.UserError) as caught:
    checkpoints.write_checkpoint(tmp_path / 'file' / 'c', 1, small(1))
  assert str(caught.value) == (
      f'cannot write {tmp_path}/file/c/1: Not a directory; move the file'
      f' {tmp_path}/file away{AGAIN}'
  )


def test_directory_that_cannot_be_listed(tmp_path, monkeypatch):
  def refuse(path):
    raise PermissionError(13, 'Permission denied')
  monkeypatch.setattr(os, 'scandir', refuse)
  with pytest.raises(refusals.RefusedError) as caught:
    checkpoints.steps(tmp_path)
  assert str(caught.value) == (
      f'cannot read {tmp_path}: Permission denied; get the right to read'
      f' {tmp_path}, or choose another folder{AGAIN}'
  )


FEW = 'Too many open files; raise the limit on open files (`ulimit -n`, now 64)'


# One more each time: opening fails here, in Orbax, in asyncio, in TensorStore.
def test_too_many_open_files_are_not_damage(directory, warnings_seen):
  """No older step is used, and no finished one is to be deleted."""
  refused = 0
  for count in range(99):
    try:
      with few_files(count):
        found = checkpoints.read_checkpoint(directory, small(0))
    except refusals.RefusedError as error:
      assert FEW in str(error)
      refused += 1
    else:
      break
  assert refused > 3
  assert_same_bits(found, (20, small(20)))
  assert warnings_seen == []


def test_digests_that_cannot_be_opened_are_not_damage(
    directory, warnings_seen, monkeypatch):
  def refuse(path):
    raise refusals.RefusedError(f'cannot read {path}')
  monkeypatch.setattr(files, 'read_sealed', refuse)
  line = f'^cannot read {directory}/20'
  with pytest.raises(refusals.RefusedError, match=line):
    checkpoints.read_checkpoint(directory, small(0))
  assert warnings_seen == []


def test_too_many_open_files_keep_what_was_written(directory):
  refused = 0
  for count in range(99):
    # Threads of a write that failed may be at work still.
    copy = shutil.copytree(directory, directory.with_name(str(count)))
    try:
      with few_files(count):
        checkpoints.write_checkpoint(copy, 30, small(30))
    except refusals.RefusedError as error:
      assert str(error) == f'cannot write {copy}/30: {FEW}{AGAIN}'
      assert checkpoints.read_checkpoint(copy, small(0))[0] == 20
      refused += 1
    else:
      break
  assert refused > 3
  assert names_in(copy) == ['20', '30']


@pytest.mark.parametrize('error', [
    MemoryError('std::bad_alloc'), RuntimeError("can't start new thread")])
def test_a_machine_without_memory_or_threads_is_not_damage(
    directory, warnings_seen, monkeypatch, error):
  def restore(*args, **kwargs):
    raise error
  monkeypatch.setattr(ocp.Checkpointer, 'restore', restore)
  with pytest.raises(type(error), match=re.escape(str(error))):
    checkpoints.read_checkpoint(directory, small(0))
  assert warnings_seen == []


@pytest.mark.parametrize('leaves', [1, 60])
def test_what_is_deleted_during_a_write_is_not_made_again(
    tmp_path, capfd, monkeypatch, leaves):
  """Nor told of in a hundred lines of threads and futures."""
  tree = {f'x{number}': np.ones((40, 30)) for number in range(leaves)}
  root, save = tmp_path / 'run', ocp.Checkpointer.save

  def delete_first(self, *args, **kwargs):
    os.replace(root, tmp_path / 'moved')
    shutil.rmtree(tmp_path / 'moved')
    return save(self, *args, **kwargs)

  root.mkdir()
  checkpoints.write_checkpoint(root / 'c', 1, tree)
  monkeypatch.setattr(ocp.Checkpointer, 'save', delete_first)
  with pytest.raises(refusals.RefusedError) as caught:
    checkpoints.write_checkpoint(root / 'c', 2, tree)
  assert str(caught.value) == (
      f'cannot write {root}/c/2: No such file or directory; {root} was deleted'
      ' or moved: put it back, or run the same command again to make it anew')
  del caught
  gc.collect()  # Futures tell of themselves as they go.
  assert not root.exists()
  assert capfd.readouterr() == ('', '')


def test_no_folder_above_the_directory_is_made(tmp_path):
  with pytest.raises(errors.UserError, match=f'{tmp_path}/gone was deleted'):
    checkpoints.write_checkpoint(tmp_path / 'gone' / 'c', 1, small(1))
  assert names_in(tmp_path) == []


@pytest.mark.parametrize('size', [30_000, 30, 10_000_000])
def test_full_disk(tmp_path, capfd, size):
  """64 KiB: the old step stays, the message is one line, space is freed."""
  mount = subprocess.run(
      ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', tmp_path],
      capture_output=True, check=False,
  )
  if mount.returncode:
    pytest.skip(f'needs root to mount a small tmpfs: {mount.stderr.decode()}')
  try:
    checkpoints.write_checkpoint(tmp_path / 'c', 1, small(1))
    # With little left, Orbax fails in its own small files instead.
    free = shutil.disk_usage(tmp_path).free
    (tmp_path / 'ballast').write_bytes(b'x' * (free - 8192 if size < 99 else 0))
    with pytest.raises(errors.UserError) as caught:
      checkpoints.write_checkpoint(
          tmp_path / 'c', 2, np.ones(size)
      )
    assert str(caught.value) == (
        f'cannot write {tmp_path}/c/2: No space left on device; free some space'
        ' or choose another folder to write to, then run the same command'
        ' again: what was finished is kept'
    )
    assert names_in(tmp_path / 'c') == ['1']
    assert_same_bits(checkpoints.read_checkpoint(tmp_path / 'c', small(0)),
                     (1, small(1)))
    assert capfd.readouterr() == ('', '')
  finally:
    subprocess.run(['umount', tmp_path], check=True)


def run_python(code, *arguments, **kwargs):
  return subprocess.Popen(
      [sys.executable, '-W', 'ignore', '-c', code, *map(str, arguments)],
      cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      env=os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': ''}, **kwargs,
  )


# Forks before JAX starts its threads; child N kills itself at the N-th thing
# that Python does to the disk while it writes step 30 (or 20 once more).
_KILL = """
import os, pathlib, shutil, signal, sys
import numpy as np
import orbax.checkpoint
from shallow_mimic.runs import checkpoints

source, step, stride = pathlib.Path(sys.argv[1]), int(sys.argv[2]), 3
tree = {'w': np.full((40, 30), step, np.float32), 'n': np.int32(step)}
kill_at = 1
while True:
  copy = shutil.copytree(source, source.with_name(f'{step}-{kill_at}'))
  child = os.fork()
  if not child:
    seen = 0
    def count(event, arguments):
      global seen
      if event.startswith(('os.', 'open', 'shutil.')) and any(
          place in str(argument) for argument in arguments
          for place in (str(copy), '/proc/self/fd')):
        seen += 1
        if seen == kill_at:
          os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    checkpoints.write_checkpoint(copy, step, tree)
    os._exit(0)
  if not os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
    break
  kill_at += stride
"""


@pytest.mark.parametrize('step', [20, 30])
def test_killed_anywhere_during_a_write(directory, warnings_seen, step):
  process = run_python(_KILL, directory, step)
  assert process.communicate(timeout=100)[1].count('Error') == 0
  copies = sorted(directory.parent.glob(f'{step}-*'))
  used = []
  for copy in copies:
    last, back = checkpoints.read_checkpoint(copy, small(0))
    assert_same_bits(back, small(last))
    used.append(last)
  assert len(copies) > 8
  assert warnings_seen == []  # No half-written step has a step's name.
  # Step 20 is away for an instant while it is replaced by itself.
  assert set(used) == {20, 30} if step == 30 else set(used) <= {10, 20}
  checkpoints.write_checkpoint(copies[0], step, small(step))
  assert names_in(copies[0]) == (['10', '20'] if step == 20 else ['20', '30'])


_TWO_PROCESSES = """
import sys, time
import jax
import numpy as np
from shallow_mimic.runs import checkpoints

port, index, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3]
jax.distributed.initialize(f'localhost:{port}', 2, index)
tree = {'w': jax.numpy.arange(3.0)}
checkpoints.write_checkpoint(directory, 1, tree)
if index == 0:
  checkpoints.write_checkpoint(directory, 2, tree)
while 2 not in checkpoints.steps(directory):
  time.sleep(0.01)
step, back = checkpoints.read_checkpoint(directory, tree)
print(jax.process_count(), step, float(np.sum(back['w'])))
"""


def test_two_processes_one_writes_and_both_read(tmp_path):
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    port = probe.getsockname()[1]
  processes = [run_python(_TWO_PROCESSES, port, index, tmp_path)
               for index in (0, 1)]
  for process in processes:
    out, err = process.communicate(timeout=60)
    assert out == '2 2 3.0\n', err
  assert names_in(tmp_path) == ['1', '2']


def test_digests_file_tells_what_is_inside(directory):
  record = json.loads((directory / '20' / 'digests.json').read_text(
      encoding='utf-8'))
  assert record['leaves'] == {
      "tree['w']": 'float32[40, 30]', "tree['n']": 'int32[]',
  }
  assert record['digests'].keys() == record['leaves'].keys()
