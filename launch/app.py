"""What every script shares: flags, the config file, errors of one line."""

from __future__ import annotations

import pathlib
import re
import sys
from collections.abc import Callable, Sequence

import ml_collections
from absl import app, flags, logging
from ml_collections import config_flags

from shallow_mimic import errors

CONFIGS = pathlib.Path(__file__).parent / 'configs'
_USAGE_ERROR, _INTERRUPTED = 2, 130
_NO_CONFIG = (
    'the config file needs a function get_config() that returns a changed'
    ' configs.default_config(), as those in launch/configs do')
_NO_LITERAL = (
    'a --config flag holds something that is no number, text or tuple; put the'
    ' whole flag in single quotes, as in'
    ' \'--config.students.curves["SNN-MIMIC"].inputs=train\'')


def config_names() -> list[str]:
  """The experiments that come with the package."""
  return sorted(path.stem for path in CONFIGS.glob('*.py')
                if path.stem != '__init__')


def chosen_workdir() -> pathlib.Path:
  """--workdir, or ./runs/NAME after the experiment."""
  if flags.FLAGS.workdir:
    return pathlib.Path(flags.FLAGS.workdir).expanduser()
  name = config_flags.get_config_filename(flags.FLAGS['config'])
  return pathlib.Path('runs') / pathlib.Path(name).stem


def start(main: Callable[[], None], default: str = 'mnist1d') -> None:
  """Parses --config and --workdir and runs `main`.

  A UserError, a flag that cannot be parsed, and what the machine refuses are
  one line and status 2; Ctrl-C is one line and status 130.
  """

  def guarded(arguments: Sequence[str]) -> None:
    if len(arguments) > 1:
      raise errors.UserError(
          f'unknown argument {arguments[1]!r}; flags begin with --'
      )
    if not isinstance(flags.FLAGS.config, ml_collections.ConfigDict):
      raise errors.UserError(_NO_CONFIG)
    main()

  def reported(arguments: Sequence[str]) -> None:
    try:
      guarded(arguments)
    except errors.UserError as error:
      _leave(error)
    except KeyboardInterrupt:
      _leave('interrupted; start the same command again to go on',
             _INTERRUPTED)
    except (MemoryError, RuntimeError) as error:
      first, _, _ = str(error).partition('\n')
      # What JAX raises of a device is a RuntimeError.
      if not (isinstance(error, MemoryError)
              or first.startswith('RESOURCE_EXHAUSTED')):
        raise
      _leave(f'out of memory ({first}); use smaller widths, batch or data')
    except OSError as error:
      if not error.filename:
        raise
      _leave(f'cannot use {error.filename}: {error.strerror}')

  logging.set_verbosity(logging.WARNING)
  app.run(reported, flags_parser=lambda arguments: _parse(arguments, default))


def _parse(arguments: Sequence[str], default: str) -> list[str]:
  flags.DEFINE_string(
      'workdir', '', 'Where everything is written; ./runs/NAME if not given.'
  )
  try:
    # The library looks for overrides of the config in sys.argv itself.
    sys.argv = _resolve_all(arguments, default)
    config_flags.DEFINE_config_file(
        'config', None, 'An experiment: a path, or the name of one of'
        f' {", ".join(config_names())}.',
    )
    return flags.FLAGS(sys.argv)
  except (AttributeError, KeyError) as error:
    _leave(_explain_field(str(error)))
  except (NameError, ImportError) as error:
    _leave(f'the config file: {error}')
  except (flags.Error, TypeError, ValueError, OSError, SyntaxError,
          errors.UserError) as error:
    _leave(_NO_LITERAL if 'malformed node' in str(error) else error)


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


def _resolve_all(arguments: Sequence[str], default: str) -> list[str]:
  joined: list[str] = []
  for argument in arguments:  # `--config NAME` is `--config=NAME`.
    if joined and joined[-1] in ('--config', '-config'):
      joined[-1] += f'={argument}'
    else:
      joined.append(argument)
  resolved = [_resolve(argument) for argument in joined]
  if not any(argument.startswith('--config=') for argument in resolved):
    resolved.insert(1, _resolve(f'--config={default}'))
  return resolved


def _resolve(argument: str) -> str:
  """Lets --config be a name, or the path that it has in a clone."""
  flag, _, value = argument.partition('=')
  if flag not in ('--config', '-config') or not value:
    return argument
  path, colon, more = value.partition(':')
  if pathlib.Path(path).is_file():
    return f'--config={value}'
  name = path.removeprefix('launch/configs/').removesuffix('.py')
  if name not in config_names():
    raise errors.UserError(
        f'there is no config {value}; a path to a file, or one of'
        f' {", ".join(config_names())}'
    )
  return f'--config={CONFIGS / name}.py{colon}{more}'


def _leave(message: object, status: int = _USAGE_ERROR) -> None:
  first, *rest = [line.strip() for line in str(message).splitlines()
                  if line.strip()] or ['unknown error']
  # What went wrong inside a config file comes last, below its traceback.
  reason = f' {rest[-1]}' if rest and first.endswith(':') else ''
  print(f'error: {first}{reason}', file=sys.stderr)
  sys.exit(status)
