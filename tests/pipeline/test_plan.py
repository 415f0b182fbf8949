"""Tests of the plan: the paper's sizes, before anything is done."""

import itertools
import re

import numpy as np
import pytest
import tiny_experiment

from launch.configs import (
  cifar10_depths,
  cifar10_paper,
  cifar10_urban,
  timit,
  timit_sample,
)
from shallow_mimic import configs, errors, models
from shallow_mimic.pipeline import plan_memory, plan_tables
from shallow_mimic.pipeline.plan import (
  Shapes,
  _make_buckets,
  _make_parts,
  make_plan,
  stated_shapes,
)
from shallow_mimic.training import fit

RATE, START_UP = 1e10, 0.2e9


def plan(config, shapes=None):
  return make_plan(
      config, shapes or stated_shapes(config), RATE, START_UP)


def sizes(text, model):
  """(architecture, parameters) of a model's lines."""
  return [tuple(line.split()[1:3]) for line in text.splitlines()
          if line.split()[:1] == [model]]


def read_memory(text):
  """Columns of the memory table by the stage's name, and the last line."""
  lines = text.splitlines()
  start = next(i for i, line in enumerate(lines) if line.startswith('memory '))
  stop = next(i for i, line in enumerate(lines) if line.startswith('peak '))
  heads = ['inputs', 'targets', 'nets', 'at work', 'base', 'in all']
  ends = [lines[start].index(head) + len(head) for head in heads]
  table = {}
  for line in lines[start + 1:stop]:
    cells = [line[a:b].strip() for a, b in itertools.pairwise(
        [ends[0] - 8, *ends])]
    table[re.split('  +', line)[0]] = dict(zip(heads, cells, strict=True)) | {
        'streamed': 'streamed from disk' in line}
  return table, lines[stop]


def make_timit():
  """The paper's speech nets: 15 frames of 123 numbers, 183 states."""
  config = configs.default_config()
  config.teachers = {'DNN': configs.make_teacher(architecture='2k-2k-2k')}
  config.ensembles = {'EDNN': configs.make_ensemble('DNN')}
  config.students.architecture = '250L-H'
  config.students.widths = (8000, 400_000)
  config.students.curves = {'MIMIC': configs.make_curve(teacher='EDNN')}
  return config, Shapes((1845,), 183, 1_000_000)


def test_sizes_of_the_papers_cifar_nets():
  text = plan(cifar10_paper.get_config())
  assert ('128c-p-1200L-30k', '70.9M') in sizes(text, 'SNN-MIMIC')
  assert 'inputs of shape (32, 32, 3), 10 classes' in text


  assert sizes(text, 'DNN') == [('2000fc-2000fc', '10.17M')]
  assert sizes(text, 'CNN') == [('128c-p-128c-p-128c-p-1000fc', '1.99M')]
  assert '4 × 128c-p-128c-p-128c-p-1000fc       7.97M' in text
  assert sizes(text, 'SNN')[-1] == ('128c-p-1200L-30k', '70.9M')
  assert sizes(text, 'SNN-MIMIC/CNN:0')[-1] == ('128c-p-1200L-30k', '70.9M')
  assert sizes(text, 'SNN-MIMIC-64c/CNN:0') == [('64c-p-1200L-30k', '53.6M')]


@pytest.mark.parametrize(('module', 'depths', 'suffixes'), [
    (cifar10_urban, (5, 4), ('', '-MIMIC')),
    (cifar10_depths, (3, 3), ('', '-MIMIC', '-KL'))])
def test_depths_are_compared_at_equal_sizes(module, depths, suffixes):
  config = module.get_config()
  text = plan(config)
  names = {f'{kind}{i + 1}{suffix}' for kind, most in zip(
      ('MLP', 'CNN'), depths, strict=True)
           for i in range(most) for suffix in suffixes}
  assert set(config.students.curves) == names
  for model in names:
    # Stated sizes, to what one unit more or less does.
    counts = [float(size.replace('k', 'e3').replace('M', 'e6'))
              for _, size in sizes(text, model)]
    assert counts == pytest.approx(config.students.parameters, rel=5e-3)


