"""The notebooks are thin, hold no outputs, and the short one runs."""

import json
import pathlib

import pytest

FOLDER = pathlib.Path(__file__).parents[1] / 'colabs'
NOTEBOOKS = sorted(FOLDER.glob('*.ipynb'))


def read_cells(path, kind):
  cells = json.loads(path.read_text())['cells']
  return [''.join(c['source']) for c in cells if c['cell_type'] == kind]


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_code_compiles_and_outputs_are_empty(path):
  cells = json.loads(path.read_text())['cells']
  assert all(not c.get('outputs') for c in cells)
  for source in read_cells(path, 'code'):
    if not source.startswith('%'):
      compile(source, str(path), 'exec')


def test_losses_notebook_runs(capsys):
  namespace = {}
  for source in read_cells(FOLDER / 'losses.ipynb', 'code'):
    if not source.startswith('%'):
      exec(source, namespace)
  shape, *rows = capsys.readouterr().out.splitlines()
  assert shape.startswith('(8,)')
  _, kl, regression = map(float, rows[-1].split())
  assert kl == pytest.approx(regression, rel=0.05)
