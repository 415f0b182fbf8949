"""Every field of every section: what it may be, and what one line says."""

import dataclasses
import math
import os
import subprocess
import sys

import numpy as np
import places
import pytest
import tiny_experiment

from shallow_mimic import configs, errors
from shallow_mimic.configs import fields, sections
from shallow_mimic.pipeline import validation
from shallow_mimic.runs import files

WRONG = (None, 'x', math.nan, -1, 10**12, (1, 'a'), b'', math.inf, True,
         ((1, 2), 3), {1: 2}, np.float64('nan'), [object()])


def make_tree():
  """The tiny experiment as dicts and tuples, which hold any value."""
  return fields.to_tree(configs.read_config(tiny_experiment.make_config()))


def find_fields(section=None, place=()):
  """The place of every field, a name at a time."""
  section = section or configs.read_config(tiny_experiment.make_config())
  for name in vars(section):
    value, here = getattr(section, name), (*place, name)
    yield here
    if isinstance(value, fields.Section):
      yield from find_fields(value, here)
    elif name in ('teachers', 'ensembles', 'curves'):
      for key in value:
        yield from find_fields(value[key], (*here, key))


FIELDS = sorted(set(find_fields()))


def change(tree, place, value):
  *parents, name = place
  for parent in parents:
    tree = tree[parent]
  assert name in tree
  tree[name] = value


def is_taken(place, value):
  """Whether a value is taken; if it is not, by one line with the field."""
  tree = make_tree()
  change(tree, place, value)
  try:
    validation.check_config(tree)
  except errors.UserError as error:
    assert '\n' not in str(error) and place[-1] in str(error)
    return False
  # Nor does what comes next fail.
  files.digest_json(configs.to_json(tree))
  return True


# What of `WRONG` some field may well be: text, or a large number.
TAKEN = {
    'x': {'title', 'name', 'path', 'data_dir', 'aligner', 'activation',
          'inputs'},
    10**12: {'memory_gib', 'save_seconds', 'bias_spread', 'clip',
             'temperature', 'learning_rate', 'weight_decay'},
    True: {'mirror', 'out_of_fold', 'latency'},
}


@pytest.mark.parametrize('place', FIELDS, ids='.'.join)
def test_values_of_every_field(place):
  taken = [value for value in WRONG if is_taken(place, value)]
  wanted = [value for value, names in TAKEN.items() if place[-1] in names]
  if place[-1] == 'teacher':  # An ensemble where there is to be one.
    wanted = []
  assert taken == wanted


def test_every_section_and_field_is_among_these():
  assert {place[0] for place in FIELDS} == {
      field.name for field in dataclasses.fields(configs.Config)}
  for kind, inside in (
      (configs.Speech, ('data', 'speech')), (configs.Data, ('data',)),
      (configs.Teacher, ('teachers', 'DNN')),
      (configs.Ensemble, ('ensembles', 'EDNN')),
      (configs.Curve, ('students', 'curves', 'SNN')),
      (configs.Students, ('students',)), (configs.Logits, ('logits',)),
      (configs.Parallel, ('parallel',)), (configs.Report, ('report',))):
    assert {place[-1] for place in FIELDS if place[:-1] == inside} == {
        field.name for field in dataclasses.fields(kind)}


def refuse(*changes):
  tree = make_tree()
  for place, value in changes:
    change(tree, place.split('/'), value)
  with pytest.raises(errors.UserError) as error:
    validation.check_config(tree)
  return str(error.value)


MOST = 'at most 2147483647'
TEXTS = "a tuple of texts, such as ('One note.',)"
NAMES = ('named as folders can be: without / and \\, not "." or "..", of at'
         ' most 200 bytes')
LINE = 'named by text of one line, without control characters'


