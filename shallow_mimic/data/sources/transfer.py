"""Transfer sets: the inputs that the teacher labels, by kind.

A transfer set may be given as:
  generated  `size` new signals of MNIST-1D
  views      `copies` fixed views of the training inputs (see `views.py`)
  tfds       `size` inputs of a split of another TFDS data set `name`
  split      `size` examples of a split of the same TFDS data set
  arrays     the array x_transfer of the `.npz`; of a registered source, its
             pool `pool` ('transfer': the default)
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

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from absl import logging

from shallow_mimic import errors
from shallow_mimic.data.dataset import (
  Examples,
  check_transfer_name,
  row_digests,
)
from shallow_mimic.data.pools import DTYPES
from shallow_mimic.data.sources.source import find_source, present
from shallow_mimic.data.sources.tfds import digest_tfds
from shallow_mimic.data.views import VIEW_OPTIONS, describe_views

if TYPE_CHECKING:
  from shallow_mimic import configs


class Wanted(NamedTuple):
  """A transfer set that is to be read.

  Attributes:
    name: what the configuration calls it.
    spec: one of `transfer_specs(config)`.
    config: the data configuration.
    parts: raw `train`, `dev` and `test`, and the pools that the source gave,
      such as `generated.SEED` and `transfer`.
    folds: of the training inputs, if they are cut into folds.
  """

  name: str
  spec: Mapping[str, Any]
  config: configs.Data
  parts: Mapping[str, Examples]
  folds: np.ndarray | None


class Kind(NamedTuple):
  """A kind of transfer set.

  Attributes:
    options: what it takes, with its defaults; a `seed` of None is that of the
      configuration.
    needs: the option that it cannot do without.
    read: gives its inputs, raw; None: its source reads them.
    digest: (spec, config) → digests of what it reads beside its source.
    anywhere: every source of inputs that stand alone offers it; others are
      offered by those that name them in `Source.kinds`.
  """

  options: Mapping[str, Any]
  needs: str = ''
  read: Callable[[Wanted], Examples] | None = None
  digest: Callable[[Mapping[str, Any], Any], Any] | None = None
  anywhere: bool = False


def transfer_specs(config: configs.Data) -> dict[str, dict[str, Any]]:
  """The transfer sets that a configuration asks for, checked, all options set.

  Raises:
    UserError: an unknown kind or option, a kind that the source cannot give,
      a missing size or name.
  """
  source, specs = find_source(config), {}
  offered = [name for name, kind in KINDS.items() if name in source.kinds
             or (kind.anywhere and not source.speech)]
  for name, given in present(config.transfer).items():
    check_transfer_name(name)
    if not hasattr(given, 'items'):
      raise errors.UserError(
          f'transfer set {name!r} is {given!r}; it must be a mapping such as'
          " {'kind': 'views', 'copies': 4}")
    spec = present(given)
    kind = spec.get('kind')
    if kind not in KINDS:
      raise errors.UserError(
          f'transfer set {name!r}: unknown kind {kind!r}; known:'
          f' {", ".join(KINDS)}')
    if kind not in offered:
      raise errors.UserError(
          f'transfer set {name!r}: the data source {source.name!r} has the'
          f' kinds {" and ".join(map(repr, offered))}, not {kind!r}')
    _check_options(name, spec)
    specs[name] = {**KINDS[kind].options, **spec}
    if specs[name].get('seed', 0) is None:
      specs[name]['seed'] = config.seed
  return specs


def _check_options(name: str, spec: Mapping[str, Any]) -> None:
  kind, options = spec['kind'], KINDS[spec['kind']].options
  unknown = sorted(set(spec) - {'kind', *options})
  if unknown:
    raise errors.UserError(
        f'transfer set {name!r}: kind {kind!r} has no option {unknown[0]!r};'
        f' its options: {", ".join(options) or "none"}')
  needed = KINDS[kind].needs
  if needed and not spec.get(needed):
    raise errors.UserError(
        f'transfer set {name!r}: kind {kind!r} needs {needed}')
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


def generated_sizes(config: configs.Data) -> dict[int, int]:
  """The largest `generated` transfer set of each seed: smaller begin it."""
  sizes: dict[int, int] = {}
  for spec in transfer_specs(config).values():
    if spec['kind'] == 'generated':
      seed, size = spec['seed'], spec['size']
      sizes[seed] = max(size, sizes.get(seed, 0))
  return sizes


def transfer_digests(config: configs.Data) -> dict[str, Any]:
  """Digests of what transfer sets are read from elsewhere, by split."""
  return {f'transfer.{name}': digest(spec, config)
          for name, spec in transfer_specs(config).items()
          if (digest := KINDS[spec['kind']].digest)}


def read_transfer(wanted: Wanted) -> Examples:
  """Reads one transfer set, raw; views are described, to be made later.

  Raises:
    UserError: it cannot be read, or nothing of it is left.
  """
  read = KINDS[wanted.spec['kind']].read
  assert read, 'a source of utterances reads its own transfer sets'
  return read(wanted)


def _find_pool(wanted: Wanted, pool: str) -> Examples:
  if pool not in wanted.parts:
    raise errors.UserError(
        f'transfer set {wanted.name!r}: the data source'
        f' {wanted.config.source!r} gives no {pool!r}, which an .npz has as the'
        f' array x_transfer; it gives {", ".join(wanted.parts)}')
  return wanted.parts[pool]


def _read_generated(wanted: Wanted) -> Examples:
  pool = _find_pool(wanted, f'generated.{wanted.spec["seed"]}')
  return Examples(*(part[:wanted.spec['size']] for part in pool))


def _read_views(wanted: Wanted) -> Examples:
  spec = wanted.spec
  options = {key: spec[key] for key in VIEW_OPTIONS}
  views = describe_views(*wanted.parts['train'], spec['copies'], spec['seed'],
                         options, wanted.folds)
  return Examples(cast(Any, views), views.labels)


def _read_arrays(wanted: Wanted) -> Examples:
  return _without_held_out(
      wanted, _find_pool(wanted, wanted.spec['pool']))


def _read_split(wanted: Wanted) -> Examples:
  """Some of a split of a TFDS data set, by default that of the source."""
  from shallow_mimic.data.sources import tfds_reader  # noqa: PLC0415

  spec, config = wanted.spec, wanted.config
  builder = tfds_reader.open_tfds(
      spec.get('name') or config.name, _find_data_dir(spec, config))
  return _without_held_out(wanted, tfds_reader.read_tfds(
      builder, spec['split'], size=spec['size']))


def _read_foreign(wanted: Wanted) -> Examples:
  """The same of another data set: the labels are of other classes."""
  found = _read_split(wanted)
  return Examples(found.x, np.full_like(found.y, -1))


def _digest_foreign(
    spec: Mapping[str, Any], config: configs.Data) -> dict[str, str]:
  return digest_tfds(spec['name'], _find_data_dir(spec, config))


def _find_data_dir(spec: Mapping[str, Any], config: configs.Data) -> str:
  """Its own, or that of a source which is prepared by TFDS itself."""
  shared = config.data_dir if 'split' in find_source(config).kinds else ''
  return spec.get('data_dir') or shared


def _digest_wavs(spec: Mapping[str, Any], config: configs.Data) -> str:
  from shallow_mimic.data.sources import wavs  # noqa: PLC0415

  del config
  return wavs.folder_digest(spec['path'])


def _without_held_out(wanted: Wanted, found: Examples) -> Examples:
  """`found` without the inputs that are also in dev or test."""
  parts = wanted.parts
  if found.x.shape[1:] != parts['train'].x.shape[1:]:
    return found  # The shapes are refused with every other split's.
  barred = {row for split in ('dev', 'test')
            for row in row_digests(parts[split].x)}
  keep = np.array([row not in barred for row in row_digests(found.x)])
  if keep.all():
    return found
  if not keep.any():
    raise errors.UserError(
        f'transfer set {wanted.name!r}: all of its inputs are in dev or test,'
        ' which the teacher must not label for a student')
  logging.warning(
      'transfer set %r: %d of its %d inputs are also in dev or test and were'
      ' left out', wanted.name, np.sum(~keep), len(keep))
  return Examples(found.x[keep], found.y[keep])


_DTYPE = {'dtype': 'float32'}
KINDS = {
    'generated': Kind(
        options={'size': 0, 'seed': None, **_DTYPE}, needs='size',
        read=_read_generated),
    'views': Kind(
        options={'copies': 0, 'seed': None, **_DTYPE, **VIEW_OPTIONS},
        needs='copies', read=_read_views, anywhere=True),
    'tfds': Kind(
        options={'name': '', 'split': 'train', 'size': 0, 'data_dir': '',
                 **_DTYPE},
        needs='name', read=_read_foreign, digest=_digest_foreign,
        anywhere=True),
    'split': Kind(options={'split': '', 'size': 0, **_DTYPE}, needs='split',
                  read=_read_split),
    'arrays': Kind(options={'pool': 'transfer', **_DTYPE}, read=_read_arrays),
    'waveforms': Kind(options={'views': (), 'seed': None}, needs='views'),
    'wavs': Kind(options={'path': '', 'size': 0}, needs='path',
                 digest=_digest_wavs),
}
