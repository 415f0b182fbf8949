"""Stage: teachers averaged into one; what it says of dev and test.

`ensemble_logits` is for other projects too and needs JAX alone: what the stage
needs beside is imported where it runs.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from shallow_mimic import errors
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.pools import Pool, as_pool, take
from shallow_mimic.runs import files

if TYPE_CHECKING:
  from shallow_mimic import configs, models

SPACES = ('logits', 'probabilities')


class Teacher(NamedTuple):
  """One member: its net, parameters and identity, see `kept_nets`.

  `held_out` is the fold of the training inputs that it did not train on;
  None where it trained on all. A `mirrored` member looks at mirror images.
  """

  net: models.Net
  params: Any
  identity: Any = None
  held_out: int | None = None
  mirrored: bool = False


def ensemble_logits(logits: ArrayLike, space: str = 'logits',
                    weights: ArrayLike | None = None) -> jax.Array:
  """Mean of T teachers' logits, or the log of the mean of their probabilities.

  The order of the teachers does not matter, to the last bit: they are added
  in order of value.

  Args:
    logits: [T, …, C].
    space: 'logits' (arithmetic mean, Ba & Caruana) or 'probabilities'.
    weights: [T], not negative, not all 0 (not checked where traced); equal
      weights if None.

  Returns:
    [..., C], float32.

  Raises:
    ValueError: shapes or weights do not fit, or the space is unknown.

  >>> ensemble_logits(jnp.array([[1., 0.], [3., 2.]]))
  Array([2., 1.], dtype=float32)
  """
  logits = jnp.asarray(logits, jnp.float32)
  if logits.ndim < 2 or not logits.shape[0]:
    raise ValueError(f'logits must be [T, …, C] with T > 0, got {logits.shape}')
  if space not in SPACES:
    raise ValueError(f'unknown space {space!r}; known: {", ".join(SPACES)}')
  weights = _shares(weights, logits.shape[0]).reshape(
      -1, *(1,) * (logits.ndim - 1))
  if space == 'logits':
    return jnp.sum(jnp.sort(logits * weights, axis=0), axis=0)
  terms = jax.nn.log_softmax(logits) + jnp.log(weights)
  return jax.nn.logsumexp(jnp.sort(terms, axis=0), axis=0)


def _shares(weights, count):
  if weights is None:
    return jnp.full(count, 1 / count, jnp.float32)
  if (shape := np.shape(weights)) != (count,):
    raise ValueError(
        f'weights must be [{count}], one a teacher, got {shape}'
    )
  if isinstance(weights, jax.core.Tracer):  # Their values are not known.
    return weights.astype(jnp.float32) / jnp.sum(weights)
  weights = np.asarray(weights, np.float64)
  if not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum():
    raise ValueError(
        f'weights must be finite, not negative and not all 0, got {weights}'
    )
  return jnp.asarray(weights / weights.sum(), jnp.float32)


def apply_ensemble(teachers: Sequence[Teacher], inputs: Pool | np.ndarray,
                   space: str = 'logits', folds: np.ndarray | None = None, *,
                   batch: int = 512) -> np.ndarray:
  """Logits [N, C] of an ensemble, float32.

  Args:
    teachers: the members.
    inputs: N inputs.
    space: what is averaged, see `ensemble_logits`.
    folds: [N], the fold that an input comes from, -1 for none. An input is
      labelled by the teachers that did not train on its fold, if there are
      any, else by all.
    batch: how many inputs go through a net at a time.
  """
  from shallow_mimic import evaluation  # noqa: PLC0415  (brings Flax)

  pool = as_pool(inputs)
  count = len(pool.x)
  folds = np.full(count, -1) if folds is None else folds
  params = [jax.device_put(one.params) for one in teachers]
  out = np.empty((count, teachers[0].net.classes), np.float32)
  for start in range(0, count, batch):
    # The last block is filled up, so that all are of one shape.
    rows = np.minimum(np.arange(start, start + batch), count - 1)
    x, origins = take(pool, rows), folds[rows]
    logits = np.stack([
        evaluation.predict(
            one.net, own, _mirror(x) if one.mirrored else x, batch=batch)
        for one, own in zip(teachers, params, strict=True)])
    for fold in np.unique(origins):
      members = logits[labellers(teachers, fold)]
      here = np.flatnonzero(origins == fold)
      out[rows[here]] = np.asarray(ensemble_logits(members, space))[here]
  return out


def _mirror(images):
  """Images [N, h, w, c] left to right; nothing is copied."""
  return images[:, :, ::-1]


def add_mirrored(teachers: Mapping[str, Teacher]) -> dict[str, Teacher]:
  """Every member once more, looking at the mirror image.

  An image and its mirror image show the same thing, and a net's mistakes on
  the two are partly independent: their mean is a better teacher, untrained.
  """
  return {**teachers, **{f'{name} mirrored': one._replace(mirrored=True)
                         for name, one in teachers.items()}}


def labellers(teachers: Sequence[Teacher], fold: int) -> list[int]:
  """Which members label the inputs of a fold: those that never saw it.

  >>> nets = [Teacher(None, None, held_out=fold) for fold in (0, 1, 0)]
  >>> labellers(nets, 0), labellers(nets, -1)
  ([0, 2], [0, 1, 2])
  """
  apart = [i for i, teacher in enumerate(teachers)
           if teacher.held_out is not None and teacher.held_out == fold]
  return apart or list(range(len(teachers)))


def write_ensemble(directory: os.PathLike | str, name: str, space: str,
                   teachers: Mapping[str, Teacher],
                   dataset: Dataset) -> dict[str, Any]:
  """Writes an ensemble's dev and test logits and record; its identity.

  Args:
    directory: the ensemble's own folder.
    name: its name in the report.
    space: what is averaged.
    teachers: the members by name, GROUP:PLACE.
    dataset: inputs and labels.
  """
  from shallow_mimic.evaluation import describe, recognition  # noqa: PLC0415

  directory = pathlib.Path(directory)
  if not teachers:
    raise errors.UserError(f'the ensemble {name!r} has no members')
  values, said, bins = {}, {}, {}
  for split, part in (('dev', dataset.dev), ('test', dataset.test)):
    logits = apply_ensemble(list(teachers.values()), dataset.pool(split), space)
    files.write_array(directory / f'{split}.npy', logits)
    said[split] = logits
    sums = _judge(logits, np.asarray(part.y))
    bins[split] = sums['ece']
    values[split] = {name: float(total.value) for name, total in sums.items()}
  record = describe.make_ensemble_record(
      name, list(teachers.values()), values, bins['test'])
  [trees] = recognition.score_phones([record], dataset,
                                     lambda _, split: said[split])
  for file, tree in trees.items():
    files.write_json(directory / file, tree)
  return identify(space, teachers)


@jax.jit
def _judge(logits, labels):
  from shallow_mimic.evaluation import metrics  # noqa: PLC0415

  return {'accuracy': metrics.accuracy(logits, labels),
          'nll': metrics.nll(logits, labels),
          'ece': metrics.calibration(logits, labels)}


def identify(space: str, teachers: Mapping[str, Teacher]) -> dict[str, Any]:
  """What an ensemble is: space, its members, and who left out which fold."""
  identity = {'space': space,
              'teachers': {key: one.identity for key, one in teachers.items()}}
  apart = {key: int(one.held_out) for key, one in teachers.items()
           if one.held_out is not None}
  return identity | ({'held_out': apart} if apart else {})


def read_ensemble_logits(directory: os.PathLike | str,
                         split: str) -> np.ndarray:
  """An ensemble's logits [N, C] on 'dev' or 'test', mapped from disk."""
  return files.read_array(pathlib.Path(directory) / f'{split}.npy', mmap=True)


