"""Records as files: their bytes, what is read back, what is refused."""

import dataclasses
import inspect
import json

import pytest
import report_records

from shallow_mimic import errors
from shallow_mimic.evaluation.records import RECORD, Record, read_record
from shallow_mimic.runs import files

# What every record's file says, as it always has.
FIELDS = {
    'model', 'role', 'objective', 'mixture', 'teacher', 'architecture', 'width',
    'seed', 'learning_rate', 'parameters', 'parameters_absorbed',
    'multiply_adds', 'hidden_units', 'sequential_depth', 'phase', 'selected',
    'best_step', 'diverged', 'metrics', 'history'}


@pytest.mark.parametrize(('changes', 'more'), [
    ({'role': 'student'}, {}),
    ({'role': 'ensemble', 'learning_rate': None}, {}),
    ({'role': 'teacher'}, {'held_out': None}),
    ({'role': 'teacher', 'held_out': 0}, {'held_out': 0}),
    ({'inputs_count': 9, 'weight_decay': 0.0},
     {'inputs_count': 9, 'weight_decay': 0.0}),
    ({'temperature': 4.0, 'delta': 2.0},
     {'constants': {'temperature': 4.0, 'delta': 2.0}}),
    ({'language_weight': 0.5, 'confusions': []},
     {'language_weight': 0.5, 'confusions': []})], ids=str)
def test_a_file_holds_what_there_is_and_reads_back(tmp_path, changes, more):
  record = report_records.make_record('SNN', **changes)
  files.write_json(tmp_path / RECORD, record.to_json())
  tree = json.loads((tmp_path / 'record.json').read_text(encoding='utf-8'))
  assert tree.keys() == FIELDS | more.keys()
  assert {key: tree[key] for key in more} == more
  assert read_record(tmp_path) == record


def test_a_records_facts_are_its_fields_and_its_losss_constants():
  record = report_records.make_record('SNN', temperature=4.0, delta=2.0)
  assert [record.fact(name) for name in (
      'width', 'temperature', 'delta', 'weight_decay', 'alpha')] == [
          64, 4.0, 2.0, None, None]


def change(tree, **changes):
  return {key: value for key, value in (tree | changes).items()
          if value is not ...}


@pytest.mark.parametrize(('spoil', 'said'), [
    (lambda tree: change(tree, width=...), "it lacks 'width'"),
    (lambda tree: change(tree, width=..., role=..., colour=1),
     "it lacks 'role', 'width'"),
    (lambda tree: change(tree, colour=1, heat=2),
     "it has the unknown 'colour', 'heat'"),
    (lambda tree: 'SNN', "it is no record but 'SNN'")])
def test_other_fields_are_refused_in_one_line(tmp_path, spoil, said):
  path = tmp_path / 'net' / 'record.json'
  files.write_json(
      path, spoil(report_records.make_record('SNN').to_json()))
  with pytest.raises(errors.UserError) as error:
    read_record(path.parent)
  assert str(error.value) == (
      f'cannot read {path}: {said}; another version of shallow_mimic wrote it:'
      f' use that one, or delete {path.parent} and run again to make it anew')


@pytest.mark.parametrize('data', ['[]', '3', 'null', '[{"model": "SNN"}]', '{'])
def test_a_file_that_holds_no_record_is_refused(tmp_path, data):
  (tmp_path / 'record.json').write_text(data, encoding='utf-8')
  with pytest.raises(errors.UserError, match=f'^cannot read {tmp_path}') as one:
    read_record(tmp_path)
  assert '\n' not in str(one.value)


def test_every_field_is_told_and_none_can_be_changed():
  told = inspect.getdoc(Record)  # Python 3.13 takes the margin off by itself.
  for field in dataclasses.fields(Record):
    assert f'\n  {field.name}: ' in told
  with pytest.raises(dataclasses.FrozenInstanceError):
    report_records.make_record('SNN').width = 3
