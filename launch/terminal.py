"""Output that any terminal can show, and that nobody need read to its end."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any, TextIO

# How a terminal of ASCII or Latin-1 shows what is in our texts.
_SPELLED = {
    '±': '+-', '×': 'x', '→': '->', '←': '<-', '≥': '>=', '≤': '<=',
    '−': '-', '–': '-', '—': '-', '·': '-', 'Σ': 'sum', 'Δ': 'delta',
    'µ': 'u', 'μ': 'u', '²': '^2', '³': '^3', '½': '1/2', '“': '"', '”': '"',
    '‘': "'", '’': "'",
}
_ERRORS = 'shallow_mimic.spell'


def spell(text: str) -> str:
  """The text in ASCII.

  >>> spell('93.1 ± 0.8 → é…')
  '93.1 +- 0.8 -> e...'
  """
  return ''.join(map(_spell_letter, text))


def _spell_letter(letter: str) -> str:
  plain = _SPELLED.get(letter) or ''.join(
      part for part in unicodedata.normalize('NFKD', letter)
      if part.isascii())
  return plain or letter.encode('ascii', 'backslashreplace').decode()


def _replace(error: UnicodeError) -> tuple[str, int]:
  if not isinstance(error, UnicodeEncodeError):
    raise error
  return spell(error.object[error.start:error.end]), error.end


class _Output(io.FileIO):
  """A stream that falls silent when its reader leaves, as `| head -1` does.

  And where it cannot be written, as on a full disk; `refusal` then says why.
  """

  refusal = ''

  def write(self, data: Any) -> int:
    try:
      return super().write(data) or 0
    except OSError as error:
      if not isinstance(error, BrokenPipeError):
        self.refusal = error.strerror or str(error)
      with open(os.devnull, 'wb') as nowhere:
        os.dup2(nowhere.fileno(), self.fileno())
      return memoryview(data).nbytes


def _wrap(stream: TextIO | None) -> TextIO | None:
  """The same stream, patient; itself where it is no real file."""
  if not isinstance(stream, io.TextIOWrapper):
    return stream
  stream.reconfigure(errors=_ERRORS)  # For who holds it already, as logging.
  try:
    place = stream.fileno()
  except OSError:
    return stream
  return io.TextIOWrapper(
      io.BufferedWriter(_Output(place, 'wb', closefd=False)),
      encoding=stream.encoding, errors=_ERRORS,
      line_buffering=True)  # A log shows how far a run has come.


@contextlib.contextmanager
def readable() -> Iterator[None]:
  """Makes stdout and stderr never the reason for which a script stops.

  Letters that the terminal lacks are spelled out. Where a pipe is closed at
  the other end, what more is written is lost, and the work goes on. So it does
  where the output cannot be written; that is one line, and status 2, at the
  end.
  """
  codecs.register_error(_ERRORS, _replace)
  with (contextlib.redirect_stdout(_wrap(sys.stdout)) as out,
        contextlib.redirect_stderr(_wrap(sys.stderr)) as problems):
    try:
      yield
    finally:
      for stream in (out, problems):
        if stream is not None:
          stream.flush()
          raw = getattr(getattr(stream, 'buffer', None), 'raw', None)
          if refusal := getattr(raw, 'refusal', ''):
            print(f'error: cannot write the output: {refusal}',
                  file=sys.__stderr__)
            sys.exit(2)