def make_teachers(
    ensemble: configs.Ensemble, read: Callable[[str], Sequence[tuple]],
) -> dict[str, Teacher]:
  """The members of an ensemble by name, GROUP:PLACE as in the configuration.

  Args:
    ensemble: its configuration (`config.ensembles.NAME`).
    read: net, parameters, identity and fold held out of each trained teacher
      of a group.
  """
  members = {}
  for text in ensemble.members:
    group = text.partition(':')[0]
    trained = [Teacher(*one) for one in read(group)]
    for place in pick_members({group: range(len(trained))}, text):
      one = trained[place]
      members[f'{group}:{place}'] = (
          one if ensemble.out_of_fold else one._replace(held_out=None))
  return add_mirrored(members) if ensemble.mirror else members


def find_independent(config: configs.Config) -> dict[str, str]:
  """The independent ensemble by the teacher of a student, '' for labels.

  Teachers that share a member with it are left out.
  """
  name = config.report.independent
  if not name:
    return {}
  trained = {group: [f'{group}:{place}' for place in range(section.members)]
             for group, section in config.teachers.items()}
  members = {key: {one for text in ensemble.members
                   for one in pick_members(trained, text)}
             for key, ensemble in config.ensembles.items()}
  return {'': name} | {key: name for key, theirs in members.items()
                       if not theirs & members[name]}


def pick_members(groups: Mapping[str, Sequence[Any]], text: str) -> list[Any]:
  """The members that 'CNN' (all of a group) or 'CNN:0' names.

  >>> pick_members({'CNN': 'abc'}, 'CNN'), pick_members({'CNN': 'abc'}, 'CNN:1')
  (['a', 'b', 'c'], ['b'])
  """
  name, _, index = text.partition(':')
  return [groups[name][int(index)]] if index else list(groups[name])
