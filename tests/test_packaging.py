"""The wheel: what lies in it, and that it runs beside a foreign launch.py."""

import shutil
import subprocess
import sys
import zipfile

import places
import pytest
from scripts import make_environment

SOURCES = ('setup.py', 'setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE',
           'shallow_mimic', 'launch')


@pytest.fixture(name='wheel', scope='module')
def build_wheel(tmp_path_factory):
  """The wheel, built from copies, without the network."""
  pytest.importorskip('setuptools', minversion='77', reason='extra `test`')
  folder = tmp_path_factory.mktemp('wheel')
  for name in SOURCES:
    source = places.ROOT / name
    copy = shutil.copytree if source.is_dir() else shutil.copy
    copy(source, folder / name)
  done = subprocess.run(
      [sys.executable, '-c', 'from setuptools import build_meta;'
       " build_meta.build_wheel('dist')"],
      cwd=folder, capture_output=True, check=False, text=True, encoding='utf-8')
  assert done.returncode == 0, done.stderr
  path, = (folder / 'dist').glob('*.whl')
  return path


def test_every_module_is_in_the_wheel_and_no_other_package(wheel):
  with zipfile.ZipFile(wheel) as file:
    names = {name for name in file.namelist() if '.dist-info/' not in name}
  modules = {str(path.relative_to(places.ROOT))
             for path in places.ROOT.glob('shallow_mimic/**/*.py')}
  modules |= {f'shallow_mimic/{path.relative_to(places.ROOT)}'
              for path in places.ROOT.glob('launch/**/*.py')}
  assert names == modules | {'shallow_mimic/py.typed'}
  assert 'shallow_mimic/students/load.py' in names


def test_the_wheel_asks_for_no_more_than_the_losses_need(wheel):
  with zipfile.ZipFile(wheel) as file:
    name, = (name for name in file.namelist() if name.endswith('METADATA'))
    lines = file.read(name).decode().splitlines()
  needs = [line.removeprefix('Requires-Dist: ') for line in lines
           if line.startswith('Requires-Dist: ')]
  light = {need.partition('<')[0].partition('>')[0] for need in needs
           if 'extra ==' not in need}
  assert light == {'absl-py', 'jax', 'numpy', 'optax'}
  extras = {line.removeprefix('Provides-Extra: ') for line in lines
            if line.startswith('Provides-Extra: ')}
  assert extras == {
      'run', 'speech', 'export', 'test', 'bench', 'colab', 'docs'}


def test_the_wheel_beside_a_foreign_launch(wheel, tmp_path):
  """An experiment that builds on another, by the function of the command."""
  with zipfile.ZipFile(wheel) as file:
    file.extractall(tmp_path / 'installed')
    name, = (name for name in file.namelist() if name.endswith('points.txt'))
    assert ('shallow-mimic = shallow_mimic.launch.__main__:main'
            in file.read(name).decode())
  here = tmp_path / 'here'
  here.mkdir()
  (here / 'launch.py').write_text('raise ImportError', encoding='utf-8')
  done = subprocess.run(
      [sys.executable, '-c', 'from shallow_mimic.launch.__main__ import main;'
       ' main()', 'plan', '--config=cifar10_depths',
       '--config.students.widths=(0,)', '--config.students.parameters=()'],
      cwd=here, capture_output=True, check=False, text=True, encoding='utf-8',
      env=make_environment(PYTHONPATH=str(tmp_path / 'installed')))
  assert (done.returncode, done.stderr) == (
      2, 'error: config.students.widths is 0; it must be whole numbers from'
      ' 1\n')
