"""The one type that every source gives and every stage reads: `Dataset`.

`shallow_mimic.data.store` writes and reads it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from shallow_mimic import errors
from shallow_mimic.data.pools import Pool, make_pool
from shallow_mimic.data.preprocessing import NONE, Preprocessing, as_float
from shallow_mimic.data.utterances import Sequences, check_sequences
from shallow_mimic.runs import files

_CHUNK_BYTES = 1 << 26


class Examples(NamedTuple):
  """Inputs x [N, *shape] and labels y [N] int32, -1 where unlabelled."""

  x: np.ndarray
  y: np.ndarray


@dataclasses.dataclass(frozen=True)
class Dataset:
  """Preprocessed splits, ready for training.

  Attributes:
    name: what it is called in reports.
    classes: C; the labels of train, dev and test are in 0..C-1.
    train, dev, test: x float32, y int32.
    transfer: transfer sets by name, x float32 or float16; y is -1 where
      unlabelled, and inherited where the inputs are views of labelled ones.
      May be empty.
    preprocessing: JSON record of what was done to x.
    digests: SHA-256 of each split, by its name, and of its folds, by
      `folds_key`: see `digest_splits`.
    fitted: the preprocessing itself, to apply to further inputs.
    reach: speech: neighbours on each side that make a frame an input.
    sequences: speech: the utterances of a split, by its name.
    folds: fold of each row, [N] int32, by split: `train`, and transfer sets
      that come from it. Empty if the data are not cut into folds.
    raw_dtype: of the inputs before preprocessing, 'uint8' or 'float32'; ''
      where it is not known.
  """

  name: str
  classes: int
  train: Examples
  dev: Examples
  test: Examples
  transfer: dict[str, Examples]
  preprocessing: dict[str, Any]
  digests: Mapping[str, str]
  fitted: Preprocessing = NONE
  reach: int = 0
  sequences: Mapping[str, Sequences] = dataclasses.field(default_factory=dict)
  folds: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  raw_dtype: str = ''

  @property
  def input_shape(self) -> tuple[int, ...]:
    """Shape of one input."""
    return self.pool('train').input_shape

  def pool(self, split: str) -> Pool:
    """What the inputs of a split are gathered from."""
    x, utterances = self.splits[split].x, self.sequences.get(split)
    return make_pool(x, utterances.stops if utterances else None, self.reach)

  @property
  def fingerprint(self) -> str:
    """SHA-256 of all of it."""
    return files.digest_json(
        {'classes': self.classes, 'digests': dict(self.digests)})

  @property
  def splits(self) -> dict[str, Examples]:
    """Every split by name; a transfer set is `transfer.NAME`."""
    return _named_splits(self.train, self.dev, self.test, self.transfer)


def make_dataset(
    *,
    name: str,
    classes: int,
    train: Examples,
    dev: Examples,
    test: Examples,
    transfer: Mapping[str, Examples] | None = None,
    fitted: Preprocessing = NONE,
    reach: int = 0,
    sequences: Mapping[str, Sequences] | None = None,
    folds: Mapping[str, np.ndarray] | None = None,
    raw_dtype: str = '',
) -> Dataset:
  """Checks the splits, and makes x float32 (a transfer set may stay float16)
  and y int32.

  Raises:
    UserError: an empty split, x and y of unequal length, shapes that differ
      between splits, a value that is not finite, a label outside 0..C-1
      (-1..C-1 in a transfer set), or a transfer set's name unfit for a file.
  """
  shape = train.x.shape[1:]
  for key in transfer or {}:
    check_transfer_name(key)
  splits = {}
  for key, part in _named_splits(train, dev, test, transfer or {}).items():
    check_examples(key, part, classes, shape=shape,
                   labelled=not key.startswith('transfer.'))
    half = part.x.dtype == np.float16 and key.startswith('transfer.')
    splits[key] = Examples(
        part.x if half else part.x.astype(np.float32, copy=False),
        part.y.astype(np.int32, copy=False))
  sequences, folds = sequences or {}, folds or {}
  for key, utterances in sequences.items():
    check_sequences(key, utterances, len(splits[key].y))
  return Dataset(
      name=name,
      classes=classes,
      train=splits['train'],
      dev=splits['dev'],
      test=splits['test'],
      transfer={key: splits[split_name(key)] for key in transfer or {}},
      preprocessing=fitted.record,
      digests=digest_splits(splits, reach, sequences, folds),
      fitted=fitted,
      reach=reach,
      sequences=sequences,
      folds=folds,
      raw_dtype=raw_dtype,
  )


def check_transfer_name(name: str) -> None:
  """UserError unless a transfer set's name can be part of a file's name, and
  does not stand for the training inputs.
  """
  if name == 'train':
    raise errors.UserError(
        "transfer set 'train': that name is the training inputs'; choose"
        ' another')
  if not re.fullmatch(r'[A-Za-z0-9_-]+', name):
    raise errors.UserError(
        f'transfer set {name!r}: use letters, digits, - and _ in its name')


def check_one_scale(raw: Mapping[str, Examples]) -> None:
  """UserError where some splits hold bytes, scaled to [0, 1], others not."""
  train = raw['train'].x.dtype
  for split, part in raw.items():
    if (part.x.dtype == np.uint8) != (train == np.uint8):
      raise errors.UserError(
          f'split {split!r} is of type {part.x.dtype}, train of {train}: only'
          ' uint8 is scaled to [0, 1]; give all inputs in one type')


def check_examples(
    split: str,
    examples: Examples,
    classes: int,
    *,
    shape: tuple[int, ...],
    labelled: bool = True,
) -> None:
  """Names the split and its first bad row, if it has one.

  Raises:
    UserError: see `make_dataset`.
  """
  x, y = examples
  check_types(split, examples)
  if not x.size:
    raise errors.UserError(f'split {split!r} is empty: x has shape {x.shape}')
  if y.shape != x.shape[:1]:
    raise errors.UserError(
        f'split {split!r}: x has {len(x)} rows and y has shape {y.shape}; each'
        ' row of x needs one label')
  if x.shape[1:] != tuple(shape) or x.ndim == 1:
    raise errors.UserError(
        f'split {split!r} has inputs of shape {x.shape[1:]}, train has'
        f' {tuple(shape)}; every split needs inputs of one shape, of one axis'
        ' or more')
  row = _first_not_finite(x)
  if row is not None:
    kind = 'float16' if x.dtype == np.float16 else 'float32'
    raise errors.UserError(
        f'split {split!r}: row {row} of x holds a value that is not a finite'
        f' {kind} number; repair or remove that row')
  lowest = 0 if labelled else -1
  bad = np.flatnonzero((y < lowest) | (y >= classes))
  if bad.size:
    raise errors.UserError(
        f'split {split!r}: row {bad[0]} has label {y[bad[0]]}, outside'
        f' {lowest}..{classes - 1}')


def digest_splits(
    splits: Mapping[str, Examples], reach: int = 0,
    sequences: Mapping[str, Sequences] | None = None,
    folds: Mapping[str, np.ndarray] | None = None,
) -> dict[str, str]:
  """SHA-256 of each split by its name, and of its folds by `folds_key`.

  Of x and y alone; where the split has utterances, of those and of the reach,
  too. So what one split holds changes no other's.
  """
  found = {}
  for name, (x, y) in splits.items():
    parts: list[Any] = [files.digest_array(x), files.digest_array(y)]
    if sequences and name in sequences:
      *arrays, names = sequences[name]
      parts += [reach, *map(files.digest_array, arrays), list(names)]
    found[name] = files.digest_json(parts)
  return found | {folds_key(name): files.digest_array(part)
                  for name, part in (folds or {}).items()}


def split_name(name: str) -> str:
  """The split that a set is.

  >>> split_name('train'), split_name('views')
  ('train', 'transfer.views')
  """
  return name if name == 'train' else f'transfer.{name}'


def folds_key(split: str) -> str:
  """By what the digest of a split's folds is known."""
  return f'folds.{split}'


