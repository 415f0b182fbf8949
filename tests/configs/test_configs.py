"""Tests of configurations: those that come along, and what is refused."""

import importlib
import json
import math

import pytest
import tiny_experiment
from ml_collections import config_dict

from launch import usage
from shallow_mimic import configs, errors
from shallow_mimic.pipeline import plan, validation
from shallow_mimic.runs import files


def refuse(config):
  with pytest.raises(errors.UserError) as error:
    validation.check_config(config)
  assert '\n' not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize('name', usage.config_names())
def test_configs_that_come_along(name):
  module = importlib.import_module(f'launch.configs.{name}')
  config = module.get_config()
  validation.check_config(config)
  assert 'python -m launch.run' in module.__doc__
  if name != 'mnist1d':
    assert f'--config=launch/configs/{name}.py' in module.__doc__
  # The work directory keeps it as JSON, every value as it was written.
  assert files.digest_json(configs.to_json(config)) == files.digest_json(
      write_plainly(config))
  if config.data.source == 'mnist1d' or config.data.input_shape:
    plan.stated_shapes(config)


def write_plainly(config):
  return json.loads(json.dumps(
      config.to_dict(), default=lambda value: value.to_dict()))


def test_names_of_the_configs_that_come_along():
  assert {'arrays', 'cifar10_paper', 'mnist1d', 'mnist1d_smoke'} <= set(
      usage.config_names())


def test_two_defaults_share_nothing():
  configs.default_config().students.widths = (1,)
  assert configs.default_config().students.widths == (16, 64, 256, 1024)


def test_json_is_plain():
  tree = configs.to_json(tiny_experiment.make_config('a.npz'))
  assert tree['students']['widths'] == [3, 5]
  assert tree['teachers']['DNN']['net'] == {}
  assert type(tree['students']['curves']['SNN']) is dict


WIDTHS = 'whole numbers from 1'
RATES = 'finite and above 0'