def test_sizes_of_the_papers_speech_nets():
  text = plan(timit.get_config())
  assert 'inputs of shape (41, 45), 183 classes' in text
  assert 'inputs    train 1,124,823' in text
  assert sizes(text, 'DNN') == [('2k-2k-2k', '12.06M')]
  found = sizes(text, 'SNN') + sizes(text, 'SNN-MIMIC')
  for wanted in (('8k', '16.23M'), ('50k', '101.5M'), ('250L-8k', '3.93M'),
                 ('250L-400k', '174.1M')):
    assert wanted in found


def test_views_of_sounds_are_counted():
  text = plan(timit_sample.get_config())
  rows, views = 21_103, 6
  assert f'inputs    train {rows:,}, views {views * rows:,}' in text


def test_true_sizes_beside_the_papers():
  """The counts written into the paper's rows are those of the nets named."""
  rows = {row['architecture']: row['parameters']
          for row in timit.get_config().report.paper}
  for text, count in rows.items():
    if count != '–':
      net = models.make_net(text, (1845,), 183)
      assert count == f'{models.count_parameters(net):,}'
  assert sum(count == '–' for count in rows.values()) == 2


@pytest.mark.parametrize('number, text', [
    (0, '0'), (999, '999'), (1000, '1.00k'), (1234, '1.23k'),
    (70_900_000, '70.9M'), (12_062_183, '12.06M'), (174_061_433, '174.1M'),
    (53_607_210, '53.6M'), (1_000_000, '1.00M'), (2_500_000_000, '2.50G'),
])
def test_counts_are_short(number, text):
  assert plan_tables.shorten(number) == text


def test_work_is_three_passes_of_every_net():
  config = tiny_experiment.make_config()
  # Two teachers, 20 steps of 16 inputs, nets 4-8-8-3.
  work = 2 * 3 * 20 * 16 * (4 * 8 + 8 * 8 + 8 * 3)
  text = plan(config, Shapes((4,), 3, 60))
  lines = [line.split()[:2] for line in text.splitlines()]
  assert ['teachers', f'{work:.3g}'] in lines


def test_labels_are_one_pass_of_each_teacher_of_the_ensemble():
  config = tiny_experiment.make_config()
  config.data.transfer = {'views': {'kind': 'views', 'copies': 3}}
  config.students.curves['SNN-MIMIC'].inputs = 'train+views[:100]'
  text = plan(config, Shapes((4,), 3, 60))
  # Two teachers 4-8-8-3 on 160 inputs.
  work = 2 * 160 * (4 * 8 + 8 * 8 + 8 * 3)
  assert ['logits', f'{work:.3g}'] in [
      line.split()[:2] for line in text.splitlines()]
  assert 'inputs    train 60, views 180' in text


def test_memory_by_hand():
  config = tiny_experiment.make_config()
  config.students.waste = 0.99
  shapes = Shapes((4,), 3, 10**6)
  text = plan(config, shapes)
  # Eight students of the wider net's 43 parameters in the search, and at the
  # end; two teachers of 139; four copies; transfer inputs are not yet known.
  parts = _make_parts(config, shapes)
  buckets = _make_buckets(config, parts.search, shapes)
  assert plan_tables.count_state(buckets, 4) == 8 * 43 * 4
  assert 'inputs    train 1,000,000, transfer ?' in text
  table, peak = read_memory(text)
  # Two look at 400 inputs of dev, or ten layers of units at a batch of 16.
  assert table == {
      # (1,000,000 + 400) · 4 numbers of 4 bytes, read and split.
      'data': dict(zip(table['data'], (
          '32.0MB', '', '', '100.0MB', '200.0MB', '332.0MB', False),
                       strict=True)),
      # (1e6 + 400)·4·4; 2·139·4·2·4; look: 2·2·400·(16 + 3)·4.
      'teachers DNN': dict(zip(table['data'], (
          '16.01MB', '', '8.90kB', '121.6kB', '500.0MB', '516.1MB', False),
                               strict=True)),
      # 2·139·4·2; parts: 3·25·3·4, 512·(2·4 + 2·16 + 4·2·3)·4.
      'logits EDNN train': dict(zip(table['data'], (
          '', '', '2.22kB', '132.0kB', '500.0MB', '500.1MB', False),
                                    strict=True)),
      # 8·43·4·2·4; look: 2·8·400·(5 + 3)·4; targets 1e6·3·4.
      'search': dict(zip(table['data'], (
          '16.01MB', '12.00MB', '11.01kB', '204.8kB', '500.0MB', '528.2MB',
          False), strict=True)),
      'students': dict(zip(table['data'], (
          '16.01MB', '12.00MB', '11.01kB', '204.8kB', '500.0MB', '528.2MB',
          False), strict=True))}
  assert peak == ('peak      528.2MB in students; the base is Python, JAX and'
                  ' compiled programs')
  config.logits.dtype = 'float16'
  assert read_memory(plan(config, shapes))[0]['search']['targets'] == '6.00MB'
  config.teachers.DNN.architecture = '10k-10k'
  # 2 teachers × (4·10k + 10k + 10k·10k + 10k + 10k·3 + 3) × 8 copies × 4 bytes
  table, peak = read_memory(plan(config, shapes))
  assert table['teachers DNN']['nets'] == '6.41GB'
  assert peak.startswith('peak      7.05GB in teachers DNN;')


