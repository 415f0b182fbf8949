"""The 61 phone labels of TIMIT, their 183 states, and the 39 scored classes.

A state is 3 · phone + position, position 0, 1 or 2: the first, middle and
last third of a phone. Phones are folded to classes (Lee & Hon 1989) before
errors are counted; the glottal stop `q` belongs to none and is deleted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

PHONES = (
    'aa', 'ae', 'ah', 'ao', 'aw', 'ax', 'ax-h', 'axr', 'ay', 'b', 'bcl', 'ch',
    'd', 'dcl', 'dh', 'dx', 'eh', 'el', 'em', 'en', 'eng', 'epi', 'er', 'ey',
    'f', 'g', 'gcl', 'h#', 'hh', 'hv', 'ih', 'ix', 'iy', 'jh', 'k', 'kcl', 'l',
    'm', 'n', 'ng', 'nx', 'ow', 'oy', 'p', 'pau', 'pcl', 'q', 'r', 's', 'sh',
    't', 'tcl', 'th', 'uh', 'uw', 'ux', 'v', 'w', 'y', 'z', 'zh')
CLASSES = (
    'aa', 'ae', 'ah', 'aw', 'ay', 'b', 'ch', 'd', 'dh', 'dx', 'eh', 'er', 'ey',
    'f', 'g', 'hh', 'ih', 'iy', 'jh', 'k', 'l', 'm', 'n', 'ng', 'ow', 'oy',
    'p', 'r', 's', 'sh', 'sil', 't', 'th', 'uh', 'uw', 'v', 'w', 'y', 'z')
STATES_PER_PHONE = 3
STATES = STATES_PER_PHONE * len(PHONES)
SILENCE = CLASSES.index('sil')
DELETED = -1

# Every other phone is the class of its own name.
_FOLDED = {
    'ao': 'aa', 'ax': 'ah', 'ax-h': 'ah', 'axr': 'er', 'hv': 'hh', 'ix': 'ih',
    'el': 'l', 'em': 'm', 'en': 'n', 'nx': 'n', 'eng': 'ng', 'zh': 'sh',
    'ux': 'uw', **dict.fromkeys(
        ('h#', 'pau', 'epi', 'bcl', 'dcl', 'gcl', 'pcl', 'tcl', 'kcl'), 'sil')}


def _constant(values: ArrayLike) -> np.ndarray:
  array = np.asarray(values, np.int32)
  array.flags.writeable = False
  return array


PHONE_IDS = {phone: index for index, phone in enumerate(PHONES)}
CLASS_OF_PHONE = _constant([
    DELETED if phone == 'q' else CLASSES.index(_FOLDED.get(phone, phone))
    for phone in PHONES])
PHONE_OF_STATE = _constant(np.arange(STATES) // STATES_PER_PHONE)
CLASS_OF_STATE = _constant(CLASS_OF_PHONE[PHONE_OF_STATE])


def fold(phones: ArrayLike) -> np.ndarray:
  """Classes of a sequence of phones, `q` left out.

  Neighbours of one class stay two: a closure and a pause are two silences.

  Args:
    phones: [n] integers.

  Returns:
    [m] int32, m ≤ n.

  >>> [CLASSES[c] for c in fold([PHONE_IDS[p] for p in ('q', 'ix', 'tcl')])]
  ['ih', 'sil']
  """
  classes = CLASS_OF_PHONE[np.asarray(phones, np.int32)]
  return classes[classes != DELETED]


def classes_of_states(states: ArrayLike) -> np.ndarray:
  """Class of each state, int32 of the same shape; -1 for those of `q`."""
  return CLASS_OF_STATE[np.asarray(states)]
