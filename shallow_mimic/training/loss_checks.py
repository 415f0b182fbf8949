"""Whether a loss is what its row of the table says, tried on small arrays.

What is refused here would else be found after hours or never: a loss that
looks at a teacher which is not there trains silently on zeros.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from shallow_mimic import errors
from shallow_mimic.training.loss_specs import LossSpec

# Logits that differ, that agree, that are all equal, and large ones.
_STUDENT = np.array([[0.3, -1.2, 2.0], [1.0, -0.5, 0.2], [0.0, 0.0, 0.0],
                     [30.0, -30.0, 9.0]], np.float32)
_TEACHER = np.array([[1.5, 0.4, -0.7], [1.0, -0.5, 0.2], [2.0, 0.1, -1.0],
                     [-20.0, 25.0, 3.0]], np.float32)
_LABELS = np.array([0, 1, 2, 1], np.int32)


def check_loss(spec: LossSpec, constants: Mapping[str, float]) -> None:
  """UserError of one line, with its name, unless a loss keeps to its row.

  Args:
    spec: the loss.
    constants: the values to try it with.

  Raises:
    UserError: it fails, or does not give a finite float for each example; it
      looks at a teacher or at labels and does not say so; or its gradient is
      not finite, is 0 everywhere, or flows into the teacher.
  """
  fault = _find_fault(spec, functools.partial(spec.function, **constants))
  if fault:
    raise errors.UserError(f'the loss {spec.name!r} {fault}')


def _find_fault(spec: LossSpec, function: Callable[..., jax.Array]) -> str:
  """What is wrong, in words; '' for nothing."""
  run = jax.jit(lambda *arrays: jnp.asarray(function(*arrays)))
  slope = jax.jit(jax.grad(lambda *arrays: jnp.sum(run(*arrays)), (0, 1)))
  try:
    loss = run(_STUDENT, _TEACHER, _LABELS)
    if (loss.shape != _LABELS.shape
        or not jnp.issubdtype(loss.dtype, jnp.floating)):
      return (f'gives {loss.dtype} {list(loss.shape)} for a batch of 4; it must'
              ' give a float for each example, [4], and no mean of them')
    gradient, leak = slope(_STUDENT, _TEACHER, _LABELS)
    taught = [run(_STUDENT, teacher, _LABELS) for teacher in (
        np.roll(_TEACHER, 1, -1) - 1, np.full_like(_TEACHER, np.nan))]
    labelled = [run(_STUDENT, _TEACHER, labels) for labels in (
        (_LABELS + 1) % 3, np.full_like(_LABELS, -1))]
  except Exception as error:
    first, _, _ = str(error).strip().partition('\n')
    return (f'fails on logits [4, 3]: {type(error).__name__}: {first}; it is'
            ' called as function(student, teacher, labels, **constants) within'
            ' jax.jit')
  return next((fault for wrong, fault in (
      (not jnp.isfinite(loss).all(), 'is not finite at finite logits'),
      (not spec.needs_teacher and _differ(loss, taught),
       'looks at the teacher, but says needs_teacher=False'),
      (not (spec.needs_labels or spec.takes_labels)
       and _differ(loss, labelled),
       'looks at labels, but says neither needs_labels=True nor'
       ' takes_labels=True'),
      (not spec.needs_labels and not jnp.isfinite(labelled[1]).all(),
       'is not finite where inputs have no label (-1); say needs_labels=True'),
      (not jnp.isfinite(gradient).all(),
       'has a gradient that is not finite at finite logits'),
      ((gradient == 0).all(), 'has a gradient of 0: no student learns from it'),
      (jnp.any(leak != 0), 'lets a gradient into the teacher; wrap its logits'
       ' in jax.lax.stop_gradient')) if wrong), '')


def _differ(loss: jax.Array, others: list[jax.Array]) -> bool:
  return not all(np.array_equal(loss, other) for other in others)
