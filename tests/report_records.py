"""Records as the stages would make them, from a formula and a seed."""

import numpy as np

CONTROLS = (
    ('SNN', 'cross_entropy', 'train', '', 66.0),
    ('SNN-dropout', 'cross_entropy', 'train', '', 67.5),
    ('SNN-MIMIC', 'logit_regression', 'train+generated', 'ECNN', 74.0),
    ('SNN/generated', 'cross_entropy', 'train+generated', '', 70.5),
    ('SNN-PSEUDO/generated', 'pseudo_label', 'train+generated', 'ECNN', 71.5),
    ('SNN-KL/generated', 'distillation_kl', 'train+generated', 'ECNN', 73.5),
    ('SNN-MIMIC/train', 'logit_regression', 'train', 'ECNN', 69.0),
    ('SNN-PSEUDO/train', 'pseudo_label', 'train', 'ECNN', 66.5),
    ('SNN-MIMIC/views', 'logit_regression', 'views', 'ECNN', 72.0),
    ('SNN-PSEUDO/views', 'pseudo_label', 'views', 'ECNN', 70.0),
    ('SNN/views', 'cross_entropy', 'views', '', 69.0),
)


def make_record(model, role='student', **changes):
  """One final record, with fields changed."""
  record = {
      'model': model, 'role': role, 'objective': 'cross_entropy',
      'inputs': 'train', 'teacher': '', 'architecture': '64', 'width': 64,
      'seed': 0, 'learning_rate': 0.02, 'parameters': 3210,
      'parameters_absorbed': 3210, 'multiply_adds': 3136, 'hidden_units': 64,
      'sequential_depth': 2, 'phase': 'final', 'selected': True,
      'best_step': 900, 'diverged': False,
      'metrics': {'dev': {'accuracy': 0.5}, 'test': {'accuracy': 0.5}},
      'history': {}}
  return record | changes


def make_scores(accuracy, rng, speech=False):
  """Metrics of three splits around an accuracy in per cent."""
  metrics = {}
  for split, shift in (('dev', 0.4), ('test', 0.0), ('train', 8.0)):
    value = min((accuracy + shift + 0.35 * rng.standard_normal()) / 100, 1.0)
    metrics[split] = {
        'accuracy': value, 'nll': 1.1 * (1 - value), 'ece': 0.1 * (1 - value),
        'loss': 2 * (1 - value)}
    if speech:
      metrics[split]['per'] = 1.05 - value
  return metrics


def make_history(accuracy, overfits, rng):
  """A rise to the accuracy, and a decline if it overfits."""
  step = np.arange(100, 3100, 100)
  curve = accuracy - 25 * np.exp(-step / 300)
  curve -= overfits * 0.002 * np.maximum(step - 900, 0)
  curve += 0.3 * rng.standard_normal(step.size)
  return {'step': step.tolist(), 'dev_accuracy': (curve / 100).tolist(),
          'train_loss': np.exp(-step / 500).tolist()}


def make_teachers(rng, speech=False):
  """Four CNNs, a DNN, and ensembles of two and of four."""
  rows = [('CNN', 'teacher', seed, 88.0, 41234) for seed in range(4)]
  rows += [('DNN', 'teacher', 0, 80.0, 126010),
           ('ECNN-2', 'ensemble', 0, 89.5, 2 * 41234),
           ('ECNN', 'ensemble', 0, 91.0, 4 * 41234)]
  return [
      make_record(
          model, role, seed=seed, width=0, parameters=size,
          parameters_absorbed=size, architecture='32c-p-64c-p-128',
          learning_rate=None if role == 'ensemble' else 0.003,
          hidden_units=4000, multiply_adds=10 * size, sequential_depth=4,
          metrics=make_scores(accuracy, rng, speech))
      for model, role, seed, accuracy, size in rows]


def make_students(
    rng, widths=(64, 256, 1024, 4096), seeds=3, controls=CONTROLS,
    speech=False,
):
  """Every control at every width, and the search of its learning rate."""
  records = []
  for model, objective, inputs, teacher, accuracy in controls:
    for place, width in enumerate(widths):
      facts = {
          'objective': objective, 'inputs': inputs, 'teacher': teacher,
          'architecture': f'{width}', 'width': width,
          'parameters': 51 * width + 10, 'parameters_absorbed': 51 * width + 10,
          'multiply_adds': 50 * width, 'hidden_units': width}
      level = accuracy + place * (3.0 if 'MIMIC' in model else 1.2)
      for rate in (0.01, 0.02, 0.04):
        dev = {'dev': make_scores(level - 200 * abs(rate - 0.02), rng)['dev']}
        records.append(make_record(
            model, learning_rate=rate, phase='search', selected=rate == 0.02,
            metrics=dev, **facts))
      for seed in range(seeds):
        metrics = make_scores(level, rng, speech)
        if teacher:
          for split in metrics.values():
            split |= {'agreement': split['accuracy'], 'kl': 0.2}
        records.append(make_record(
            model, seed=seed, metrics=metrics,
            history=make_history(level, not teacher, rng), **facts))
  return records


def make_records(seeds=3, speech=False, **changes):
  """Teachers, students, and mimics of other teachers at two widths."""
  rng = np.random.default_rng(0)
  records = make_teachers(rng, speech)
  records += make_students(rng, seeds=seeds, speech=speech, **changes)
  for teacher, loss in (('CNN', 3.0), ('DNN', 6.0), ('ECNN-2', 1.5)):
    name = f'SNN-MIMIC/from-{teacher}'
    records += make_students(
        rng, widths=(256, 4096), seeds=seeds, speech=speech, controls=[
            (name, 'logit_regression', 'train+generated', teacher, 77 - loss)])
  return records
