"""An exported net run where this package does not exist, and its files."""

import os
import subprocess
import sys

import numpy as np

FILES = ['load.py', 'manifest.json', 'model.stablehlo', 'weights.safetensors']
# A process in which this package and what trains nets do not exist.
CODE = '''
import sys
BLOCKED = {'flax', 'optax', 'orbax', 'shallow_mimic', 'ml_collections', 'absl'}
class Blocker:
  def find_spec(self, name, path=None, target=None):
    if name.split('.')[0] in BLOCKED:
      raise ImportError(name + ' is blocked')
sys.meta_path.insert(0, Blocker())
import numpy as np
from load import load
x = np.load(sys.argv[1])
run = load()
np.savez(sys.argv[2], *(run(x[:n]) for n in (1, 7, 256)))
print(sorted(BLOCKED & {name.split('.')[0] for name in sys.modules}))
'''


def run_alone(folder, x, tmp_path):
  """Outputs for the first 1, 7 and 256 inputs, from a process of its own."""
  np.save(tmp_path / 'x.npy', x)
  environment = {key: value for key, value in os.environ.items()
                 if key not in ('PYTHONPATH', 'XLA_FLAGS')}
  done = subprocess.run(
      [sys.executable, '-c', CODE, str(tmp_path / 'x.npy'),
       str(tmp_path / 'y.npz')], cwd=folder, check=False, text=True,
      capture_output=True, timeout=120, env=environment)
  assert done.returncode == 0, done.stderr
  assert done.stdout == '[]\n'
  with np.load(tmp_path / 'y.npz') as made:
    return [made[f'arr_{i}'] for i in range(3)]


def check_close(ours, expected):
  scale = max(1, np.abs(expected).max())
  np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5 * scale)
