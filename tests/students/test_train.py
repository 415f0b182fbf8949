"""Tests of the family: its members, and how learning rates are chosen."""

import dataclasses
import pathlib

import numpy as np
import pytest
import small_family
import tiny_experiment

from shallow_mimic import configs, errors, students
from shallow_mimic.data.dataset import Dataset, Examples
from shallow_mimic.evaluation.records import Record
from shallow_mimic.pipeline import validation
from shallow_mimic.students import train
from shallow_mimic.training import fit

RATES = (0.01, 0.05)


@pytest.fixture(name='section')
def make_section():
  """One curve of labels, widths 3 and 5, two learning rates."""
  section = tiny_experiment.make_config().students
  del section.curves['SNN-MIMIC']
  return section


@pytest.fixture(name='dataset')
def make_dataset():
  part = Examples(np.zeros((6, 4), np.float32), np.zeros(6, np.int32))
  return Dataset(name='made', classes=3, train=part, dev=part, test=part,
                 transfer={}, preprocessing={}, fitted=None,
                 digests={'train': 'a', 'dev': 'b'})


def make_members(section, **options):
  return students.make_members(section, (4,), 3, **options)


def search(monkeypatch, dataset, members, outcome):
  """The records of a search in which each member ends as `outcome(member)`
  says: (dev accuracy, diverged)."""
  def fake_fit(members, inputs, settings, directory, *, stage, identity):
    assert (stage, directory, identity) == ('students search', 'DIR', 'round')
    return [fit.Fitted({}, *outcome(m)[:1], 5, outcome(m)[1], [5], [0.0], [0.0])
            for m in members]

  monkeypatch.setattr(fit, 'fit', fake_fit)
  settings = small_family.make_settings()
  nets = students.list_students('search', members, dataset, {}, settings)
  work = students.plan_search(dataset, lambda _: {}, settings)
  assert not work.with_params  # Their records alone are kept.
  trees = work.judge(nets, work.train(nets, 'DIR', 'round'))
  assert {tuple(tree) for tree in trees} == {('record.json',)}
  return [Record.from_json(tree['record.json']) for tree in trees]


def test_search_picks_the_best_mean_of_dev(monkeypatch, dataset, section):
  # The best seed, or seed 0 alone, would choose the other rates.
  table = {(3, 0.01): [0.7, 0.7], (3, 0.05): [0.9, 0.3],
           (5, 0.01): [0.4, 0.4], (5, 0.05): [0.3, 0.6]}
  members = make_members(section, seeds=2)
  records = search(
      monkeypatch, dataset, members,
      lambda m: (table[m.width, m.learning_rate][m.seed], False))
  rates = students.choose_rates(records)
  assert rates == {('SNN', 3): (0.01, 0.0), ('SNN', 5): (0.05, 0.0)}
  assert len(records) == 8
  assert not any(r.selected for r in records)
  marked = students.mark_selected(records, rates)
  assert {(r.width, r.learning_rate) for r in marked
          if r.selected} == {(3, 0.01), (5, 0.05)}
  assert {r.phase for r in records} == {'search'}
  assert all(set(r.metrics) == {'dev'} for r in records)


def test_search_never_picks_what_diverged(monkeypatch, dataset, section):
  records = search(
      monkeypatch, dataset, make_members(section, seeds=1),
      lambda m: (0.9, True) if m.learning_rate == 0.05 else (0.1, False))
  assert set(students.choose_rates(records).values()) == {(0.01, 0.0)}


def test_search_in_which_all_diverge(monkeypatch, dataset, section):
  records = search(monkeypatch, dataset, make_members(section, seeds=1),
                   lambda m: (0.9, m.width == 5))
  with pytest.raises(errors.UserError) as error:
    students.choose_rates(records)
  assert str(error.value) == (
      'SNN of width 5 diverges at every learning rate of'
      ' students.learning_rates; add smaller ones')


