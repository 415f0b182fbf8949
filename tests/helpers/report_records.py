"""Records as the stages would make them, from a formula and a seed."""

import dataclasses

import numpy as np

from shallow_mimic.curves import Context
from shallow_mimic.evaluation.records import Record

_FIELDS = {field.name for field in dataclasses.fields(Record)}
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
  """One final record, with fields and constants of its loss changed."""
  record = {
      'model': model, 'role': role,
      'objective': '' if role == 'ensemble' else 'cross_entropy',
      'mixture': 'train', 'teacher': '', 'architecture': '64', 'width': 64,
      'seed': 0, 'learning_rate': 0.02, 'parameters': 3210,
      'parameters_absorbed': 3210, 'multiply_adds': 3136, 'hidden_units': 64,
      'sequential_depth': 2, 'phase': 'final', 'selected': True,
      'best_step': 900, 'diverged': False,
      'metrics': {'dev': {'accuracy': 0.5}, 'test': {'accuracy': 0.5}},
      'history': {}, 'constants': {
          key: value for key, value in changes.items() if key not in _FIELDS}}
  return Record(**record | {
      key: value for key, value in changes.items() if key in _FIELDS})


def make_context(*records, **options):
  """What a section of the report of these records is given."""
  return Context(records, **options)


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
          'objective': objective, 'mixture': inputs, 'teacher': teacher,
          'architecture': f'{width}', 'width': width,
          'parameters': 51 * width + 10, 'parameters_absorbed': 51 * width + 10,
          'multiply_adds': 50 * width, 'hidden_units': width}
      facts |= {'temperature': 4.0} if objective == 'distillation_kl' else {}
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


def make_mimics(rng, name, widths=(256, 1024), seeds=3, gain=0.0, **changes):
  """Mimics of ECNN at some widths, around an accuracy that `gain` moves."""
  records = []
  for width in widths:
    for seed in range(seeds):
      metrics = make_scores(70 + gain + width / 200, rng)
      for split, shift in (('train', 0.06), ('test', 0.0)):
        accuracy = metrics[split]['accuracy']
        metrics[split] |= {
            'agreement': accuracy + shift, 'kl': 0.3 - shift,
            **({'agreement_independent': accuracy - 0.02,
                'kl_independent': 0.5} if split == 'test' else {})}
      records.append(make_record(
          name, width=width, seed=seed, metrics=metrics,
          architecture=f'{width}', parameters=51 * width + 10,
          **{'objective': 'logit_regression', 'teacher': 'ECNN',
             'calibration': make_bins(rng)}
          | changes))
  return records


def make_bins(rng):
  """Bins of a net that is a little surer than it has reason to be."""
  counts = rng.integers(0, 60, 15)
  confidence = (np.arange(15) + 0.5) / 15
  return {'counts': counts.tolist(),
          'confidences': (counts * confidence).tolist(),
          'corrects': np.round(counts * confidence ** 1.3).tolist()}


def make_transfer_sizes(rng, **changes):
  """Sizes of `views` with the training inputs, and without them."""
  records = make_mimics(rng, 'size/train', gain=-8, mixture='train',
                        inputs_count=3600, **changes)
  for count in (1000, 10_000, 100_000):
    gain = 2.5 * np.log10(count) - 14
    for text, more in ((f'train+views[:{count}]', 3600),
                       (f'views[:{count}]', 0)):
      records += make_mimics(
          rng, f'size/{text}', gain=gain + bool(more), mixture=text,
          inputs_count=count + more, **changes)
  return records


LOSSES = (
    ('logit_regression', {}, 4.0), ('raw_logit_regression', {}, 3.4),
    ('centred_logit_regression', {}, 3.7),
    ('probability_regression', {}, 1.0),
    ('distillation_kl', {'temperature': 1.0}, 2.0),
    ('distillation_kl', {'temperature': 4.0}, 3.2),
    ('standardised_kl', {'temperature': 2.0}, 3.5),
    ('decoupled_kl', {'temperature': 4.0, 'alpha': 1.0, 'beta': 8.0}, 2.9),
    ('pearson_distance', {'temperature': 1.0, 'beta': 1.0, 'gamma': 1.0}, 2.6),
    ('blended', {'temperature': 4.0, 'alpha': 0.9}, 3.0),
    ('pseudo_label', {}, 0.4))


def make_losses(rng, **changes):
  """One mimic for every loss on the same inputs, and the net on labels."""
  records = make_mimics(
      rng, 'loss/labels', gain=-1, mixture='train+views', inputs_count=7200,
      objective='cross_entropy', **changes | {'teacher': ''})
  for objective, constants, gain in LOSSES:
    name = '-'.join([objective, *map(str, constants.values())])
    records += make_mimics(
        rng, f'loss/{name}', gain=gain, objective=objective,
        mixture='train+views', inputs_count=7200, **constants, **changes)
  return records
