"""What every script shares: flags, the config file, errors of one line."""

from __future__ import annotations

import collections
import functools
import pathlib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from absl import app, flags, logging

from shallow_mimic import errors, packages
from shallow_mimic.runs import stopping

from . import terminal, usage

_USAGE_ERROR = 2
_NO_CONFIG = (
    'the config file needs a function get_config() that returns a changed'
    ' configs.default_config(), as those in launch/configs do')
_NO_LITERAL = (
    'a --config flag holds something that is no number, text or tuple; put the'
    ' whole flag in single quotes, as in'
    ' \'--config.students.curves["SNN-MIMIC"].inputs=train\'')


def chosen_workdir() -> pathlib.Path:
  """--workdir, or ./runs/NAME after the experiment."""
  if flags.FLAGS.workdir:
    return pathlib.Path(flags.FLAGS.workdir).expanduser()
  chosen: Any = flags.FLAGS['config']
  name, _, _ = chosen.config_filename.partition('.py:')
  return pathlib.Path('runs') / pathlib.Path(name).stem


def start(main: Callable[[], None], default: str = 'mnist1d') -> None:
  """Parses the flags and runs `main`.

  --help and its like print what the script does and exit with 0. A UserError,
  a flag that cannot be parsed, and what the machine refuses are one line and
  status 2; SIGTERM and SIGUSR1 are one line and status 75, Ctrl-C is one line
  and status 130.

  Args:
    main: the work of the script; the docstring of its module is its help.
    default: the experiment if --config is not given; '' for a script that
      takes none.
  """
  logging.set_verbosity(logging.WARNING)
  doc = sys.modules[main.__module__].__doc__ or ''
  with terminal.readable(), stopping.end_at_once():
    app.run(functools.partial(_run, main, default),
            flags_parser=functools.partial(_parse, doc, default))


def _run(main: Callable[[], None], default: str,
         arguments: Sequence[str]) -> None:
  try:
    if len(arguments) > 1:
      raise errors.UserError(
          f'unknown argument {arguments[1]!r}; flags begin with --')
    if default:
      _check_config()
    main()
  except errors.UserError as error:
    leave(error)
  except errors.Stopped as stop:
    leave(stop, stop.status)
  except KeyboardInterrupt:
    leave('stopped; start the same command again to go on',
          stopping.INTERRUPTED)
  except (MemoryError, RuntimeError) as error:
    first, _, _ = str(error).partition('\n')
    # What JAX raises of a device is a RuntimeError.
    if not (isinstance(error, MemoryError)
            or first.startswith('RESOURCE_EXHAUSTED')):
      raise
    leave(f'out of memory ({first}); use smaller widths, batch or data')
  except OSError as error:
    if not error.filename:
      raise
    leave(f'cannot use {error.filename}: {error.strerror}')


def _check_config() -> None:
  import ml_collections  # noqa: PLC0415  (of the extra `run`)

  if not isinstance(flags.FLAGS.config, ml_collections.ConfigDict):
    raise errors.UserError(_NO_CONFIG)


def _parse(doc: str, default: str, arguments: Sequence[str]) -> list[str]:
  program, *words = arguments
  try:
    words = flags.FLAGS.read_flags_from_files(words)
    answer = usage.find_answer(words, doc, default)
    if answer is not None:
      print(answer)
      sys.exit()
    packages.require('run')
    if not default:
      return flags.FLAGS([program, *words])
    return _parse_config([program, *_resolve_all(words, default)])
  except errors.UserError as error:
    leave(error)
  except (AttributeError, KeyError) as error:
    leave(_explain_field(str(error)))
  except (NameError, ImportError) as error:
    leave(f'the config file: {error}')
  except flags.Error as error:
    leave(str(error).removeprefix('ERROR:: '))
  except (TypeError, ValueError, OSError, SyntaxError) as error:
    leave(_NO_LITERAL if 'malformed node' in str(error) else error)


def _parse_config(arguments: list[str]) -> list[str]:
  from ml_collections import config_flags  # noqa: PLC0415

  # The library looks for overrides of the config in sys.argv itself.
  sys.argv = arguments
  flags.DEFINE_string('workdir', '', 'Where everything is written.')
  config_flags.DEFINE_config_file('config', None, 'The experiment.')
  rest = flags.FLAGS(arguments)
  # A tuple would be made of all the values of a flag that comes twice.
  times = collections.Counter(
      argument.partition('=')[0].lstrip('-') for argument in arguments)
  for name, count in times.items():
    if (count > 1 and name.startswith('config.')
        and isinstance(flags.FLAGS[name].value, list)):
      raise errors.UserError(
          f'--{name} is given twice; give all values at once, as in'
          f" '--{name}=(1, 2)'")
  return rest


def _explain_field(message: str) -> str:
  """What ml_collections says of an unknown field, without its quoting."""
  if 'get_config' in message:
    return _NO_CONFIG
  if ' has no attribute ' in message:
    return f'the config file: {message}'
  field = re.search(r'\w+', message)
  near = re.search(r'Did you mean \W*(\w+)', message)
  hint = f'; did you mean {near[1]!r}?' if near else ''
  return f'unknown config field {field[0] if field else message!r}{hint}'


def _resolve_all(words: Sequence[str], default: str) -> list[str]:
  joined: list[str] = []
  for word in words:  # `--config NAME` is `--config=NAME`.
    if joined and joined[-1] in ('--config', '-config'):
      joined[-1] += f'={word}'
    else:
      joined.append(word)
  resolved = [_resolve(word) for word in joined]
  if not any(word.startswith('--config=') for word in resolved):
    resolved.insert(0, _resolve(f'--config={default}'))
  return resolved


def _resolve(word: str) -> str:
  """Lets --config be a name, or the path that it has in a clone."""
  flag, _, value = word.partition('=')
  if flag not in ('--config', '-config') or not value:
    return word
  path, colon, more = value.partition(':')
  if pathlib.Path(path).is_file():
    return f'--config={value}'
  name = path.removeprefix('launch/configs/').removesuffix('.py')
  names = usage.config_names()
  if name not in names:
    raise errors.UserError(
        f'there is no config {value}; a path to a file, or one of'
        f' {", ".join(names)}')
  return f'--config={usage.CONFIGS / name}.py{colon}{more}'


def leave(message: object, status: int = _USAGE_ERROR) -> NoReturn:
  """Says one line and ends the program."""
  first, *rest = [line.strip() for line in str(message).splitlines()
                  if line.strip()] or ['unknown error']
  # What went wrong inside a config file comes last, below its traceback.
  reason = f' {rest[-1]}' if rest and first.endswith(':') else ''
  kind = 'error: ' if status == _USAGE_ERROR else ''
  print(f'{kind}{first}{reason}', file=sys.stderr)
  sys.exit(status)
