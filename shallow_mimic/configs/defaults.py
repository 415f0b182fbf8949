"""The configuration: every field with its default.

An experiment is a file in `launch/configs` that starts from
`default_config()` and changes what differs; `validation` says what is valid.
"""

from __future__ import annotations

import json
from typing import Any

import ml_collections
from ml_collections import config_dict

from shallow_mimic import errors
from shallow_mimic.configs import checks


def default_config() -> ml_collections.ConfigDict:
  """All fields; a field that is not here is refused."""
  return config_dict.create(
      title='',
      # Seeds everything that is trained. Data have a seed of their own.
      seed=0,
      data=config_dict.create(
          source='mnist1d', name='', path='', data_dir='', splits={},
          dev=400, limit_train=0, seed=0, preprocessing=('standardise',),
          transfer={},
          # TIMIT: the sample's test fold, and what one input is.
          speech=config_dict.create(
              fold=0, folds=4, dev_speakers=3, train_speakers=0,
              damaged='refuse', reach=7,
              # Rounds of realignment, and the teachers one of which aligns.
              realign=0, aligner=''),
          # Of the training inputs, for targets by teachers that held them out.
          folds=0,
          # Inputs of a family that take more are streamed from disk.
          memory_gib=4.0,
          # Only for a plan made before the data are there.
          input_shape=(), classes=0, examples=0,
      ),
      teachers={},
      ensembles={},
      logits=config_dict.create(part_rows=16384, dtype='float32'),
      students=default_students(),
      parallel=config_dict.create(
          # 0: all devices. split: 'family' or 'batch'.
          devices=0, split='family', save_seconds=30.0,
      ),
      # independent: an ensemble to compare those students to that owe it
      # nothing. latency: whether to time nets; times are never the same twice.
      report=config_dict.create(figure_width=0, notes=(), paper=(),
                                independent='', latency=False),
  )


def default_students() -> ml_collections.ConfigDict:
  """The student family; `H` in its architecture stands for the width.

  `parameters`, numbers of parameters, replaces `widths`: each student gets the
  width that comes nearest, every curve by its own architecture.
  """
  return config_dict.create(
      architecture='H', widths=(16, 64, 256, 1024), parameters=(), seeds=3,
      learning_rates=(0.005, 0.01, 0.02, 0.04),
      # The width that the rates are for; 0: for all. See `scale_rates`.
      rate_width=0, activation='relu',
      bias_spread=0.5, steps=5000, search_steps=1000, search_seeds=1,
      batch=128, eval_every=250, optimizer='adam', momentum=0.9, warmup=0.05,
      clip=0.0, waste=0.25, curves={},
  )


def make_teacher(**changes: Any) -> ml_collections.ConfigDict:
  """A group of teachers: one architecture, `members` seeds.

  `together` nets train as one program, 0 for all of the group. With `folds`
  member i leaves out fold i % folds of the training inputs, and labels it.
  """
  fields = dict(
      architecture='', members=1, first_seed=0, together=0, inputs='train',
      steps=2000, batch=128, eval_every=250, optimizer='adam', momentum=0.9,
      learning_rate=0.003, weight_decay=0.0, warmup=0.05, clip=0.0, net={},
      folds=0,
  )
  return _changed('teacher', fields, changes)


def make_ensemble(*members: str, space: str = 'logits', mirror: bool = False,
                  out_of_fold: bool = True) -> ml_collections.ConfigDict:
  """An ensemble of groups 'CNN' or of single teachers 'CNN:0'.

  With `mirror` every member looks at an image and at its mirror image. Where
  members left folds out, only those who did label a fold's inputs; without
  `out_of_fold` all members label everything.
  """
  return config_dict.create(members=tuple(members), space=space, mirror=mirror,
                            out_of_fold=out_of_fold)


def make_curve(**changes: Any) -> ml_collections.ConfigDict:
  """A student curve: what it minimises, on which inputs, after which teacher.

  No `architecture`, `widths` (or `parameters`, see `default_students`) or
  `learning_rates`: those of the family. Curves
  of several architectures train in one family. `weights` are the two of
  `decoupled_kl` (label's class, others) or of `pearson_distance` (over
  classes, over the batch); none: (1, 8) and (1, 1). `constants` are those of a
  registered loss (`training.LossSpec`) by their names.
  """
  fields = dict(
      objective='logit_regression', inputs='train', teacher='',
      architecture='', widths=(), parameters=(), learning_rates=(),
      weight_decays=(0.0,), dropout_input=0.0, dropout_hidden=0.0,
      temperature=1.0, alpha=0.5, weights=(), constants={},
  )
  return _changed('curve', fields, changes)


def _changed(kind, fields, changes):
  made = config_dict.create(**fields)
  checks.check_fields(f'of a {kind}', {**fields, **changes}, fields)
  for name, value in changes.items():
    try:
      made.update({name: value})
    except (TypeError, AttributeError) as error:
      raise errors.UserError(
          f'{name} of a {kind} is {value!r}; it must be of the type of its'
          f' default, {fields[name]!r}'
      ) from error
  return made


def to_json(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """The configuration as a JSON tree, tuples as lists."""
  text = json.dumps(config.to_dict(), default=lambda value: value.to_dict())
  return json.loads(text)