@pytest.mark.parametrize('field, value, shown, allowed', [
    ('students.widths', (3, 0), 0, WIDTHS),
    ('students.widths', (3, -1), -1, WIDTHS),
    ('students.widths', (2.5,), 2.5, WIDTHS),
    ('students.widths', ('a',), 'a', WIDTHS),
    ('students.widths', (3, 5, 3), (3, 5, 3), 'without repeats'),
    ('students.widths', (), (), 'one width or more'),
    ('students.curves.SNN.widths', (0,), 0, WIDTHS),
    ('students.parameters', (1000, 0), 0, WIDTHS),
    ('students.parameters', (1e6,), 1e6, WIDTHS),
    ('students.parameters', (9, 9), (9, 9), 'without repeats'),
    ('students.curves.SNN.parameters', (0,), 0, WIDTHS),
    ('students.learning_rates', (math.nan,), math.nan, RATES),
    ('students.learning_rates', (0.1, math.inf), math.inf, RATES),
    ('students.learning_rates', (0.0,), 0.0, RATES),
    ('students.learning_rates', (-0.1,), -0.1, RATES),
    ('students.learning_rates', ('a',), 'a', RATES),
    ('students.learning_rates', (), (), 'one learning rate or more'),
    ('students.learning_rates', (0.1, 0.1), (0.1, 0.1), 'without repeats'),
    ('teachers.DNN.learning_rate', math.nan, math.nan, RATES),
    ('teachers.DNN.members', 0, 0, 'at least 1'),
    ('teachers.DNN.steps', 0, 0, 'at least 1'),
    ('teachers.DNN.together', -1, -1, 'from 0 to below 2147483648'),
    ('teachers.DNN.first_seed', -1, -1, 'from 0 to below 2147483648'),
    ('data.seed', 2 ** 31, 2 ** 31, 'from 0 to below 2147483648'),
    ('seed', -1, -1, 'from 0 to below 2147483648'),
    ('teachers.DNN.weight_decay', -1.0, -1.0, 'finite and not negative'),
    ('report.paper', (1,), 1, "a tuple of rows such as {'model': 'CNN',"
     " 'error': 12.0}"),
    ('report.paper', ({'error': 12.0},), {'error': 12.0},
     "a tuple of rows such as {'model': 'CNN', 'error': 12.0}"),
    ('teachers.DNN.net.dropout_hidden', '0.5', '0.5', 'a number'),
    ('teachers.DNN.net.groups', 2.0, 2.0, 'a whole number'),
    ('teachers.DNN.net.standardised', 'False', 'False', 'True or False'),
    ('teachers.DNN.net.norm', None, None, 'a name in quotes'),
    ('teachers.DNN.net.precision', 3, 3, 'a name in quotes'),
    ('data.speech.reach', -1, -1, 'from 0 to below 2147483648'),
    ('data.dev', -1, -1, 'from 0 to below 2147483648'),
    ('students.seeds', 0, 0, 'at least 1'),
    ('students.search_steps', 0, 0, 'at least 1'),
    ('students.batch', -1, -1, 'at least 1'),
    ('students.eval_every', 0, 0, 'at least 1'),
    ('students.optimizer', 'lion', 'lion', 'adam, muon or sgd'),
    ('students.momentum', 1.0, 1.0, 'from 0 to below 1'),
    ('students.warmup', math.nan, math.nan, 'a share from 0 to below 1'),
    ('students.clip', -1.0, -1.0, '0 (off) or a positive norm'),
    ('students.clip', math.nan, math.nan, '0 (off) or a positive norm'),
    ('students.waste', 1.0, 1.0, 'a share from 0 to below 1'),
    ('ensembles.EDNN.space', 'votes', 'votes',
     'one of logits, probabilities'),
    ('ensembles.EDNN.members', (), (), 'one teacher or more'),
    ('ensembles.EDNN.members', ('X',), 'X', 'of the teachers DNN'),
    ('ensembles.EDNN.members', ('DNN:2',), 'DNN:2', 'DNN:0 to DNN:1'),
    ('ensembles.EDNN.members', ('DNN:-1',), 'DNN:-1', 'DNN:0 to DNN:1'),
    ('students.curves.SNN-MIMIC.teacher', 'X', 'X',
     'one of the ensembles EDNN'),
    ('students.curves.SNN.dropout_hidden', 1.0, 1.0, 'from 0 to below 1'),
    ('students.curves.SNN.weight_decays', (-0.1,), -0.1,
     'finite and not negative'),
    ('students.curves.SNN.weight_decays', (), (), 'one value or more'),
    ('students.curves.SNN.temperature', 0.0, 0.0, RATES),
    ('students.curves.SNN.alpha', 1.5, 1.5, 'from 0 to 1'),
    ('logits.part_rows', 0, 0, 'at least 1'),
    ('logits.dtype', 'int8', 'int8', 'one of float32, float16'),
    ('parallel.split', 'rows', 'rows', 'one of family, batch'),
    ('parallel.devices', -1, -1, '0 (all) or more'),
    ('report.independent', 'X', 'X', 'one of the ensembles EDNN'),
])
def test_values_that_are_refused(field, value, shown, allowed):
  config = tiny_experiment.make_config()
  # Dots lead into sections.
  config.update_from_flattened_dict({field: value})
  assert refuse(config) == f'config.{field} is {shown!r}; it must be {allowed}'


@pytest.mark.parametrize('option, value', [
    ('dropout_hidden', 0), ('groups', 2), ('standardised', True),
    ('precision', None), ('precision', 'high')])
def test_options_of_a_net_that_are_taken(option, value):
  config = tiny_experiment.make_config()
  config.teachers.DNN.net = {option: value}
  validation.check_config(config)


def test_what_is_said_of_the_data_is_checked_before_any_work():
  config = tiny_experiment.make_config()
  config.data.preprocessing = ('gcn', {'eps': 0.1})
  assert refuse(config).startswith("preprocessing step {'eps': 0.1} must be")
  config = tiny_experiment.make_config()
  config.data.transfer = {'views': {'kind': 'voices'}}
  assert refuse(config).startswith(
      "transfer set 'views': unknown kind 'voices'")
  config.data.transfer = {}
  config.data.source, config.data.limit_train = 'timit', 3
  assert refuse(config) == (
      "config.data.limit_train is 3; it must be 0 where the source is 'timit';"
      ' data.speech.train_speakers limits its speakers')


@pytest.mark.parametrize('weights', [
    (1.0,), (1.0, 2.0, 3.0), (-1.0, 1.0), (0.0, 0.0), (math.nan, 1.0),
    (1.0, math.inf), ('1', 2.0)])
@pytest.mark.parametrize('objective', ['decoupled_kl', 'pearson_distance'])
def test_weights_that_are_refused(objective, weights):
  config = tiny_experiment.make_config()
  config.students.curves.M = configs.make_curve(
      objective=objective, teacher='EDNN', weights=weights)
  assert refuse(config) == (
      f'config.students.curves.M.weights is {weights!r}; it must be two numbers'
      ' from 0, not both 0')


