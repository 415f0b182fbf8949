"""Spreads a family's program over devices; the only user of pmap.

There are two ways to split the work:
  family  Each device trains its share of the members, without communication.
  batch   Each device takes its share of every batch, and the gradients are
          averaged.
Either gives the same result as one device. A split batch differs in two
things: dropout draws other units on each device, and a loss that relates the
examples of a batch to each other (DIST) sees one device's share of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from shallow_mimic import errors

AXIS = 'devices'
SPLITS = ('family', 'batch')


def choose_devices(count: int = 0) -> list[jax.Device]:
  """The first `count` devices, all of them for 0.

  Raises:
    UserError: there are fewer.
  """
  devices = jax.devices()
  if count > len(devices):
    raise errors.UserError(
        f'parallel.devices={count}, but this machine has {len(devices)}'
        f' {devices[0].platform} device(s); ask for fewer, or for 0 (all)'
    )
  return devices[:count or len(devices)]


def check_split(split: str, batch: int, devices: int) -> None:
  """UserError unless `split` is known and divides the batch evenly."""
  if split not in SPLITS:
    raise errors.UserError(
        f'unknown parallel.split {split!r}; known: {", ".join(SPLITS)}'
    )
  if split == 'batch' and batch % devices:
    raise errors.UserError(
        f'a batch of {batch} cannot be split over {devices} devices;'
        ' choose a multiple, or parallel.split=family'
    )


def average(tree: Any) -> Any:
  """Mean over devices; inside a batch split only."""
  return jax.lax.pmean(tree, AXIS)


def spread_key(key: jax.Array) -> jax.Array:
  """A key of this device's own; inside a batch split only."""
  return jax.random.fold_in(key, jax.lax.axis_index(AXIS))


def make_shard(devices: int) -> Callable[[jax.Array], jax.Array]:
  """Returns shard(rows [B]) -> [B / D], this device's part of a batch."""

  def shard(rows):
    size = rows.shape[0] // devices
    start = jax.lax.axis_index(AXIS) * size
    return jax.lax.dynamic_slice_in_dim(rows, start, size)

  return shard


def make_single(function: Callable) -> Callable:
  """Jits f(states, hypers, *shared); the old states' memory is reused."""
  return jax.jit(function, donate_argnums=0)


def make_family_split(function: Callable,
                      devices: Sequence[jax.Device]) -> Callable:
  """Pmaps f(states, hypers, *shared) over members: leaves are [D, S / D, …].

  Only states and hypers are split; what is shared goes whole to each device.
  """
  @functools.cache
  def mapped(shared_count):
    return jax.pmap(
        function, axis_name=AXIS, devices=devices, donate_argnums=0,
        in_axes=(0, 0) + (None,) * shared_count,
    )

  return lambda states, hypers, *shared: mapped(len(shared))(
      states, hypers, *shared
  )


def make_batch_split(function: Callable,
                     devices: Sequence[jax.Device]) -> Callable:
  """Pmaps f(states, hypers, *shared), whose updates `shard` and `average`.

  State has no device axis. `out_axes=None` takes the first device's result:
  a forgotten `average` would pass unseen, so tests hold a negative control.
  """
  @functools.cache
  def mapped(argument_count):
    def with_device(_, *arguments):
      return function(*arguments)
    return jax.pmap(
        with_device, axis_name=AXIS, devices=devices, out_axes=None,
        in_axes=(0,) + (None,) * argument_count,
    )

  places = np.arange(len(devices))
  return lambda *arguments: mapped(len(arguments))(places, *arguments)


class Placement(NamedTuple):
  """Where a family lies: on one device, or split over several.

  Arrays are put in place at once: what the second call gets, or one that goes
  on from a checkpoint, lies as the first did, and the program compiles once.

  Attributes:
    devices: those in use.
    split: what they share out, 'family' or 'batch'; '' for one device.
    counts: how many members each bucket has.
  """

  devices: list[jax.Device]
  split: str
  counts: list[int]

  def place(self, trees: Sequence[Any]) -> Any:
    """Puts a tree a bucket, leaves [S, …], on the devices."""
    if self.split != 'family':
      return replicate(trees, self.devices)
    return scatter([split_members(tree, len(self.devices)) for tree in trees],
                   self.devices)

  def join(self, trees: Sequence[Any]) -> Any:
    """Undoes `place`: a member's leaves once, [S, …], wherever they lie."""
    if self.split != 'family':
      return trees
    return [join_members(tree, count)
            for tree, count in zip(trees, self.counts, strict=True)]

  def wrap(self, function: Callable) -> Callable:
    """Compiles f(states, hypers, *shared) for what `place` gives."""
    if not self.split:
      return make_single(function)
    split = {'family': make_family_split, 'batch': make_batch_split}
    return split[self.split](function, self.devices)


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
  """Puts whole arrays on every device once, so that no call copies them."""
  if len(devices) == 1:
    return jax.device_put(tree, devices[0])
  mesh = Mesh(np.asarray(devices), (AXIS,))
  return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def scatter(tree: Any, devices: Sequence[jax.Device]) -> Any:
  """Puts each device's part of [D, …] on it once, as its results will lie."""
  mesh = Mesh(np.asarray(devices), (AXIS,))
  return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(AXIS)))


def split_members(tree: Any, devices: int) -> Any:
  """[S, …] to [D, ceil(S / D), …]; the last member fills what is left over."""
  def split(leaf):
    share = math.ceil(leaf.shape[0] / devices)
    places = jnp.minimum(jnp.arange(devices * share), leaf.shape[0] - 1)
    return leaf[places].reshape(devices, share, *leaf.shape[1:])
  return jax.tree.map(split, tree)


def join_members(tree: Any, count: int) -> Any:
  """Undoes `split_members`: [D, S / D, …] to the `count` real members."""
  def join(leaf):
    total = leaf.shape[0] * leaf.shape[1]
    return leaf.reshape(total, *leaf.shape[2:])[:count]

  return jax.tree.map(join, tree)
