"""The training step: pure, written for one net, vmapped over a family.

State in, state out. A member's update depends on its own state, its own
hyper-parameters, the data and the number of the step; everything else in the
family is invisible to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from shallow_mimic import losses, models
from shallow_mimic.data.pools import Array, take
from shallow_mimic.training import objectives
from shallow_mimic.training.batches import (
  Data,
  Window,
  draw_places,
  take_targets,
)
from shallow_mimic.training.objectives import Objective
from shallow_mimic.training.optimizers import make_optimizer, make_schedule
from shallow_mimic.training.settings import Recipe


class Hyper(NamedTuple):
  """A member's constants as arrays, so that members differ in one program."""

  key: Array
  stream: Array
  learning_rate: Array
  weight_decay: Array
  objective: Array
  mixture: Array
  teacher: Array
  unit_mask: Array
  normalizer: losses.LogitNormalizer


class MemberState(NamedTuple):
  """What an update changes, and the best parameters on dev so far."""

  params: Any
  optimizer: Any
  best_params: Any
  best_accuracy: jax.Array
  best_step: jax.Array


def real_units(hyper: Hyper) -> jax.Array | None:
  """The mask of a member's own hidden units; None for a teacher."""
  return hyper.unit_mask if hyper.unit_mask.size else None


def init_state(recipe: Recipe, params: Any) -> MemberState:
  """The state of one member before its first step."""
  return MemberState(
      params, make_optimizer(recipe).init(params), params,
      jnp.float32(-1), jnp.int32(0),
  )


def make_batch_rows(hyper: Hyper, data: Data | Window, step: jax.Array,
                    batch: int) -> jax.Array:
  """Rows [B] of the member's batch, of all data or of a window of them."""
  if isinstance(data, Window):
    start = data.starts[hyper.stream] + (step - data.first) * batch
    return jnp.asarray(start) + jnp.arange(batch)
  size = jnp.asarray(data.sizes)[hyper.mixture]
  draw = draw_places(hyper.key, size, step, batch)
  return jnp.asarray(data.rows)[hyper.mixture, draw]


def make_loss_fn(net: models.Net,
                 family_objectives: Sequence[Objective]) -> Callable:
  """Returns loss(params, hyper, x, batch, dropout_key): mean over B.

  The member's objective is chosen by index among the family's.
  """
  branches = [objectives.make_objective_fn(o) for o in family_objectives]

  def loss_fn(params, hyper, x, batch, dropout_key):
    outputs = net.apply(
        params, x, dropout_key=dropout_key, unit_mask=real_units(hyper)
    )
    args = (outputs, batch, hyper.normalizer)
    if len(branches) == 1:
      return jnp.mean(branches[0](*args))
    return jnp.mean(jax.lax.switch(hyper.objective, branches, *args))

  return loss_fn


def make_update_fn(net: models.Net, family_objectives: Sequence[Objective],
                   recipe: Recipe, *, dropout: bool = False,
                   shard: Callable = lambda rows: rows,
                   spread: Callable = lambda key: key,
                   average: Callable = lambda tree: tree) -> Callable:
  """Returns update(state, hyper, data, step) -> (state, loss), one member.

  Eq. 1 of the paper where the objective is logit regression.

  Args:
    net: the member's net, padded to its bucket's width.
    family_objectives: what `hyper.objective` chooses from.
    recipe: optimiser, schedule and batch size.
    dropout: whether the net drops units in training.
    shard: this device's part of a batch's rows, where the batch is split.
    spread: this device's own dropout key, where the batch is split.
    average: mean over the devices among which the batch is split.
  """
  loss_fn = make_loss_fn(net, family_objectives)
  optimizer, schedule = make_optimizer(recipe), make_schedule(recipe)

  def update(state, hyper, data, step):
    rows = shard(make_batch_rows(hyper, data, step, recipe.batch))
    targets = take_targets(data, hyper.teacher, rows)
    batch = objectives.Batch(targets, data.labels[rows])
    dropout_key = None
    if dropout:
      dropout_key = spread(
          jax.random.fold_in(jax.random.fold_in(hyper.key, 1), step))
    loss, gradient = average(jax.value_and_grad(loss_fn)(
        state.params, hyper, take(data.pool, rows), batch, dropout_key
    ))
    direction, opt_state = optimizer.update(
        gradient, state.optimizer, state.params
    )
    rate = hyper.learning_rate * schedule(step)

    def descend(p, d):
      # Only kernels decay; a bias has one axis.
      decay = hyper.weight_decay if p.ndim > 1 else 0.0
      return p - rate * (d + decay * p)

    params = jax.tree.map(descend, state.params, direction)
    return state._replace(params=params, optimizer=opt_state), loss

  return update


def has_dropout(net_options: Sequence[tuple[str, Any]]) -> bool:
  """Whether a net of these options drops anything."""
  return any(name.startswith('dropout') and rate for name, rate in net_options)
