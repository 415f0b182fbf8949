"""A net as a folder that runs without this package: StableHLO and weights.

The exported function takes (weights, raw inputs) and gives logits: what
`jax.export` serialises stays small, and the weights are plain safetensors.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax.export
import numpy as np
import safetensors.numpy

from shallow_mimic import errors, losses, models
from shallow_mimic.data.preprocessing import NONE, Preprocessing
from shallow_mimic.runs import files
from shallow_mimic.students import raw_inputs

PLATFORMS = ('cpu', 'cuda', 'rocm', 'tpu')
MODEL, WEIGHTS = 'model.stablehlo', 'weights.safetensors'
MANIFEST, LOADER = 'manifest.json', 'load.py'
RAW_DTYPES = ('uint8', 'float32')

Weights = dict[str, Any]


class Whole(NamedTuple):
  """A net with all that lies between raw inputs and logits.

  Attributes:
    net, params: the net.
    raw_dtype: of the inputs that a user has, 'uint8' or 'float32'.
    fitted: their preprocessing.
    frames: speech: frames that an input is gathered from, else 0.
    normalizer: of the logits, to be undone; None where the outputs are logits.
  """

  net: models.Net
  params: models.Params
  raw_dtype: str
  fitted: Preprocessing = NONE
  frames: int = 0
  normalizer: losses.LogitNormalizer | None = None


def absorb(whole: Whole) -> Whole:
  """Without bottlenecks, and with products in full float32 on any device."""
  net, params = models.absorb_bottleneck(whole.net, whole.params)
  return whole._replace(net=models.with_precision(net, 'highest'),
                        params=params)


def name_weights(whole: Whole) -> dict[str, np.ndarray]:
  """Every array by its path, such as 'net/hidden_0/kernel'."""
  named = jax.tree_util.tree_leaves_with_path(_weight_tree(whole))
  return {_name(path): np.asarray(leaf) for path, leaf in named}


def make_apply(whole: Whole) -> Callable[[Weights, jax.Array], jax.Array]:
  """Returns apply(weights, raw inputs [B, …]) → logits [B, C], float32.

  The weights are those of `name_weights`; the function holds none itself.
  """
  tree = _weight_tree(whole)
  names = [_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
  structure = jax.tree.structure(tree)

  def apply(weights: Weights, x: jax.Array) -> jax.Array:
    parts = jax.tree.unflatten(structure, [weights[name] for name in names])
    x = raw_inputs.prepare_inputs(
        whole.fitted, parts['preprocessing'], x, frames=whole.frames)
    logits = whole.net.apply(parts['net'], x)
    if whole.normalizer is None:
      return logits
    return losses.LogitNormalizer(**parts['normalizer']).denormalize(logits)

  return apply


def export_apply(whole: Whole) -> jax.export.Exported:
  """`make_apply` for every platform, with a symbolic number of examples B."""
  shapes = {name: jax.ShapeDtypeStruct(array.shape, array.dtype)
            for name, array in name_weights(whole).items()}
  batch, = jax.export.symbolic_shape('B')
  x = jax.ShapeDtypeStruct((batch, *whole.net.input_shape), whole.raw_dtype)
  with _no_tracebacks():
    return jax.export.export(
        jax.jit(make_apply(whole)), platforms=PLATFORMS)(shapes, x)


@contextlib.contextmanager
def _no_tracebacks() -> Iterator[None]:
  """Else a program names the files and lines that made it, and its bytes vary.

  JAX has no other handle on this than its configuration.
  """
  name = 'jax_traceback_in_locations_limit'
  before = getattr(jax.config, name)
  jax.config.update(name, 0)
  try:
    yield
  finally:
    jax.config.update(name, before)


def check_target(directory: os.PathLike | str) -> None:
  """UserError unless the folder is absent or empty."""
  directory = pathlib.Path(directory)
  if directory.exists() and not directory.is_dir():
    raise errors.UserError(f'{directory} is a file; choose another --to')
  if directory.is_dir() and any(directory.iterdir()):
    raise errors.UserError(
        f'{directory} is not empty; empty it or choose another --to')


def write_artefact(directory: os.PathLike | str, whole: Whole,
                   facts: Mapping[str, Any]) -> None:
  """Writes the folder, whole or not at all; the manifest comes last.

  Args:
    directory: absent or empty.
    whole: what to export; bottlenecks are absorbed first.
    facts: what else the manifest says, as a JSON tree.

  Raises:
    UserError: the folder holds something, or cannot be written.
  """
  directory = pathlib.Path(os.path.abspath(directory))
  check_target(directory)
  whole = absorb(whole)
  exported = export_apply(whole)
  contents = {
      MODEL: bytes(exported.serialize()),
      WEIGHTS: safetensors.numpy.save(name_weights(whole)),
      LOADER: pathlib.Path(__file__).with_name(LOADER).read_bytes(),
  }
  # A folder that is there stays the same one: it may be mounted or linked to.
  made_here = not directory.exists()
  try:
    with files.clear_disk_errors(directory):
      directory.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
      files.write_bytes(directory / name, data)
    digests = {name: files.digest_file(directory / name)
               for name in (MODEL, WEIGHTS)}
    files.write_json(directory / MANIFEST, {
        **_describe(whole), **facts, 'files': digests})
  except errors.UserError:
    for name in contents:
      (directory / name).unlink(missing_ok=True)
    if made_here and directory.exists():
      directory.rmdir()
    raise


def _describe(whole: Whole) -> dict[str, Any]:
  """What a user of the artefact must know, and what it was made with."""
  net = whole.net
  return {
      'architecture': str(net.architecture),
      'activation': net.options.activation,
      'parameters': models.count_parameters(net),
      'classes': net.classes,
      'input': {
          'shape': ['B', *net.input_shape], 'dtype': whole.raw_dtype,
          'meaning': _explain_input(whole)},
      'output': {
          'shape': ['B', net.classes], 'dtype': 'float32',
          'meaning': 'logits: before the softmax'},
      'preprocessing': whole.fitted.record['steps'],
      'logit_normalizer_undone': whole.normalizer is not None,
      'platforms': list(PLATFORMS),
      'made_with': {'jax': jax.__version__},
  }


def _explain_input(whole: Whole) -> str:
  if whole.frames:
    bands, channels = whole.net.input_shape
    maps = channels // whole.frames
    return (f'a frame of {bands} bands with its neighbours, {whole.frames}'
            f' frames in all, not normalised: channel {maps} · w + m is map m'
            f' (static, Δ, ΔΔ) of frame w, the earliest first; a neighbour'
            " beyond an utterance's edge repeats its edge frame")
  if whole.raw_dtype == 'uint8':
    return 'as the data have it, 0 to 255; scaled and preprocessed within'
  return 'as the data have it, before any preprocessing, which is done within'


def _weight_tree(whole: Whole) -> dict[str, Any]:
  normalizer = whole.normalizer._asdict() if whole.normalizer else {}
  return {'net': whole.params, 'normalizer': normalizer,
          'preprocessing': raw_inputs.fitted_arrays(whole.fitted)}


def _name(path: tuple[Any, ...]) -> str:
  return jax.tree_util.keystr(path, simple=True, separator='/')
