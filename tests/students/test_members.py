"""Tests of widths: stated, or found from numbers of parameters."""

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
