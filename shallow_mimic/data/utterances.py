"""Utterances of a split: where each ends, what was said, who said it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from shallow_mimic import errors


class Sequences(NamedTuple):
  """Utterances that lie one behind the other in a split's rows.

  Attributes:
    stops: [U] int64, the row after the last of each.
    phones: all reference phones, one utterance behind the other, int32.
    phone_stops: [U] int64, the place after the last phone of each.
    names: 'speaker/sentence' of each.
  """

  stops: np.ndarray
  phones: np.ndarray
  phone_stops: np.ndarray
  names: tuple[str, ...]

  @property
  def starts(self) -> np.ndarray:
    """The first row of each, [U]."""
    return np.concatenate([[0], self.stops[:-1]]).astype(np.int64)

  @property
  def references(self) -> list[np.ndarray]:
    """The reference phones of each."""
    return np.split(self.phones, self.phone_stops[:-1])

  @property
  def speakers(self) -> list[str]:
    """The speaker of each."""
    return [name.partition('/')[0] for name in self.names]


def make_sequences(lengths: list[int], phones: list[np.ndarray],
                   names: list[str]) -> Sequences:
  """Sequences of frames' counts, phones and names, one an utterance."""
  counts = [len(part) for part in phones]
  return Sequences(
      np.cumsum(lengths, dtype=np.int64),
      np.concatenate(phones).astype(np.int32),
      np.cumsum(counts, dtype=np.int64), tuple(names))


def check_sequences(split: str, sequences: Sequences, rows: int) -> None:
  """UserError unless the utterances fill the split's rows exactly."""
  stops = np.concatenate([[0], sequences.stops])
  if stops[-1] != rows or (np.diff(stops) < 1).any():
    raise errors.UserError(
        f'split {split!r}: its utterances must not be empty and must fill its'
        f' {rows} rows, but they end at row {stops[-1]}')
