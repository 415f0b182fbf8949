"""What --help says, of a script and of the experiments; light and quick."""

from __future__ import annotations

import ast
import pathlib
import re
import sys
import textwrap

from absl import flags

CONFIGS = pathlib.Path(__file__).parent / 'configs'
COMMAND = 'shallow-mimic'
HELP = ('-h', '--help', '-help', '--helpshort', '-helpshort')
_FULL = ('--helpfull', '-helpfull')
_VERSION = ('--version', '-version')
_KINDS = {'int': 'N', 'comma separated list of strings': 'A,B'}
_FIELDS = """\
  --config.FIELD=VALUE
      Another value for one field of the experiment, as in
          --config.students.seeds=5
          '--config.students.widths=(64, 256)'
          '--config.students.curves["SNN-MIMIC"].inputs=train'
"""
_WORKDIR = """\
  --workdir=DIR
      Where everything is written; ./runs/NAME of the experiment if not given.
"""
_COMMON = """\
  --flagfile=FILE
      Flags from a file, one a line, --config=NAME among them.
  --help, --helpfull, --version
      This text, with the flags of absl, or the version; nothing is run.

Exit status: 0 done, 2 a mistake or a fault, 75 stopped by a signal, 130 Ctrl-C.
"""


def config_names() -> list[str]:
  """The experiments that come with the package."""
  return sorted(path.stem for path in CONFIGS.glob('*.py')
                if path.stem != '__init__')


def read_summary(path: pathlib.Path) -> str:
  """The first sentence of a module's docstring; the module is not run."""
  text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
  return ' '.join(text.partition('\n\n')[0].split())


def find_answer(words: list[str], doc: str, default: str) -> str | None:
  """What to print where the words ask for help or the version, else None.

  Args:
    words: the command line, without the program.
    doc: what the script says of itself.
    default: its experiment where none is named; '' if it takes none.
  """
  asked = set(words[:words.index('--')] if '--' in words else words)
  if asked & {*HELP, *_FULL}:
    return _format_help(doc, default, full=bool(asked & {*_FULL}))
  return format_version() if asked & {*_VERSION} else None


def format_version() -> str:
  """The name and the version."""
  from shallow_mimic import __version__  # noqa: PLC0415

  return f'{COMMAND} {__version__}'


def format_list(summaries: dict[str, str]) -> str:
  """Names and what they are, a line each."""
  wide = max(map(len, summaries))
  return '\n'.join(f'{name:<{wide}}  {text}'
                   for name, text in summaries.items())


def _format_help(doc: str, default: str, *, full: bool) -> str:
  parts = [_name_command(doc).strip(), '', 'Flags:']
  if default:
    summaries = {name: read_summary(CONFIGS / f'{name}.py')
                 for name in config_names()}
    parts += [
        '  --config=NAME',
        '      The experiment: the path of a Python file with get_config(), or'
        ' one of\n      these names. If not given, that of the work directory,'
        f' or else {default}.',
        textwrap.indent(format_list(summaries), ' ' * 10),
        _FIELDS + _WORKDIR.rstrip()]
  parts += _describe_flags(ours=True)
  parts.append(_COMMON.rstrip())
  if full:
    parts += ['', 'Flags of absl:', *_describe_flags(ours=False)]
  return '\n'.join(parts)


def _name_command(doc: str) -> str:
  """The docstring, with the commands as they are called here."""
  if not sys.argv[0].startswith(COMMAND):
    return doc
  doc = re.sub(r'python -m launch\.(\w+)', rf'{COMMAND} \1', doc)
  return re.sub(r'launch/configs/(\w+)\.py', r'\1', doc)


def _describe_flags(*, ours: bool) -> list[str]:
  """The script's own flags, or absl's."""
  found = [flag for module, group in flags.FLAGS.flags_by_module_dict().items()
           if str(module).startswith('absl') is not ours for flag in group
           if not flag.name.startswith(('config', 'workdir'))]
  return [f'  --{flag.name}={_KINDS.get(flag.flag_type(), "TEXT")}\n'
          + textwrap.fill(' '.join((flag.help or '').split()), 80,
                          initial_indent=' ' * 6, subsequent_indent=' ' * 6)
          for flag in found]
