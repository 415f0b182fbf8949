import jax.numpy as jnp
import pytest
import tiny_experiment

import shallow_mimic
from shallow_mimic import configs, errors
from shallow_mimic.pipeline import validation
from shallow_mimic.training import Constant, LossSpec


def test_every_loss_after_a_teacher_is_there_and_valid():
  config = tiny_experiment.make_config()
  curves = configs.make_loss_curves(teacher='EDNN', widths=(3,))
  assert {c.objective for c in curves.values()} <= {
      name for name, spec in LossSpec.registry.items() if spec.needs_teacher}
  assert all(c.teacher == 'EDNN' and c.widths == (3,) and '/' in name
             for name, c in curves.items())
  config.students.curves.update(curves)
  validation.check_config(config)
  assert list(configs.make_loss_curves(('DKD',))) == ['loss/DKD']


def test_sizes_with_and_without_train():
  curves = configs.make_size_curves('views', (10, 0), teacher='E')
  assert [c.inputs for c in curves.values()] == [
      'train', 'train+views[:10]', 'train+views', 'views[:10]', 'views']
  assert {c.objective for c in curves.values()} == {'logit_regression'}


def test_inputs_are_not_given_twice():
  with pytest.raises(TypeError):
    configs.make_size_curves('views', (10,), inputs='train')


def test_a_study_takes_objectives_by_their_names():
  curves = configs.make_loss_curves(('KL-4', 'mine'), teacher='E')
  assert {name: (curve.objective, curve.temperature)
          for name, curve in curves.items()} == {
              'loss/KL-4': ('distillation_kl', 4.0), 'loss/mine': ('mine', 1.0)}


# What a curve says of its loss ------------------------------------------------


def refuse(known=None, **curve):
  """What is wrong with a curve, which may minimise a loss of one's own."""
  def own(student, teacher, labels, **values):
    return jnp.sum(student ** 2, -1) * sum(values.values())

  shallow_mimic.register(LossSpec(
      'own', own, version='1', needs_teacher=False,
      constants=known or {'a': Constant(), 'b': Constant(2.0, high=3.0)}))
  config = tiny_experiment.make_config()
  config.students.curves.M = configs.make_curve(**curve)
  with pytest.raises(errors.UserError) as error:
    validation.check_config(config)
  return str(error.value).removeprefix('config.students.curves.M.')


@pytest.mark.parametrize('curve, message', [
    (dict(objective='cross_entropy', teacher='EDNN'),
     "teacher is 'EDNN'; it must be '': the loss 'cross_entropy' needs no"
     ' teacher'),
    (dict(objective='pseudo_label'),
     "teacher is ''; it must be one of the ensembles EDNN"),
    (dict(objective='own', teacher='EDNN', constants={'a': 1.0}),
     "teacher is 'EDNN'; it must be '': the loss 'own' needs no teacher"),
    (dict(objective='own'),
     "constants is {}; it must be a value for each of a: the objective is"
     " 'own'"),
    (dict(objective='own', constants={'a': 1.0, 'c': 2.0}),
     "constants is 'c'; it must be one of a, b: the objective is 'own'"),
    (dict(objective='own', constants={'a': float('inf')}),
     'constants.a is inf; it must be a finite number'),
    (dict(objective='own', constants={'a': 'x'}),
     "constants.a is 'x'; it must be a finite number"),
    (dict(objective='own', constants={'a': 1.0, 'b': 4.0}),
     'constants.b is 4.0; it must be finite and at most 3'),
    (dict(objective='own', constants={'a': True}),
     'constants.a is True; it must be a finite number'),
    (dict(objective='own', constants={'a': 1.0}, alpha=0.6),
     "alpha is 0.6; it must be 0.5: the constants of 'own' stand in"
     ' students.curves.M.constants'),
    (dict(objective='own', constants={'a': 1.0}, weights=(1.0, 2.0)),
     'weights is (1.0, 2.0); it must be () unless the objective is one of'
     ' decoupled_kl, pearson_distance'),
    (dict(objective='distillation_kl', teacher='EDNN',
          constants={'temperature': 4.0}),
     "constants is 'temperature'; it must be left out: the objective is"
     " 'distillation_kl'"),
])
def test_what_does_not_go_with_the_loss_is_refused(curve, message):
  assert refuse(**curve) == message


@pytest.mark.parametrize('name', ['width', 'best_step'])
def test_a_constant_is_not_called_as_results_are(name):
  assert refuse({name: Constant(1.0)}, objective='own') == (
      f"the loss 'own' has a constant {name!r}; choose another name:"
      ' results.csv has that word for something else')


def test_a_constant_of_zero_is_tried_as_it_is_stated():
  """The check is of the loss that will be trained, not of its defaults."""
  assert refuse(objective='own', constants={'a': -2.0}) == (
      "the loss 'own' has a gradient of 0: no student learns from it")
