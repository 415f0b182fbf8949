"""Transfer sets: the inputs that the teacher labels, by kind.

A transfer set may be given as:
  generated  `size` new signals of MNIST-1D
  views      `copies` fixed views of the training inputs (see `views.py`)
  tfds       `size` inputs of a split of another TFDS data set `name`
  split      `size` examples of a split of the same TFDS data set
  arrays     the array x_transfer of the `.npz`
  waveforms  views of the training utterances, `views` a list such as
             ({'speed': 0.9}, {'snr': 15}), see `speech.waveforms`
  wavs       every recording below the folder `path`, or with `size` the
             first so many frames of them, see `data.wavs`

All but sounds may have a `dtype`, 'float16' to take half the room on disk
('float32': the default).

No transfer set holds an input of dev or test: they are left out, byte for
byte, of the kinds that are read from elsewhere (recordings: as a whole).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from shallow_mimic import errors
from shallow_mimic.data.dataset import Examples, check_transfer_name
from shallow_mimic.data.fields import as_mapping, field
from shallow_mimic.data.pools import DTYPES
from shallow_mimic.data.preprocessing import as_float
from shallow_mimic.data.views import VIEW_OPTIONS, describe_views

if TYPE_CHECKING:
  from shallow_mimic import configs

# For every kind: its options, and the source that it needs ('' for any).
_KINDS: dict[str, tuple[tuple[str, ...], str]] = {
    'generated': (('size', 'seed', 'dtype'), 'mnist1d'),
    'views': (('copies', 'seed', 'dtype', *VIEW_OPTIONS), ''),
    'tfds': (('name', 'split', 'size', 'data_dir', 'dtype'), ''),
    'split': (('split', 'size', 'dtype'), 'tfds'),
    'arrays': (('dtype',), 'arrays'),
    'waveforms': (('views', 'seed'), 'timit'),
    'wavs': (('path', 'size'), 'timit'),
}


def transfer_specs(config: configs.Data) -> dict[str, dict[str, Any]]:
  """The transfer sets that a configuration asks for, checked.

  Raises:
    UserError: an unknown kind or option, a kind that the source cannot give,
      a missing size or name.
  """
  specs = {}
  for name, given in as_mapping(field(config, 'transfer', {})).items():
    check_transfer_name(name)
    if not hasattr(given, 'items'):
      raise errors.UserError(
          f'transfer set {name!r} is {given!r}; it must be a mapping such as'
          " {'kind': 'views', 'copies': 4}")
    spec = as_mapping(given)
    kind = spec.get('kind')
    if kind not in _KINDS:
      raise errors.UserError(
          f'transfer set {name!r}: unknown kind {kind!r}; known:'
          f' {", ".join(_KINDS)}')
    options, source = _KINDS[kind]
    if source and config.source != source:
      raise errors.UserError(
          f'transfer set {name!r}: kind {kind!r} needs the data source'
          f' {source!r}, not {config.source!r}')
    unknown = sorted(set(spec) - {'kind', *options})
    if unknown:
      raise errors.UserError(
          f'transfer set {name!r}: kind {kind!r} has no option {unknown[0]!r};'
          f' its options: {", ".join(options) or "none"}')
    _check_needed(name, spec)
    specs[name] = spec
  return specs


def generated_sizes(config: configs.Data) -> dict[int, int]:
  """The largest `generated` transfer set of each seed: smaller begin it."""
  sizes: dict[int, int] = {}
  for spec in transfer_specs(config).values():
    if spec['kind'] == 'generated':
      seed = spec.get('seed', field(config, 'seed', 0))
      sizes[seed] = max(spec['size'], sizes.get(seed, 0))
  return sizes


def read_transfer(
    name: str,
    spec: Mapping[str, Any],
    config: configs.Data,
    parts: Mapping[str, Examples],
    folds: np.ndarray | None = None,
) -> Examples:
  """Reads one transfer set, raw; views are described, to be made later.

  Args:
    name: what the configuration calls it.
    spec: one of `transfer_specs(config)`.
    config: the data configuration.
    parts: raw `train`, `dev` and `test`, and what else the source gave:
      `generated.SEED`, `transfer`.
    folds: of the training inputs, if they are cut into folds.

  Raises:
    UserError: it cannot be read, or nothing of it is left.
  """
  seed = spec.get('seed', field(config, 'seed', 0))
  if spec['kind'] == 'generated':
    pool = parts[f'generated.{seed}']
    return Examples(pool.x[:spec['size']], pool.y[:spec['size']])
  if spec['kind'] == 'views':
    options = {key: spec[key] for key in VIEW_OPTIONS if key in spec}
    views = describe_views(
        *parts['train'], spec['copies'], seed, options, folds)
    return Examples(views, views.labels)
  found = _read_elsewhere(name, spec, config, parts)
  if found.x.shape[1:] != parts['train'].x.shape[1:]:
    return found  # The shapes are refused with every other split's.
  return _without_held_out(name, found, (parts['dev'], parts['test']))


def transfer_data_dir(spec: Mapping[str, Any], config: configs.Data) -> str:
  """TFDS folder of a transfer set: its own, or that of a TFDS source."""
  shared = field(config, 'data_dir', '') if config.source == 'tfds' else ''
  return spec.get('data_dir') or shared


def _read_elsewhere(
    name: str, spec: Mapping[str, Any], config: configs.Data,
    parts: Mapping[str, Examples],
) -> Examples:
  if spec['kind'] == 'arrays':
    if 'transfer' not in parts:
      raise errors.UserError(
          f'transfer set {name!r}: {config.path} lacks the array x_transfer')
    return parts['transfer']
  # Imports TFDS, which the other kinds do without.
  from shallow_mimic.data.sources import tfds as tfds_source  # noqa: PLC0415

  builder = tfds_source.open_tfds(
      spec.get('name') or config.name, transfer_data_dir(spec, config))
  found = tfds_source.read_tfds(
      builder, spec.get('split', 'train'), size=spec.get('size', 0))
  if spec['kind'] == 'tfds':  # The labels are of other classes.
    return Examples(found.x, np.full_like(found.y, -1))
  return found


def _check_needed(name: str, spec: Mapping[str, Any]) -> None:
  needed = {'generated': 'size', 'views': 'copies', 'tfds': 'name',
            'split': 'split', 'waveforms': 'views',
            'wavs': 'path'}.get(spec['kind'])
  if needed and not spec.get(needed):
    raise errors.UserError(
        f'transfer set {name!r}: kind {spec["kind"]!r} needs {needed}')
  if spec.get('dtype', 'float32') not in DTYPES:
    raise errors.UserError(
        f'transfer set {name!r}: dtype is {spec["dtype"]!r}; it must be one of'
        f' {", ".join(DTYPES)}')
  for key in ('size', 'copies', 'seed'):
    value = spec.get(key, 0)
    if not isinstance(value, int) or value < 0:
      raise errors.UserError(
          f'transfer set {name!r}: {key} = {value!r} must be a whole number,'
          ' not negative')


def _without_held_out(
    name: str, found: Examples, held_out: tuple[Examples, ...]
) -> Examples:
  """`found` without the inputs that are also in one of `held_out`."""
  barred = {row for part in held_out for row in row_digests(part.x)}
  keep = np.array([row not in barred for row in row_digests(found.x)])
  if keep.all():
    return found
  if not keep.any():
    raise errors.UserError(
        f'transfer set {name!r}: all of its inputs are in dev or test, which'
        ' the teacher must not label for a student')
  logging.warning(
      'transfer set %r: %d of its %d inputs are also in dev or test and were'
      ' left out', name, np.sum(~keep), len(keep))
  return Examples(found.x[keep], found.y[keep])


def row_digests(x: np.ndarray) -> Iterator[bytes]:
  """A digest of every row's bytes, as float32."""
  for row in x:
    data = np.ascontiguousarray(as_float(row))
    yield hashlib.blake2b(data, digest_size=16).digest()
