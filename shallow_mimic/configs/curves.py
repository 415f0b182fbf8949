"""Curves of a configuration by the dozen: one for each loss, or each size.

    students.curves.update(configs.make_loss_curves(
        teacher='ECNN', inputs='train+views', widths=(1000,)))

Their names hold a '/': they are kept out of figure 1, and the report draws
them in figures of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_collections

from shallow_mimic.configs import defaults

# The study's choice: losses after a teacher with what their papers set, by
# short names. What a loss is stands in `training.loss_specs`.
LOSSES: dict[str, dict[str, Any]] = {
    'logits': {'objective': 'logit_regression'},
    'raw-logits': {'objective': 'raw_logit_regression'},
    'centred-logits': {'objective': 'centred_logit_regression'},
    'probabilities': {'objective': 'probability_regression'},
    'KL-1': {'objective': 'distillation_kl', 'temperature': 1.0},
    'KL-4': {'objective': 'distillation_kl', 'temperature': 4.0},
    'KL-16': {'objective': 'distillation_kl', 'temperature': 16.0},
    'standardised': {'objective': 'standardised_kl', 'temperature': 2.0},
    'blended': {'objective': 'blended', 'temperature': 4.0, 'alpha': 0.9},
    'DKD': {'objective': 'decoupled_kl', 'temperature': 4.0},
    'DIST': {'objective': 'pearson_distance', 'temperature': 4.0},
    'pseudo-labels': {'objective': 'pseudo_label'},
}


def make_loss_curves(
    losses: Sequence[str] = tuple(LOSSES), **how: Any,
) -> dict[str, ml_collections.ConfigDict]:
  """A curve for each of the losses.

  Those that look at labels (`blended`) need inputs that all have one.

  Args:
    losses: names of `LOSSES`, or objectives, as they are without a constant.
    **how: as for `configs.make_curve`.
  """
  return {f'loss/{name}': defaults.make_curve(
      **LOSSES.get(name, {'objective': name}), **how) for name in losses}


def make_size_curves(
    transfer: str, sizes: Sequence[int], **how: Any,
) -> dict[str, ml_collections.ConfigDict]:
  """Curves on the first so many of a transfer set, with train and without.

  Args:
    transfer: the name of the transfer set.
    sizes: how many of its inputs; 0 for all of them.
    **how: as for `configs.make_curve`, but for its inputs.
  """
  sets = [transfer + f'[:{size}]' * bool(size) for size in sizes]
  texts = ['train', *(f'train+{one}' for one in sets), *sets]
  return {f'size/{text}': defaults.make_curve(inputs=text, **how)
          for text in texts}