def test_inputs_that_are_streamed_are_told():
  config = tiny_experiment.make_config()
  config.data.transfer = {'views': {'kind': 'views', 'copies': 3},
                          'unused': {'kind': 'views', 'copies': 500}}
  config.students.curves['SNN-MIMIC'].inputs = 'train+views[:1500000]'
  config.data.memory_gib = 0.07  # 75.2 MB
  shapes = Shapes((4,), 3, 10**6)
  table, _ = read_memory(plan(config, shapes))
  assert (table['search']['inputs'], table['search']['targets']) == (
      '40.0MB', '30.0MB')
  assert not table['search']['streamed']
  config.data.memory_gib = 0.06  # 64.4 MB: less than both are together.
  config.students.eval_every = config.students.search_steps = 20
  table, _ = read_memory(plan(config, shapes))
  assert [name for name in table if table[name]['streamed']] == [
      'search', 'students']
  # Four windows of two steps of two streams of 16 inputs, and dev.
  assert table['search']['inputs'] == '10.50kB'
  assert table['search']['targets'] == '3.07kB'
  # A window has room for two steps of 2 · 2²¹ · 16 bytes, not for four.
  config.students.steps = config.students.search_steps = 40
  config.students.eval_every, config.students.batch = 40, 2 ** 20
  table, _ = read_memory(plan(config, shapes))
  assert table['search']['inputs'] == '268.4MB'


def test_a_limit_and_a_dev_split_are_taken_off():
  config = configs.default_config()
  assert stated_shapes(config).examples == 3600
  config.data.limit_train = 500
  assert stated_shapes(config).examples == 500
  config.data.limit_train = 5000
  assert stated_shapes(config).examples == 3600
  config.data.dev = 4000
  with pytest.raises(errors.UserError, match=(
      r'^config\.data\.dev is 4000, but MNIST-1D has 4,000 training examples;'
      ' give fewer$')):
    stated_shapes(config)


def test_frames_are_counted_without_their_neighbours():
  config, shapes = make_timit()
  config.data.memory_gib, config.data.dev = 10.0, 0
  table, _ = read_memory(plan(config, shapes))
  assert table['students']['inputs'] == '7.38GB'
  config.data.source = 'timit'
  table, _ = read_memory(plan(config, shapes))
  assert table['students']['inputs'] == '492.0MB'


@pytest.mark.parametrize('optimizer, platform, copies', [
    ('adam', 'cpu', 8), ('sgd', 'cpu', 6), ('muon', 'cpu', 6),
    ('adam', 'gpu', 5), ('sgd', 'gpu', 4), ('muon', 'gpu', 5)])
