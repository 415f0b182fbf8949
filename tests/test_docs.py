"""README and docs: what they say to type is typed, what they point to exists.

Commands are made small and run: `DIR` is a tiny experiment that has finished,
`MY.npz` its data. `FOLDER` stands for a corpus that is not here: such a command
is run on a folder that does not exist, and has to get as far as asking for it.
"""

import ast
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata

import jax
import numpy as np
import places
import pytest
import tiny_experiment

from shallow_mimic import configs, losses, models
from shallow_mimic.data import views
from shallow_mimic.training import LossSpec

ROOT = places.ROOT
PAGES = [ROOT / 'README.md', ROOT / 'CHANGELOG.md', ROOT / 'CONTRIBUTING.md',
         *sorted((ROOT / 'docs').glob('*.md'))]
WORDS = ('make ', 'pip ', 'python -m launch.', 'shallow-mimic ')
FILE = re.compile(r'^`(\w+\.py)`:\n\n```python\n(.*?)^```', re.M | re.S)
# Of the experiments that come with the package, what makes them small.
SMALL_STUDENTS = (
    '--config.students.widths=(3,)', '--config.students.steps=4',
    '--config.students.search_steps=2', '--config.students.eval_every=2',
    '--config.students.seeds=1', '--config.students.learning_rates=(0.01,)',
    '--config.parallel.devices=1')
SMALL = {
    'arrays': (
        *SMALL_STUDENTS, '--config.teachers.DNN.architecture=8-8',
        '--config.teachers.DNN.steps=4', '--config.teachers.DNN.eval_every=2',
        '--config.data.transfer.views.copies=1',
        '--config.report.figure_width=3'),
    # What these add, or change, is in use after the stages named.
    'mine.py': ('--stages=data',),
    'huber.py': ('--config.data.path=FILE',
                 '--stages=data,teachers,ensembles,logits,students'),
    'gate.py': ('--config.data.path=FILE', '--stages=data,teachers'),
    'rings.py': ('--config.data.path=FILE', '--stages=data'),
    'scatter.py': ('--config.data.path=FILE', '--workdir=CURVES'),
}
# Files that begin from an experiment begin from the tiny one instead.
TINY = {
    "configs.load('mnist1d_smoke')":
        "__import__('tiny_experiment').make_config()",
    "'ECNN'": "'EDNN'", 'teachers.CNN': 'teachers.DNN',
    'train+generated': 'train+transfer', "'generated':": "'transfer':"}
# Takes many minutes: it has to start, and refuse what is not there.
REFUSED = {'benchmark': ('--only=nothing', "--only has 'nothing'")}


def read_blocks(text):
  """Code blocks as (language, code); indented ones have the language ''."""
  fenced = r'^```(\w*)\n(.*?)^```$'
  found = [(match[1], match[2])
           for match in re.finditer(fenced, text, re.M | re.S)]
  rest = re.sub(fenced, '', text, flags=re.M | re.S)
  lines = re.findall(r'(?:\A|\n)\n((?: {4}.*\n|\n(?= {4}))+)', rest)
  return found + [('', re.sub('^ {4}', '', code, flags=re.M)) for code in lines]


def read_commands(text):
  """What is to be typed: lines of code blocks and spans of code."""
  spans = re.findall(r'`([^`\n]+)`', re.sub(r'```.*?```', '', text, flags=re.S))
  lines = [line for language, code in read_blocks(text)
           if language in ('', 'bash')
           for line in code.replace('\\\n', ' ').splitlines()]
  words = [shlex.split(line, comments=True) for line in lines + spans
           if line.startswith(WORDS)]
  return [tuple(command) for command in words if len(command) > 1]


COMMANDS = sorted({command for page in PAGES
                   for command in read_commands(page.read_text('utf-8'))
                   if '…' not in command})
MADE = [c for c in COMMANDS if c[0] == 'make']
INSTALLED = [c for c in COMMANDS if c[0] == 'pip']
STARTED = [c for c in COMMANDS if c[0] in ('python', 'shallow-mimic')]


def name(command):
  return ' '.join(command)


# Commands --------------------------------------------------------------------


@pytest.mark.parametrize('command', MADE, ids=name)
def test_make(command):
  done = subprocess.run(
      ['make', '-n', *command[1:]], cwd=ROOT, check=False, text=True,
      capture_output=True)
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('command', INSTALLED, ids=name)
def test_extras_exist(command):
  assert command[1] == 'install'
  wanted, extras = re.fullmatch(
      r'(\.|[\w-]+)(?:\[([\w,]+)\])?', command[-1]).groups()
  if wanted == '.':  # What is installed may be older than this folder.
    text = (ROOT / 'setup.cfg').read_text('utf-8')
    known = re.findall(r'^(\w+) =$', text, re.M)
  elif extras:
    known = metadata.metadata(wanted).get_all('Provides-Extra')
  assert not extras or set(extras.split(',')) <= set(known)


