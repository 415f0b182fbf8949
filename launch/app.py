"""What every script shares: flags, the config file, errors of one line."""

from __future__ import annotations

import collections
import functools
import pathlib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from absl import app, flags, logging

from shallow_mimic import errors, packages
from shallow_mimic.runs import limits, refusals, stopping

from . import terminal, usage

_USAGE_ERROR = 2
_NO_CONFIG = (
    'the config file needs a function get_config() that returns a changed'
    ' configs.default_config(), as those in launch/configs do')
_NO_LITERAL = (
    'a --config flag holds something that is no number, text or tuple; put the'
    ' whole flag in single quotes, as in'
    ' \'--config.students.curves["SNN-MIMIC"].inputs=train\'')


class Script(NamedTuple):
  """What a script takes.

  Attributes:
    default: the experiment where neither --config nor a work directory says
      which; '' for a script that takes none.
    directories: whether words that are no flags are work directories; `main`
      is then called with them.
    places: where below its work directory a config.json may lie: patterns, in
      order.
  """

  default: str = 'mnist1d'
  directories: bool = False
  places: tuple[str, ...] = ('.',)


_USUAL = Script()


def chosen_workdir() -> pathlib.Path:
  """--workdir, or ./runs/NAME after the experiment."""
  chosen: Any = flags.FLAGS.workdir or flags.FLAGS['workdir'].default
  return pathlib.Path(chosen).expanduser()


def has_config_file() -> bool:
  """Whether the configuration is a file's, not that of a work directory."""
  chosen: Any = flags.FLAGS['config']
  return isinstance(chosen.config_filename, str)


def start(main: Callable[..., None], script: Script = _USUAL) -> None:
  """Parses the flags and runs `main`.

  --help and its like print what the script does and exit with 0. A UserError,
  a flag that cannot be parsed, and what the machine refuses are one line and
  status 2; SIGTERM and SIGUSR1 are one line and status 75, Ctrl-C is one line
  and status 130.

  Args:
    main: the work of the script; the docstring of its module is its help.
    script: what it takes.
  """
  logging.set_verbosity(logging.WARNING)
  doc = sys.modules[main.__module__].__doc__ or ''
  with terminal.readable(), stopping.end_at_once():
    app.run(functools.partial(_run, main, script),
            flags_parser=functools.partial(_parse, doc, script))


def _run(main: Callable[..., None], script: Script,
         arguments: Sequence[str]) -> None:
  try:
    if len(arguments) > 1 and not script.directories:
      raise errors.UserError(
          f'unknown argument {arguments[1]!r}; flags begin with --')
    if script.default:
      _check_config()
    main(*arguments[1:])
  except errors.UserError as error:
    leave(error)
  except errors.Stopped as stop:
    leave(stop, stop.status)
  except KeyboardInterrupt:
    leave('stopped; start the same command again to go on',
          stopping.INTERRUPTED)
  # What JAX raises of a device is a RuntimeError.
  except (MemoryError, RuntimeError, OSError) as error:
    line = refusals.tell(error)
    if not line:
      raise
    leave(line)


def _check_config() -> None:
  import ml_collections  # noqa: PLC0415  (of the extra `run`)

  if not isinstance(flags.FLAGS.config, ml_collections.ConfigDict):
    raise errors.UserError(_NO_CONFIG)


def _parse(doc: str, script: Script, arguments: Sequence[str]) -> list[str]:
  program, *words = arguments
  try:
    words = flags.FLAGS.read_flags_from_files(words)
    answer = usage.find_answer(words, doc, script.default)
    if answer is not None:
      print(answer)
      sys.exit()
    packages.require('run')
    limits.check_start()
    flags.FLAGS.set_gnu_getopt(True)  # Flags may follow directories.
    if not script.default:
      return flags.FLAGS([program, *words])
    return _parse_config(script, program, _join(words))
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


def _parse_config(script: Script, program: str, words: list[str]) -> list[str]:
  from ml_collections import config_flags  # noqa: PLC0415

  words = [_resolve(word) for word in words]
  given = [word for word in words if word.startswith('--config=')]
  default = _resolve(f'--config={script.default}')
  path, _, _ = (given or [default])[-1].removeprefix(
      '--config=').partition('.py:')
  flags.DEFINE_string('workdir', f'runs/{pathlib.Path(path).stem}',
                      'Where everything is written.')
  place = None if given else _find_place(script, [program, *words])
  if place:
    from shallow_mimic import pipeline  # noqa: PLC0415  (JAX loads slowly)

    # The library looks for overrides of the config in sys.argv itself.
    sys.argv = [program, *words]
    config_flags.DEFINE_config_dict('config', pipeline.read_last_config(place))
  else:
    sys.argv = [program, *([] if given else [default]), *words]
    config_flags.DEFINE_config_file('config', None, 'The experiment.')
  rest = flags.FLAGS(sys.argv)
  _check_tuples(sys.argv)
  if place and len(rest) < 3:  # Of several directories, each has its own.
    print(f'configuration of {place / "config.json"}')
  return rest


def _find_place(script: Script, arguments: list[str]) -> pathlib.Path | None:
  """The work directory whose last configuration is taken; None: there is none.

  Flags of the configuration are not known before it is.
  """
  rest = flags.FLAGS(arguments, known_only=True)
  named = [word for word in rest[1:] if not word.startswith('-')]
  root = (pathlib.Path(named[0]).expanduser()
          if script.directories and named else chosen_workdir())
  found = [path.parent for pattern in script.places
           for path in sorted(root.glob(f'{pattern}/config.json'))]
  return found[0] if found else None


def _check_tuples(arguments: Sequence[str]) -> None:
  """A tuple would be made of all the values of a flag that comes twice."""
  times = collections.Counter(
      argument.partition('=')[0].lstrip('-') for argument in arguments)
  for name, count in times.items():
    if (count > 1 and name.startswith('config.')
        and isinstance(flags.FLAGS[name].value, list)):
      raise errors.UserError(
          f'--{name} is given twice; give all values at once, as in'
          f" '--{name}=(1, 2)'")


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


def _join(words: Sequence[str]) -> list[str]:
  """`--config NAME` is `--config=NAME`; so are fields."""
  joined: list[str] = []
  for word in words:
    if joined and (joined[-1] in ('--config', '-config') or (
        re.match(r'--?config\.[^=]*$', joined[-1])
        and not word.startswith('-'))):
      joined[-1] += f'={word}'
    else:
      joined.append(word)
  return joined


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
