"""Loads the exported net beside this file: needs jax, numpy, safetensors.

(And flatbuffers, with which jax reads what `jax.export` wrote.)

  from load import load
  logits = load('DIR')(raw_inputs)  # [B, …] → [B, C], any B from 1

Each new B compiles once.
"""

import hashlib
import json
import pathlib

import jax.export
import numpy as np
import safetensors.numpy


def load(folder='.'):
  """Returns a function from raw inputs [B, …] to logits [B, C]."""
  folder = pathlib.Path(folder)
  manifest = json.loads((folder / 'manifest.json').read_text(encoding='utf-8'))
  data = {name: (folder / name).read_bytes() for name in manifest['files']}
  for name, digest in manifest['files'].items():
    if hashlib.sha256(data[name]).hexdigest() != digest:
      raise ValueError(f'{folder / name} is damaged: its SHA-256 is another')
  weights = jax.device_put(safetensors.numpy.load(data['weights.safetensors']))
  program = jax.export.deserialize(bytearray(data['model.stablehlo']))
  run = jax.jit(program.call)

  def apply(inputs):
    inputs = np.asarray(inputs)
    # Bytes are refused where numbers are meant: they are scaled otherwise.
    if manifest['input']['dtype'] == 'float32' and inputs.dtype != np.uint8:
      inputs = inputs.astype(np.float32)
    return np.asarray(run(weights, inputs))

  return apply