def row_digests(x: np.ndarray) -> Iterator[bytes]:
  """A digest of every row's bytes, as float32."""
  for row in x:
    data = np.ascontiguousarray(as_float(row))
    yield hashlib.blake2b(data.data, digest_size=16).digest()


def check_types(split: str, examples: Examples) -> None:
  """UserError unless x holds real numbers and y integers."""
  x, y = examples
  if x.dtype.kind not in 'fiub' or y.dtype.kind not in 'iu':
    raise errors.UserError(
        f'split {split!r}: x of type {x.dtype} and y of type {y.dtype}; x must'
        ' hold real numbers and y integers')


def _first_not_finite(x: np.ndarray) -> int | None:
  """First row with a value that float32 cannot hold, or None."""
  if x.dtype.kind != 'f':
    return None
  size = max(1, _CHUNK_BYTES // max(1, x[:1].nbytes))
  for start in range(0, len(x), size):
    rows = x[start:start + size]
    with np.errstate(over='ignore'):
      finite = np.isfinite(rows.astype(np.float32, copy=False))
    whole = np.all(finite.reshape(len(rows), -1), axis=1)
    files.release(x)
    if not whole.all():
      return start + int(np.argmin(whole))
  return None


def _named_splits(
    train: Examples, dev: Examples, test: Examples,
    transfer: Mapping[str, Examples],
) -> dict[str, Examples]:
  return {'train': train, 'dev': dev, 'test': test,
          **{split_name(key): part for key, part in transfer.items()}}
