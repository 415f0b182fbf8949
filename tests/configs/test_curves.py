import pytest
import tiny_experiment

from shallow_mimic import configs
from shallow_mimic.pipeline import validation
from shallow_mimic.training import LossSpec


def test_every_loss_after_a_teacher_is_there_and_valid():
  config = tiny_experiment.make_config()
  curves = configs.make_loss_curves(teacher='EDNN', widths=(3,))
  assert {c.objective for c in curves.values()} == {
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
