"""The notebooks are thin, hold no outputs, and the short one runs."""

import json
import pathlib
import re

import pytest

FOLDER = pathlib.Path(__file__).parents[1] / 'colabs'
NOTEBOOKS = sorted(FOLDER.glob('*.ipynb'))


def read_cells(path, kind):
  cells = json.loads(path.read_text(encoding='utf-8'))['cells']
  return [''.join(c['source']) for c in cells if c['cell_type'] == kind]


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_code_compiles_and_outputs_are_empty(path):
  cells = json.loads(path.read_text(encoding='utf-8'))['cells']
  assert all(not c.get('outputs') for c in cells)
  for source in read_cells(path, 'code'):
    if not source.startswith('%'):
      compile(source, str(path), 'exec')


def test_losses_notebook_runs(capsys):
  namespace = {}
  for source in read_cells(FOLDER / 'losses.ipynb', 'code'):
    if not source.startswith('%'):
      exec(source, namespace)
  *steps, one, _, _, last = capsys.readouterr().out.splitlines()
  agreements = [float(line.rpartition(' ')[2].strip('%')) for line in steps]
  assert agreements[-1] > max(80, agreements[0] + 10)

  def read(line):
    return [float(word) for word in re.findall(r'\d+\.\d+', line)]

  kl, regression = read(last)
  assert kl == pytest.approx(regression, rel=0.01)
  assert read(one)[0] != pytest.approx(regression, rel=0.05)
