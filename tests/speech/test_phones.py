"""Phones, states and classes: the whole map, typed a second time by class."""

import re

import numpy as np
import places
import pytest

from shallow_mimic.speech import phones

# The published folding, by class instead of by phone.
GROUPS = {
    'aa': 'aa ao', 'ah': 'ah ax ax-h', 'er': 'er axr', 'hh': 'hh hv',
    'ih': 'ih ix', 'l': 'l el', 'm': 'm em', 'n': 'n en nx', 'ng': 'ng eng',
    'sh': 'sh zh', 'uw': 'uw ux',
    'sil': 'h# pau epi bcl dcl gcl pcl tcl kcl'}
ALONE = ('ae aw ay b ch d dh dx eh ey f g iy jh k ow oy p r s t th uh v w y z')


def test_the_61_phones_and_39_classes():
  groups = {**GROUPS, **{phone: phone for phone in ALONE.split()}}
  folded = {phone: name for name, group in groups.items()
            for phone in group.split()}
  assert len(folded) == 60 and len(groups) == 39
  assert sorted(phones.PHONES) == sorted([*folded, 'q'])
  assert sorted(phones.CLASSES) == sorted(groups)
  for phone, index in zip(phones.PHONES, phones.CLASS_OF_PHONE, strict=True):
    if phone == 'q':
      assert index == phones.DELETED == -1
    else:
      assert phones.CLASSES[index] == folded[phone]
  assert phones.CLASSES[phones.SILENCE] == 'sil'


def test_order_is_fixed():
  # A cached state number means the same phone for ever.
  assert [phones.PHONE_IDS[phone] for phone in ('aa', 'h#', 'q', 'zh')] == [
      0, 27, 46, 60]
  assert list(phones.PHONES) == sorted(phones.PHONES)


def test_states():
  assert (phones.STATES, phones.STATES_PER_PHONE) == (183, 3)
  assert phones.PHONE_OF_STATE.shape == phones.CLASS_OF_STATE.shape == (183,)
  for state in range(183):
    assert phones.PHONE_OF_STATE[state] == state // 3
    assert phones.CLASS_OF_STATE[state] == phones.CLASS_OF_PHONE[state // 3]
  states = np.array([[0, 2], [3, 182]])
  np.testing.assert_array_equal(
      phones.classes_of_states(states),
      [[phones.CLASSES.index(name) for name in row]
       for row in (('aa', 'aa'), ('ae', 'sh'))])


def test_fold_deletes_q_alone_and_merges_nothing():
  ids = [phones.PHONE_IDS[name] for name in ('h#', 'pau', 'q', 'ao', 'aa')]
  folded = phones.fold(ids)
  assert [phones.CLASSES[index] for index in folded] == [
      'sil', 'sil', 'aa', 'aa']
  assert folded.dtype == np.int32
  assert phones.fold([]).shape == (0,)
  assert phones.fold([phones.PHONE_IDS['q']]).shape == (0,)


def test_constants_cannot_be_written():
  with pytest.raises(ValueError, match='read-only'):
    phones.CLASS_OF_PHONE[0] = 3


def test_the_paper_notes_agree_where_they_are_at_hand():
  notes = places.SHARED / 'PAPER.md'
  if not notes.is_file():
    pytest.skip(f'no {notes}')
  line = re.search(r'^61 → 39: (.*) · `q` deleted', notes.read_text(
      encoding='utf-8'), re.M)
  for part in line[1].split(' · '):
    name, _, group = part.partition('←')
    for phone in (group or name).split(','):
      index = phones.CLASS_OF_PHONE[phones.PHONE_IDS[phone]]
      assert phones.CLASSES[index] == name