@pytest.mark.parametrize('place, value, shown, allowed', [
    ('report/notes', (1, 2), 1, 'texts in quotes'),
    ('report/notes', 'A note.', 'A note.', TEXTS),
    ('report/figure_width', -1, -1, '0 or a width'),
    ('students/widths', (10**12,), 10**12,
     'at most 16777216: wider nets have no room on a device'),
    ('students/curves/SNN/parameters', (10**12,), 10**12,
     MOST + ': 32 bits count no further'),
    ('students/widths', (True,), True, 'whole numbers from 1'),
    ('students/widths', 16, 16, 'a tuple of whole numbers, such as (16, 64)'),
    ('students/seeds', 10**12, 10**12, MOST),
    ('students/seeds', 2.0, 2.0, 'a whole number'),
    ('students/eval_every', 21, 21, 'at most 20, as many as the steps'),
    ('teachers/DNN/eval_every', 21, 21, 'at most 20, as many as the steps'),
    ('ensembles/EDNN/members', (1,), 1, 'of the names of teachers'),
    ('ensembles/EDNN/members', 'DNN', 'DNN',
     "a tuple of names of teachers, such as ('CNN',)"),
    ('ensembles/EDNN/members', ('DNN:²',), 'DNN:²', 'DNN:0 to DNN:1'),
    ('parallel/save_seconds', math.nan, math.nan,
     '0 (at every look at dev) or more seconds'),
    ('parallel/save_seconds', -1, -1,
     '0 (at every look at dev) or more seconds'),
    ('students/curves/SNN/weight_decays', (0.1, 0.1), (0.1, 0.1),
     'without repeats'),
    ('data/preprocessing', ('zca', ('zca', {'eps': 0.5})),
     ('zca', ('zca', {'eps': 0.5})), 'without repeats'),
    ('data/preprocessing', 'zca', 'zca',
     "a tuple of steps, such as ('standardise',)"),
    ('data/path', 'a\0b', 'a\0b', 'text without NUL and half characters'),
    ('title', '\ud800', '\ud800', 'text without NUL and half characters'),
    ('data/input_shape', (4, 0), 0, 'at least 1'),
    ('data/splits', {'dev': object}, object,
     'made of texts, finite numbers, tuples and mappings'),
    ('students/curves/SNN/constants', {'gamma': '1'}, '1', 'a finite number'),
])
def test_one_line_with_the_field(place, value, shown, allowed):
  field = place.replace('/', '.')
  if isinstance(value, dict):
    field += f'.{next(iter(value))}'
  assert refuse((place, value)) == (
      f'config.{field} is {shown!r}; it must be {allowed}')


@pytest.mark.parametrize('section', ['teachers', 'ensembles'])
@pytest.mark.parametrize('name', [
    '/tmp/x', '..', '.', 'a/b', 'a\\b', 'é' * 101])
def test_names_that_would_leave_the_folder(section, name):
  made = make_tree()[section].popitem()[1]
  assert refuse((section, {name: made})) == (
      f'config.{section} is {name!r}; it must be {NAMES}')


@pytest.mark.parametrize('name', ['', 'a\0b', 'a\nb', 'a\u2028b', '\x7f', 3])
@pytest.mark.parametrize('section', [
    'teachers', 'ensembles', 'students/curves'])
def test_names_that_are_no_line(section, name):
  tree = make_tree()
  made = {'teachers': tree['teachers']['DNN'],
          'ensembles': tree['ensembles']['EDNN']}.get(
              section, tree['students']['curves']['SNN'])
  assert refuse((section, {name: made})) == (
      f'config.{section.replace("/", ".")} is {name!r}; it must be {LINE}')


def test_a_search_may_be_shorter_than_the_steps_between_two_looks():
  config = tiny_experiment.make_config()
  config.students.search_steps = 1
  assert validation.check_config(config).students.search_steps == 1


def test_numbers_of_numpy_are_numbers():
  config = tiny_experiment.make_config()
  students, report = config.students, config.report
  students.seeds, students.warmup = np.int64(5), np.float32(0.25)
  students.learning_rates = (np.float32(0.5), np.float64(0.25))
  students.widths = np.array([3, 5], np.int16)
  report.latency = np.bool_(True)
  config.teachers.DNN = configs.make_teacher(
      architecture='8', members=np.int8(2), learning_rate=np.float32(0.5),
      net={'groups': np.int32(2), 'standardised': np.bool_(False)})
  config.students.curves.SNN = configs.make_curve(
      objective='cross_entropy', temperature=np.float32(2),
      widths=[np.int64(7)], weight_decays=(np.float32(0.5),))
  config.data.transfer = {'transfer': {'kind': 'views', 'copies': np.int64(3)}}
  read = validation.check_config(config)
  found = (read.students.seeds, read.students.warmup, read.students.widths,
           read.students.learning_rates, read.report.latency)
  assert repr(found) == repr((5, 0.25, (3, 5), (0.5, 0.25), True))
  group, curve = read.teachers['DNN'], read.students.curves['SNN']
  assert repr((group.members, group.learning_rate, dict(group.net))) == repr(
      (2, 0.5, {'groups': 2, 'standardised': False}))
  assert repr((curve.temperature, curve.widths, curve.weight_decays)) == repr(
      (2.0, (7,), (0.5,)))
  # As if they had been written as Python's own.
  assert configs.to_json(config)['students']['seeds'] == 5
  assert configs.to_json(config)['data']['transfer']['transfer'] == {
      'kind': 'views', 'copies': 3}


@pytest.mark.parametrize('name', ['seeds', 'clip'])
def test_a_truth_is_no_number(name):
  config = configs.default_config()
  with pytest.raises(TypeError, match=f"field '{name}': True is no number"):
    config.students[name] = True
  # Nor is it where nothing says what stood there before.
  assert refuse((f'students/{name}', True)).startswith(
      f'config.students.{name} is True; it must be ')