def test_search_chooses_weight_decay_with_the_rate(monkeypatch, dataset,
                                                   section):
  section.curves.SNN.weight_decays = (0.0, 0.1)
  members = make_members(section, seeds=1)
  assert len(members) == 2 * 2 * 2
  best = {3: (0.05, 0.1), 5: (0.01, 0.1)}
  records = search(monkeypatch, dataset, members, lambda m: (
      float((m.learning_rate, m.weight_decay) == best[m.width]), False))
  assert students.choose_rates(records) == {
      ('SNN', 3): best[3], ('SNN', 5): best[5]}


@pytest.mark.parametrize('name', [
    'SNN', 'SNN-MIMIC/no-pool', '..', '.', '...', 'a/../../b', '/etc', 'a%2Fb',
    '教师', 'x' * 200, 'x' * 201, '/' * 100, 'a\\b', 'a b', 'CON', '~'])
def test_a_student_has_a_folder_of_its_own_below_its_phase(section, name):
  def find(name, **changes):
    member = dataclasses.replace(
        make_members(section, seeds=1)[0], model=name, **changes)
    return train.find_slot('final', member)

  slot = find(name)
  parts = pathlib.PurePosixPath(slot).parts
  assert parts[:2] == ('students', 'final') and len(parts) == 4
  assert set(parts[2]) - {'.'} and len(parts[2].encode()) <= 200
  others = [find(f'{name}!'), find(f'!{name}'), find(name.replace('/', '-')
                                                     + '-'),
            *(find(name, **{field: value}) for field, value in (
                ('width', 4), ('seed', 7), ('learning_rate', 0.3),
                ('weight_decay', 0.3)))]
  assert len({slot, *others}) == 1 + len(others)


def test_members_of_a_search_are_the_whole_grid(section):
  members = make_members(section, seeds=2)
  assert {(m.width, m.learning_rate, m.seed) for m in members} == {
      (w, r, s) for w in (3, 5) for r in RATES for s in (0, 1)}
  assert len(members) == 8


def test_members_that_are_chosen_have_one_rate_each(section):
  rates = {('SNN', 3): (0.05, 0.1), ('SNN', 5): (0.01, 0.0)}
  members = make_members(section, seeds=2, rates=rates)
  assert [(m.width, m.seed, m.learning_rate, m.weight_decay)
          for m in members] == [(3, 0, 0.05, 0.1), (3, 1, 0.05, 0.1),
                                (5, 0, 0.01, 0.0), (5, 1, 0.01, 0.0)]


def test_a_curve_may_have_widths_of_its_own(section):
  section.curves.SNN.widths = (7,)
  members = make_members(section, seeds=1)
  assert {m.width for m in members} == {7}


def test_a_curve_may_have_an_architecture_of_its_own(section):
  section.curves.deep = configs.make_curve(
      objective='cross_entropy', architecture='H-H')
  members = make_members(section, seeds=1)
  assert {(m.model, m.architecture, m.width) for m in members} == {
      ('SNN', 'H', 3), ('SNN', 'H', 5), ('deep', 'H-H', 3), ('deep', 'H-H', 5)}


def test_rates_of_two_architectures_are_chosen_apart(
    monkeypatch, dataset, section):
  section.curves.deep = configs.make_curve(
      objective='cross_entropy', architecture='H-H', widths=(3,))
  section.curves.SNN.widths = (3,)
  best = {'H': 0.01, 'H-H': 0.05}
  members = make_members(section, seeds=1)
  records = search(monkeypatch, dataset, members, lambda m: (
      float(m.learning_rate == best[m.architecture]), False))
  assert students.choose_rates(records) == {
      ('SNN', 3): (0.01, 0.0), ('deep', 3): (0.05, 0.0)}
  assert {(r.model, r.architecture, r.parameters) for r in records} == {
      ('SNN', '3', 27), ('deep', '3-3', 39)}


def test_a_student_of_labels_has_no_teacher():
  config = tiny_experiment.make_config()
  teachers = {m.model: m.teacher
              for m in make_members(config.students, seeds=1)}
  assert teachers == {'SNN': '', 'SNN-MIMIC': 'EDNN'}
  config.students.curves.SNN.teacher = 'EDNN'
  with pytest.raises(errors.UserError) as error:
    validation.check_config(config)
  assert str(error.value) == (
      "config.students.curves.SNN.teacher is 'EDNN'; it must be '': the loss"
      " 'cross_entropy' needs no teacher")
