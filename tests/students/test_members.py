"""Tests of widths: stated, or found from numbers of parameters."""

import runpy

import places
import pytest
import tiny_experiment

from shallow_mimic import configs, errors, models, students
from shallow_mimic.students import members
from shallow_mimic.training import family


@pytest.fixture(name='section')
def make_section():
  """One curve of labels, SNN, widths 3 and 5; inputs (4,), 3 classes."""
  section = tiny_experiment.make_config().students
  del section.curves['SNN-MIMIC']
  return section


def find(section, name='SNN'):
  return members.find_widths(section, name, (4,), 3)


def test_widths_as_stated(section):
  assert find(section) == (3, 5)
  section.curves.SNN.widths = (7,)
  section.parameters = (100,)
  assert find(section) == (7,)


def test_widths_from_sizes(section):
  # A unit has 4 + 1 + 3 parameters, and there are 3 biases of classes.
  section.parameters = (83, 800, 11)
  assert find(section) == (10, 100, 1)
  section.curves.SNN.parameters = (87, 88)
  assert find(section) == (10, 11)  # 87 lies in the middle


def test_each_architecture_gets_a_width_of_its_own(section):
  section.parameters = (1000, 5000)
  for name, text in (('one', '2L-H'), ('two', 'H-H'), ('three', 'H-H-H')):
    section.curves[name] = configs.make_curve(
        objective='cross_entropy', architecture=text)
  members = students.make_members(section, (4,), 3, seeds=1)
  found = {}
  for member in members:
    found.setdefault(member.architecture, set()).add(member.width)
    size = models.count_parameters(family.member_net(member, (4,), 3))
    assert min(abs(size / n - 1) for n in section.parameters) < 0.03
  assert {text: len(them) for text, them in found.items()} == dict.fromkeys(
      ('H', '2L-H', 'H-H', 'H-H-H'), 2)


def test_sizes_that_cannot_be_had(section):
  section.parameters = (10,)
  with pytest.raises(errors.UserError) as error:
    find(section)
  assert str(error.value) == (
      'architecture "H" cannot be made as small as 10 parameters: it has 11 at'
      ' width 1')


def test_sizes_that_are_one_width(section):
  section.parameters = (1003, 1004)
  with pytest.raises(errors.UserError) as error:
    find(section)
  assert str(error.value) == (
      '1,003 and 1,004 parameters are both nearest to width 125 of H; leave one'
      " out for the curve 'SNN'")


def test_rates_are_scaled_with_the_width():
  assert members.scale_rates([0.01, 0.03], 256, 1024) == [0.005, 0.015]
  assert members.scale_rates([0.01], 256, 64) == [0.02]
  assert members.scale_rates([0.01], 1000, 250) == [0.02]
  assert members.scale_rates([0.0123456], 0, 64) == [0.0123456]


def test_labels_are_compared_to_the_ensemble_most_imitated():
  config = tiny_experiment.make_config()
  config.ensembles = {'A': configs.make_ensemble('DNN:0'),
                      'EDNN': configs.make_ensemble('DNN')}
  assert students.rank_teachers(config) == ['EDNN', 'A']
  config.students.curves['SNN-MIMIC'].teacher = 'A'
  assert students.rank_teachers(config) == ['A', 'EDNN']
  assert students.find_taught(config) == {'A': ['train+transfer']}


def test_plain_mimics_decide_by_their_widths_and_then_members_and_names():
  config = tiny_experiment.make_config()
  config.ensembles = {name: configs.make_ensemble('DNN') for name in 'ABC'}
  config.ensembles.A.members = ('DNN:0', 'DNN:1')
  curves = config.students.curves
  del curves['SNN-MIMIC']
  def rank():
    return ''.join(students.rank_teachers(config))
  assert rank() == 'ACB'  # Nobody is imitated: more members, then the name.
  for count in range(3):
    curves[f'SNN/{count}'] = configs.make_curve(teacher='C')
  assert rank() == 'CAB'
  curves['one'] = configs.make_curve(teacher='B', widths=(3, 4, 5))
  assert rank() == 'BAC'  # Controls count no more.
  curves['two'] = configs.make_curve(teacher='C', parameters=(1, 2, 3, 4))
  assert rank() == 'CBA'
  curves['three'] = configs.make_curve(teacher='A')  # The usual two widths.
  assert rank() == 'CBA'


@pytest.mark.parametrize('path', sorted(
    (places.ROOT / 'launch/configs').glob('[a-z]*.py')),
    ids=lambda path: path.stem)
def test_all_plain_mimics_of_an_experiment_have_the_main_teacher(path):
  config = runpy.run_path(str(path))['get_config']()
  teachers = {
      curve.teacher for name, curve in config.students.curves.items()
      if '/' not in name and curve.objective not in (
          'cross_entropy', 'hard_label_cross_entropy')}
  assert teachers == {students.rank_teachers(config)[0]}