def test_weights_are_of_some_objectives_only():
  config = tiny_experiment.make_config()
  curves = config.students.curves
  curves['SNN-MIMIC'].weights = (1.0, 2.0)
  assert refuse(config) == (
      'config.students.curves.SNN-MIMIC.weights is (1.0, 2.0); it must be ()'
      ' unless the objective is one of decoupled_kl, pearson_distance')
  curves['SNN-MIMIC'].objective = 'decoupled_kl'
  validation.check_config(config)
  curves['SNN-MIMIC'].weights = (1, 0)
  validation.check_config(config)


def test_an_ensemble_and_a_curve_are_needed():
  config = tiny_experiment.make_config()
  config.ensembles = {}
  assert refuse(config) == (
      'config.ensembles is {}; it must be one ensemble or more: students are'
      ' compared to it')
  config = tiny_experiment.make_config()
  config.students.curves = {}
  assert refuse(config) == (
      'config.students.curves is {}; it must be one curve or more')


def test_a_curve_has_widths_or_sizes():
  config = tiny_experiment.make_config()
  config.students.curves.SNN.widths = (3,)
  config.students.curves.SNN.parameters = (100,)
  assert refuse(config) == (
      'config.students.curves.SNN.parameters is (100,); it must be () where the'
      ' curve has widths of its own')


def test_unknown_objective():
  config = tiny_experiment.make_config()
  config.students.curves.SNN.objective = 'guess'
  assert refuse(config).startswith(
      "config.students.curves.SNN.objective is 'guess'; it must be one of ")


@pytest.mark.parametrize('change, message', [
    ({'stepz': 3}, "unknown config field 'stepz'; known: data, ensembles, "),
    ({'data': {'pth': 'x'}},
     "unknown config field 'pth' of data; known: classes, data_dir, "),
    ({'teachers': {'DNN': {'stepz': 3}}},
     "unknown config field 'stepz' of teachers.DNN; known: "),
    ({'students': {'curves': {'SNN': {'wdths': ()}}}},
     "unknown config field 'wdths' of students.curves.SNN; known: "),
    ({'ensembles': {'E': {'members': ('DNN',)}}},
     "missing config field 'mirror' of ensembles.E; known: "),
    ({'teachers': {'CNN': {'architecture': '8'}}},
     "missing config field 'batch' of teachers.CNN; known: "),
])
def test_fields_that_are_unknown_or_missing(change, message):
  config = tiny_experiment.make_config()
  with config.unlocked():
    config.update(config_dict.ConfigDict(change))
  assert refuse(config).startswith(message)


@pytest.mark.parametrize('make, changes, message', [
    (configs.make_teacher, {'stepz': 3},
     "unknown config field 'stepz' of a teacher; known: architecture, "),
    (configs.make_curve, {'width': 3},
     "unknown config field 'width' of a curve; known: objective, "),
    (configs.make_teacher, {'steps': '100'},
     "steps of a teacher is '100'; it must be of the type of its default,"
     ' 2000'),
    (configs.make_teacher, {'net': 3},
     'net of a teacher is 3; it must be of the type of its default, {}'),
    (configs.make_curve, {'widths': 5},
     'widths of a curve is 5; it must be of the type of its default, ()'),
])
def test_makers_refuse(make, changes, message):
  with pytest.raises(errors.UserError) as error:
    make(**changes)
  assert str(error.value).startswith(message)


def test_makers_change_what_is_named():
  teacher = configs.make_teacher(steps=7, net={'dropout_hidden': 0.5})
  assert (teacher.steps, teacher.batch) == (7, 128)
  assert teacher.net.to_dict() == {'dropout_hidden': 0.5}
  assert configs.make_curve(widths=[3, 4]).widths == (3, 4)


def test_unknown_option_of_a_net():
  config = tiny_experiment.make_config()
  config.teachers.DNN.net = {'dropot': 0.5}
  assert refuse(config).startswith(
      "config.teachers.DNN.net is 'dropot'; it must be of activation, ")


@pytest.mark.parametrize('text', ['8', '250L-x-H', 'H-3c'])
def test_architectures_of_students_are_read_before_any_work(text):
  config = tiny_experiment.make_config()
  config.students.architecture = text
  assert refuse(config).startswith('architecture "')
  config.students.architecture = 'H'
  config.students.curves.SNN.architecture = text
  assert refuse(config).startswith('architecture "')
