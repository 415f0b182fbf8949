"""Loads the exported net beside this file: needs jax, numpy, safetensors.

(And flatbuffers, with which jax reads what `jax.export` wrote.)

  from load import load
  logits = load('DIR')(raw_inputs)  # [B, …] → [B, C], any B
"""

import hashlib
import json
import pathlib

import jax
import jax.export
import numpy as np
import safetensors.numpy


def load(folder='.'):
  """Returns a function from raw inputs [B, …] to logits [B, C]."""
  folder = pathlib.Path(folder)
  manifest = json.loads((folder / 'manifest.json').read_text())
  data = {name: (folder / name).read_bytes() for name in manifest['files']}
  for name, digest in manifest['files'].items():
    if hashlib.sha256(data[name]).hexdigest() != digest:
      raise ValueError(f'{folder / name} is damaged: its SHA-256 is another')
  weights = jax.device_put(safetensors.numpy.load(data['weights.safetensors']))
  program = jax.export.deserialize(bytearray(data['model.stablehlo']))
  run = jax.jit(program.call)
  return lambda inputs: np.asarray(run(weights, np.asarray(inputs)))
