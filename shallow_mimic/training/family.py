"""The student family: nets of many widths, packed so that one program fits all.

A family is a list of members. Each is described alone, is initialised alone
(its own key, its true fan-in), and is then zero-padded to the width of its
bucket. A bucket is one `vmap`; buckets are chosen so that padding costs no
more than the configured share of the work.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shallow_mimic import models
from shallow_mimic.training.objectives import Objective

# The fixed cost of one more bucket, in multiply-adds of a forward pass: a
# dispatch of its operations takes about as long as this much matmul on a CPU.
BUCKET_OVERHEAD = 500_000
# For what runs only once it is better to compile fast than to run fast.
_RUNS_ONCE = {'xla_backend_optimization_level': 0,
              'xla_llvm_disable_expensive_passes': True}


@dataclasses.dataclass(frozen=True)
class Member:
  """One net of a family and everything that its training depends on.

  `architecture` may hold an `H`, which stands for `width`; a teacher has
  width 0. `mixture` names the sets it trains on, `teacher` the ensemble that
  it imitates ('' for labels). `net_options` are `make_net`'s keywords as a
  sorted tuple of pairs.
  """

  model: str
  architecture: str
  width: int
  seed: int
  learning_rate: float
  objective: Objective
  mixture: str
  teacher: str = ''
  weight_decay: float = 0.0
  net_options: tuple[tuple[str, Any], ...] = ()


class Bucket(NamedTuple):
  """Members that share one padded net: one `vmap` of the program.

  `indices` are places in the family's list of members.
  """

  net: models.Net
  width: int
  indices: tuple[int, ...]
  waste: float


def member_net(member: Member, input_shape: tuple[int, ...],
               classes: int) -> models.Net:
  """The member's own net, as it would be alone."""
  # The same text is another net where a kind of layer was registered anew.
  kinds = tuple(models.Layer.registry.values())
  return _member_net(member, input_shape, classes, kinds)


@functools.lru_cache(maxsize=1024)
def _member_net(member, input_shape, classes, kinds):
  del kinds
  return _net(member, member.width, input_shape, classes)


def _net(member: Member, width: int, input_shape: tuple[int, ...],
         classes: int) -> models.Net:
  text = member.architecture
  if width:
    text = models.with_width(text, width)
  return models.make_net(
      text, input_shape, classes, **dict(member.net_options)
  )


def make_buckets(members: Sequence[Member], input_shape: tuple[int, ...],
                 classes: int, *, batch: int, waste: float,
                 overhead: int = BUCKET_OVERHEAD) -> list[Bucket]:
  """Groups members into buckets: least work, padding at most `waste` of it.

  Only members of one architecture template and one set of net options can
  share a bucket. Within those, buckets are runs of neighbouring widths, and
  the partition with the least padded work plus overhead is found exactly, by
  dynamic programming over the sorted widths.

  Args:
    members: the family.
    input_shape: shape of one input.
    classes: number of outputs, C.
    batch: examples per step, B.
    waste: the most that padding may cost, as a share of a bucket's work.
    overhead: what one more bucket costs, in multiply-adds.
  """
  groups = collections.defaultdict(list)
  for index, member in enumerate(members):
    groups[member.architecture, member.net_options].append(index)
  buckets = []
  for indices in groups.values():
    buckets += _partition(
        members, indices, input_shape, classes, batch, waste, overhead
    )
  return buckets


def _partition(members, indices, input_shape, classes, batch, waste,
               overhead):
  """The cheapest runs of neighbouring widths that keep to `waste`."""
  by_width = collections.defaultdict(list)
  for index in indices:
    by_width[members[index].width].append(index)
  widths = sorted(by_width)
  first = members[indices[0]]
  work = {w: batch * models.count_multiply_adds(
      _net(first, w, input_shape, classes)) for w in widths}

  def make_bucket(run):
    inside = [index for w in run for index in by_width[w]]
    padded = len(inside) * work[run[-1]]
    real = sum(len(by_width[w]) * work[w] for w in run)
    net = _net(first, run[-1], input_shape, classes)
    return padded, Bucket(net, run[-1], tuple(inside), 1 - real / padded)

  best = {0: (0, [])}
  for stop in range(1, len(widths) + 1):
    choices = []
    net = _net(first, widths[stop - 1], input_shape, classes)
    alone = _clashes(first, net) or not models.ignores_padding(
        first.architecture, **dict(first.net_options))
    for start in range(stop - 1 if alone else 0, stop):
      padded, bucket = make_bucket(widths[start:stop])
      if bucket.waste <= waste:
        cost, chosen = best[start]
        choices.append((cost + padded + overhead, [*chosen, bucket]))
    best[stop] = min(choices, key=lambda choice: choice[0])
  return best[len(widths)][1]


def _clashes(member, net):
  """Whether a layer of fixed size is as wide: a unit mask would hit it too."""
  items = member.architecture.split('-')
  widest = {layer for item, layer in zip(
      items, net.architecture.layers, strict=True) if item == 'H'}
  return any(layer in widest for item, layer in zip(
      items, net.architecture.layers, strict=True) if item != 'H')


def member_keys(base_seed: int, member: Member) -> tuple[jax.Array, jax.Array]:
  """The keys of a member's initial parameters and of its batches and dropout.

  Members of one seed see the same batches whatever their width; none depends
  on what else is in the family.
  """
  key = jax.random.fold_in(jax.random.key(base_seed), member.seed)
  init_key = jax.random.fold_in(jax.random.fold_in(key, 0), member.width)
  return init_key, jax.random.fold_in(key, 1)


def init_bucket(bucket: Bucket, members: Sequence[Member], base_seed: int,
                input_shape: tuple[int, ...], classes: int) -> Any:
  """Parameters of a bucket's members, [S, …], each padded from its own net."""
  shapes, padded = models.param_shapes(bucket.net), []
  for member in (members[index] for index in bucket.indices):
    # One by one: a width compiles once, for a search and the run after it.
    params = _init_member(member_net(member, input_shape, classes),
                          member_keys(base_seed, member)[0])
    padded.append(models.pad_params(jax.device_get(params), shapes))
  return jax.tree.map(lambda *leaves: np.stack(leaves), *padded)


@functools.partial(jax.jit, static_argnums=0, compiler_options=_RUNS_ONCE)
def _init_member(net, key):
  return net.init(key)


def unpad_member(bucket: Bucket, members: Sequence[Member], place: int,
                 params: Any, input_shape: tuple[int, ...],
                 classes: int) -> Any:
  """The parameters of the bucket's member at `place`, as its own net's."""
  net = member_net(members[bucket.indices[place]], input_shape, classes)
  shapes = models.param_shapes(net)
  return models.unpad_params(
      jax.tree.map(lambda leaf: leaf[place], params), shapes
  )


def make_unit_mask(width: int, padded: int) -> jax.Array:
  """[padded] ones for a member's own units, zeros for padding; [0] for 0."""
  return models.unit_mask(width, padded) if width else jnp.zeros(padded)