def test_fields_given_as_numbers_stay_what_they_were():
  tree = make_tree()
  tree['students']['learning_rates'], tree['students']['clip'] = (1, 0.5), 2
  read = configs.read_config(tree)
  assert repr((read.students.learning_rates, read.students.clip)) == repr(
      ((1, 0.5), 2))


def test_a_config_is_read_once():
  given = tiny_experiment.make_config()
  config = configs.read_config(given)
  assert configs.read_config(config) is config
  given.students.seeds = 9
  assert config.students.seeds == 2
  with pytest.raises(dataclasses.FrozenInstanceError):
    config.students.seeds = 3
  with pytest.raises(TypeError):
    config.teachers['DNN'] = None


def test_what_replaces_a_field_is_checked():
  config = configs.read_config(tiny_experiment.make_config())
  longer = dataclasses.replace(config.students, steps=40)
  changed = dataclasses.replace(config, students=longer)
  assert (changed.students.steps, config.students.steps) == (40, 20)
  assert changed.teachers is not config.teachers
  assert changed.teachers == config.teachers
  with pytest.raises(errors.UserError) as error:
    dataclasses.replace(config.students, clip=-1)
  assert str(error.value) == (
      'config.students.clip is -1; it must be 0 (off) or a positive norm')
  with pytest.raises(errors.UserError) as error:
    dataclasses.replace(config.teachers['DNN'], steps=4)
  assert str(error.value) == (
      'config.teachers.NAME.eval_every is 5; it must be at most 4, as many as'
      ' the steps')


def test_names_come_in_the_order_of_a_configdict():
  tree = make_tree()
  group = tree['teachers']['DNN']
  tree['teachers'] = {'b': group, 'DNN': group, 'a': group}
  assert list(configs.read_config(tree).teachers) == ['DNN', 'a', 'b']


def test_a_tree_of_json_is_read_back():
  config = configs.read_config(tiny_experiment.make_config())
  assert configs.read_config(fields.to_tree(config)) == config


def test_constants_are_written_as_numbers():
  config = tiny_experiment.make_config()
  curve = configs.to_json(config)['students']['curves']['SNN']
  assert curve['constants'] == {} and curve['weights'] == []
  config.students.curves.SNN.constants = {'gamma': 2, 'beta': np.float32(0.5)}
  assert configs.to_json(config)['students']['curves']['SNN']['constants'] == {
      'beta': 0.5, 'gamma': 2}


def test_defaults_are_those_of_the_sections():
  read = configs.read_config(configs.default_config())
  assert read == configs.Config()
  assert read.students == configs.Students()
  made = configs.make_teacher().to_dict()
  assert configs.Teacher(**made) == configs.Teacher()
  assert configs.Curve(**configs.make_curve().to_dict()) == configs.Curve()
  assert configs.Ensemble(**configs.make_ensemble('A').to_dict()) == (
      configs.Ensemble(members=('A',)))


@pytest.mark.parametrize('given', [None, 3, 'mnist1d', [1]])
def test_what_is_no_configuration(given):
  with pytest.raises(errors.UserError) as error:
    configs.read_config(given)
  assert str(error.value) == (
      f'the configuration is {given!r}; it must be a changed'
      ' configs.default_config()')


def test_a_section_that_is_none():
  assert refuse(('students/curves/SNN', 3)).startswith(
      'the config section students.curves.SNN is 3; it must have the fields'
      ' alpha, architecture, ')


def test_what_prints_a_mapping_prints_a_dict():
  data = configs.Data(preprocessing=(('zca', {'eps': 0.5}),), transfer={
      'b': {'kind': 'views'}, 'a': {'kind': 'arrays'}})
  assert repr(data.preprocessing) == "(('zca', {'eps': 0.5}),)"
  assert repr(data.transfer) == (
      "{'a': {'kind': 'arrays'}, 'b': {'kind': 'views'}}")


def test_the_widest_net_is_bounded_as_said():
  tree = make_tree()
  change(tree, ('students', 'widths'), (sections.MOST_UNITS,))
  assert configs.read_config(tree).students.widths == (2**24,)
  assert 'at most 16777216' in refuse(('students/widths', (2**24 + 1,)))


def test_the_configuration_is_light_to_import():
  code = ("import sys; import shallow_mimic.configs; print(sorted("
          "{'jax', 'flax', 'optax', 'tensorflow_datasets'} & {*sys.modules}))")
  done = subprocess.run(
      [sys.executable, '-c', code], cwd=places.ROOT, check=True, text=True,
      stdout=subprocess.PIPE,
      env={**os.environ, 'PYTHONPATH': str(places.ROOT)})
  assert done.stdout == '[]\n'
