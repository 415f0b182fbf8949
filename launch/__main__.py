"""The command `shallow-mimic`: one subcommand a script."""

from __future__ import annotations

import importlib
import pathlib
import sys

from . import app, terminal, usage

COMMANDS = ('run', 'plan', 'report', 'export', 'folds', 'benchmark')


def main() -> None:
  """Calls the script that the first word names, or lists them all."""
  name, *rest = sys.argv[1:] or ['--help']
  if name in COMMANDS:
    sys.argv = [f'{usage.COMMAND} {name}', *rest]
    importlib.import_module(f'{__package__}.{name}').start()
  with terminal.readable():
    if name == '--version':
      print(usage.format_version())
    elif name in (*usage.HELP, '--helpfull', 'help'):
      print(_format_help())
    else:
      app.leave(f'there is no command {name!r}; known: {", ".join(COMMANDS)}'
                f' (as in `{usage.COMMAND} run --help`)')


def _format_help() -> str:
  folder = pathlib.Path(__file__).parent
  return (
      f'{usage.COMMAND} COMMAND --help says all of a command:\n\n'
      + usage.format_list({
          name: usage.read_summary(folder / f'{name}.py')
          for name in COMMANDS}))


if __name__ == '__main__':
  main()