def test_what_stands_beside_the_nets(monkeypatch, optimizer, platform, copies):
  monkeypatch.setattr('jax.default_backend', lambda: platform)
  config = tiny_experiment.make_config()
  config.students.optimizer, config.students.widths = optimizer, (1000,)
  table, _ = read_memory(plan(config, Shapes((4,), 3, 60)))
  count = 4 * (4 * 1000 + 1000 + 1000 * 3 + 3)  # Two curves, two seeds.
  assert table['students']['nets'] == plan_memory.name_bytes(
      4 * count * copies)


def test_dispatches_are_those_of_training():
  assert plan_memory._DISPATCHES == fit._DISPATCHES


def test_start_up_is_what_this_process_has():
  before = plan_memory.measure_start_up()
  held = np.ones(10 ** 8, np.uint8)
  assert plan_memory.measure_start_up() - before == pytest.approx(
      held.nbytes, rel=0.1)


def test_realignment_trains_one_teacher_more_each_round():
  config, shapes = make_timit()
  config.data.source = 'timit'
  config.teachers.DNN.members = 2
  config.data.speech.realign = 3
  work = {line.split()[0]: float(line.split()[1])
          for line in plan(config, shapes).partition('stage  ')[2].splitlines()
          if line.split()[:1] in (['teachers'], ['realign'])}
  assert work['realign'] == pytest.approx(1.5 * work['teachers'], rel=1e-2)


def test_every_bucket_is_told():
  text = plan(tiny_experiment.make_config(), Shapes((4,), 3, 60))
  assert 'search' in text and 'students' in text
  assert sizes(text, 'SNN') == [('3', '27'), ('5', '43')]


def test_curves_of_several_architectures():
  config = tiny_experiment.make_config()
  config.students.curves.SNN.architecture = 'H-H'
  text = plan(config, Shapes((4,), 3, 60))
  assert sizes(text, 'SNN') == [('3-3', '39'), ('5-5', '73')]
  assert sizes(text, 'SNN-MIMIC') == [('3', '27'), ('5', '43')]


def test_students_of_wanted_sizes():
  config = cifar10_paper.get_config()
  config.students.parameters = (20_000_000, 53_607_210)
  config.students.architecture = '64c-p-1200L-H'
  config.students.curves = {
      'one': configs.make_curve(teacher='ECNN'),
      'two': configs.make_curve(teacher='ECNN', architecture='1200L-H-H')}
  text = plan(config)
  assert [parameters for _, parameters in sizes(text, 'two')] == [
      '20.00M', '53.6M']
  config.students.parameters = (1_000_000,)
  with pytest.raises(errors.UserError) as error:
    plan(config)
  assert str(error.value) == (
      'architecture "64c-p-1200L-H" cannot be made as small as 1,000,000'
      ' parameters: it has 17,286,085 at width 1')


def test_shapes_that_are_not_stated():
  config = tiny_experiment.make_config()
  with pytest.raises(errors.UserError) as error:
    stated_shapes(config)
  assert str(error.value) == (
      'the plan needs config.data.path, or else config.data.input_shape and'
      " config.data.classes, for the source 'arrays'")


def test_shapes_of_arrays_are_those_in_the_file(tmp_path):
  tiny_experiment.write_npz(tmp_path / 'tiny.npz')
  config = tiny_experiment.make_config(tmp_path / 'tiny.npz')
  assert stated_shapes(config) == ((4,), 3, 60)


def test_shapes_of_mnist1d_are_known():
  config = configs.default_config()
  assert stated_shapes(config) == ((40,), 10, 3600)


def test_a_net_that_does_not_fit_the_inputs():
  config = tiny_experiment.make_config()
  config.teachers.DNN.architecture = '4c-p-8'
  with pytest.raises(errors.UserError):
    plan(config, Shapes((2,), 3, 60))


def test_a_configuration_may_have_been_read():
  config = tiny_experiment.make_config()
  read, shapes = configs.read_config(config), Shapes((4,), 3, 60)
  assert plan(read, shapes) == plan(config, shapes)
  assert stated_shapes(configs.Config()) == ((40,), 10, 3600)


def test_columns_are_aligned():
  assert plan_tables.format_columns(
      [('a', 'bb', 'c'), ('aaa', 'b', '1234')]) == ['a    bb     c',
                                                       'aaa  b   1234']