@pytest.fixture(name='start', scope='module')
def make_start(finished, tmp_path_factory):
  """start(command): runs it, made small; status, stdout, stderr."""
  folder = tmp_path_factory.mktemp('docs')
  shutil.copy(finished[0], folder / 'MY.npz')
  for copy in ('DIR', 'OTHER'):
    shutil.copytree(finished[1], folder / copy)
  shutil.copytree(finished[1], folder / 'CURVES',
                  ignore=shutil.ignore_patterns('report'))
  for page in PAGES:
    for file, code in FILE.findall(page.read_text('utf-8')):
      for word, tiny in TINY.items():
        code = code.replace(word, tiny)  # noqa: PLW2901
      (folder / file).write_text(code, encoding='utf-8')

  def start(command):
    words = [word.replace('=FILE', f'={finished[0]}')
             for word in shrink(command)]
    return subprocess.run(
        [sys.executable, *words], cwd=folder, check=False, text=True,
        capture_output=True, timeout=300, env={
            **os.environ, 'PYTHONPATH': f'{ROOT}:{ROOT}/tests/helpers',
            'JAX_COMPILATION_CACHE_DIR': str(finished[0].parent / 'compiled'),
            'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
            'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
            'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '-1'})

  start.folder = folder
  return start


def shrink(command):
  """The words after `python` of a command that takes seconds."""
  first, *words = command
  module, *flags = (['-m', f'launch.{words[0]}', *words[1:]]
                    if first == 'shallow-mimic' else words)[1:]
  script, config = module.removeprefix('launch.'), find_config(command)
  if 'FOLDER' in name(command):
    flags = [flag.replace('=FOLDER', '=nowhere') for flag in flags]
  elif script in REFUSED:
    flags = replace(flags, REFUSED[script][:1])
  elif config in SMALL:
    flags = replace(flags, SMALL[config])
  elif script in ('run', 'report', 'export') and '--help' not in flags:
    flags = shrink_run(command, flags)
  return ['-m', module, *flags]


def shrink_run(command, flags):
  """Flags of a run of the tiny experiment, or of what reads its directory."""
  small = {'--to=STUDENT': f'--to=student-{len(command)}',  # One for each.
           '--width=256': '--width=5'}
  flags = [small.get(flag, '--config.students.widths=(3,5)'
                     if flag.startswith('--config.students.widths') else flag)
           for flag in flags]
  if not find_config(command) and {'DIR', '--workdir=DIR'} & {*flags}:
    return flags  # It has a configuration of its own.
  # Other fields are of another configuration.
  fields = [flag for flag in flags if flag.startswith('--config.')
            and not flag.startswith('--config.students.widths')]
  return replace(flags, (
      f'--config={tiny_experiment.__file__}', '--config.data.path=FILE',
      '--config.students.widths=(3,5)',
      f'--workdir=DIR{len("".join(fields)) or ""}',
      *['--stages=data'] * bool(fields)))


def replace(flags, changes):
  """The changes, --config first, and those flags that none of them sets."""
  changed = {change.partition('=')[0] for change in changes}
  kept = [flag for flag in flags if flag.partition('=')[0] not in changed]
  return sorted([*kept, *changes], key=lambda flag: '--config=' not in flag)


def find_config(command):
  """What --config is, without the part after a colon."""
  given = [word for word in command if word.startswith('--config=')]
  return given[0].removeprefix('--config=').partition(':')[0] if given else ''


@pytest.mark.parametrize('command', STARTED, ids=name)
def test_commands(command, start):
  done = start(command)
  if 'FOLDER' in name(command):
    assert done.returncode == 2, done.stderr
    assert re.match(r'error: .*there is no folder \S*nowhere', done.stderr)
  elif refused := [REFUSED[script][1] for script in REFUSED
                   if f'launch.{script}' in command]:
    assert done.returncode and refused[0] in done.stderr, done.stderr
  else:
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_commands_are_found():
  """The test above would pass on none at all."""
  assert {c[1] for c in MADE} >= {'run', 'test', 'lint', 'docs', 'benchmark'}
  scripts = {c[2] for c in STARTED if c[0] == 'python'}
  assert scripts >= {f'launch.{script}' for script in (
      'run', 'plan', 'report', 'export', 'folds', 'benchmark')}
  text = ('x\n\n    make a  # b\n    python -m launch.c \\\n        d\n\n'
          'e `pip f`\n')
  assert read_commands(text) == [
      ('make', 'a'), ('python', '-m', 'launch.c', 'd'), ('pip', 'f')]


# Python ----------------------------------------------------------------------

PYTHON = [
    pytest.param(code, id=f'{page.stem}-{place}') for page in PAGES
    for place, (language, code) in enumerate(
        block for block in read_blocks(page.read_text('utf-8'))
        if block[0] == 'python')]


@pytest.mark.parametrize('code', PYTHON)
def test_python_blocks(code):
  logits = jax.random.normal(jax.random.key(0), (64, 10))
  namespace = {'__name__': 'block', 'teacher_logits': logits,
               'student_outputs': 0.5 * logits[:32]}
  exec(compile(code, 'block', 'exec'), namespace)
  if 'loss' in namespace:
    assert np.isfinite(namespace['loss']).all()


def test_a_student_is_loaded_as_the_page_says(start):
  done = start(('python', '-m', 'launch.export', '--workdir=DIR', '--to=alone'))
  assert done.returncode == 0, done.stderr
  code, = (param.values[0] for param in PYTHON if 'def load' in param.values[0])
  namespace = {}
  exec(compile(code, 'block', 'exec'), namespace)
  x = tiny_experiment.make_arrays()['x_test']
  assert namespace['load'](start.folder / 'alone')(x).shape == (
      len(x), tiny_experiment.CLASSES)


def test_api_reference(tmp_path):
  pytest.importorskip('pdoc', reason='the extra `docs` is not installed')
  done = subprocess.run(
      [sys.executable, ROOT / 'docs' / 'make_api.py', tmp_path], cwd=ROOT,
      check=False, capture_output=True, text=True,
      env={**os.environ, 'PYTHONPATH': str(ROOT)})
  assert done.returncode == 0, done.stderr
  page = (tmp_path / 'shallow_mimic' / 'losses.html').read_text('utf-8')
  for function in losses.__all__:
    assert f'id="{function}"' in page


# Links, tables ---------------------------------------------------------------


def find_anchors(text):
  """Of headings, as GitHub makes them."""
  heads = re.findall(r'^#+ (.*)$', text, re.M)
  return {re.sub(r'[^\w\- ]', '', head.lower()).replace(' ', '-')
          for head in heads}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links(page):
  text = page.read_text('utf-8')
  for target in re.findall(r'\]\(([^)\s]+)\)', text):
    if target.startswith('https://'):
      continue
    path, _, anchor = target.partition('#')
    found = page.parent / path if path else page
    assert found.exists(), target
    if anchor:
      assert anchor in find_anchors(found.read_text('utf-8')), target


@pytest.mark.parametrize(
    'page', [p for p in PAGES if p.stem != 'CHANGELOG'], ids=lambda p: p.name)
def test_named_paths(page):
  text = page.read_text('utf-8')
  tops = 'colabs|docs|launch|shallow_mimic|tests'
  for path in re.findall(rf'`((?:{tops})/[a-z0-9_./]*)`', text):
    assert (ROOT / path).exists() or path == 'docs/api/', path


def read_tables(text):
  """Rows, a list of cells each, of all tables below each heading."""
  found, heading = {}, ''
  for line in text.splitlines():
    if line.startswith('#'):
      heading = line.lstrip('# ')
    elif line.startswith('|') and not line.startswith('|---'):
      cells = re.split(r' \| ', line.strip('| ') + ' ')
      found.setdefault(heading, []).append([cell.strip() for cell in cells])
  return found


def read_column(page, heading, column=0):
  """What stands in backticks in one column of the first table there."""
  _, *rows = read_tables((ROOT / page).read_text('utf-8'))[heading]
  return [word for row in rows for word in re.findall('`([^`]+)`', row[column])]


def test_table_of_experiments():
  named = read_column('README.md', 'Experiments')
  assert sorted(['__init__', *named]) == sorted(
      path.stem for path in (ROOT / 'launch' / 'configs').glob('*.py'))
  for one in named:
    config = importlib.import_module(f'launch.configs.{one}').get_config()
    assert config.keys() == configs.default_config().keys()


DEFAULT = configs.default_config()
SECTIONS = {
    'config': DEFAULT,
    **{f'config.{key}': DEFAULT[key]
       for key in ('data', 'logits', 'students', 'parallel', 'report')},
    'config.data.speech': DEFAULT.data.speech,
    'config.teachers.NAME': configs.make_teacher(),
    'config.teachers.NAME.net': vars(models.Options()),
    'config.ensembles.NAME': configs.make_ensemble(),
    'config.students.curves.NAME': configs.make_curve(),
}
KINDS = {'text': str, 'whole number': int, 'number': float, 'tuple': tuple,
         'True or False': bool, 'mapping': dict, 'text or None': type(None)}


@pytest.mark.parametrize('heading', SECTIONS)
def test_fields(heading):
  section = SECTIONS[heading]
  _, *rows = read_tables(
      (ROOT / 'docs' / 'configuration.md').read_text('utf-8'))[heading]
  stated = {field.strip('`'): (kind, default.strip('`'))
            for field, kind, default, _ in rows}
  own = {key: value for key, value in section.items()
         if not hasattr(value, 'items') or not len(value)}
  assert len(stated) == len(rows) and stated.keys() == own.keys()
  for field, (kind, default) in stated.items():
    value = own[field]
    assert default == ('{}' if hasattr(value, 'items') else repr(value)), field
    assert isinstance(ast.literal_eval(default), KINDS[kind]), field


def test_tables_of_names():
  page = 'docs/configuration.md'
  assert read_column(page, 'Views') == list(views.VIEW_OPTIONS)
  functions = read_column('docs/losses.md', 'Which one to begin with')
  assert sorted(functions) == sorted(set(losses.__all__) - {'LogitNormalizer'})
  named = read_column('docs/losses.md', 'Names in a configuration')
  ours = [spec.name for spec in LossSpec.registry.values() if not spec.version]
  assert sorted(named) == sorted(ours)
  for text in read_column(page, 'Architectures'):
    if text != 'H':
      models.parse_architecture(text)
