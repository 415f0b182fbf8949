"""Exporting from a work directory: which student, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import tiny_experiment
from exported import FILES, check_close, run_alone
from report_records import make_record

from shallow_mimic import errors, evaluation, students, training
from shallow_mimic.data import store
from shallow_mimic.pipeline import export, stages
from shallow_mimic.pipeline.export import Wanted
from shallow_mimic.runs import files, workdir
from shallow_mimic.students import artefact, train

RAW = tiny_experiment.make_arrays()


def read_all(finished):
  """Config, members, data set and targets of the finished run."""
  npz, root = finished
  config, dataset = tiny_experiment.make_config(npz), store.read_dataset(
      root / 'data')
  run = stages.Run(config, root)
  members = run.read_members(dataset)
  return config, members, dataset, run.read_targets(dataset)


def read_outputs(finished, record):
  """Logits on dev of a student as the pipeline has it."""
  _, members, dataset, targets = read_all(finished)
  index = next(i for i, m in enumerate(members) if (
      m.model, m.width, m.seed) == tuple(
          record.fact(key) for key in ('model', 'width', 'seed')))
  net, params = students.read_student(
      finished[1] / 'students/final', members, index, dataset)
  outputs = evaluation.predict(net, params, dataset.dev.x)
  if not members[index].objective.normalized:
    return outputs
  inputs = training.gather_family_data(members, dataset, targets)
  normalizer = inputs.normalizers['EDNN', 'train+transfer']
  return np.asarray(normalizer.denormalize(outputs))


def run_export(finished, wanted, target):
  npz, root = finished
  return export.export_student(
      tiny_experiment.make_config(npz), root, wanted, target)


@pytest.mark.parametrize('wanted', [
    Wanted(), Wanted('SNN-MIMIC', 3, 1), Wanted('SNN', width=5)], ids=str)
def test_outputs_are_those_of_the_pipelines_own_student(
    finished, tmp_path, wanted):
  record = run_export(finished, wanted, tmp_path / 'out')
  expected = read_outputs(finished, record)
  ours = run_alone(tmp_path / 'out', RAW['x_dev'], tmp_path)
  for some, size in zip(ours, (1, 7, 256), strict=True):
    check_close(some, expected[:size])
  # The accuracy in the report is that of these very outputs.
  right = (ours[-1].argmax(-1) == RAW['y_dev']).mean()
  assert right == pytest.approx(record.metrics['dev']['accuracy'])


def test_students_are_read_back_one_by_one(finished):
  _, members, dataset, _ = read_all(finished)
  identity = workdir.read_identity(finished[1] / 'students/final')
  groups = train.group_by_net(members)
  for label, group in groups.items():
    read = [students.read_student(
        finished[1] / 'students/final', members, i, dataset)[1] for i in group]
    stacked = {name: {key: np.stack([p[name][key] for p in read])
                      for key in layer} for name, layer in read[0].items()}
    assert files.digest_tree(stacked) == identity[label]
  assert sum(map(len, groups.values())) == len(members) == 8


def test_normalizer_is_the_one_that_the_family_had(finished):
  _, members, dataset, targets = read_all(finished)
  inputs = training.gather_family_data(members, dataset, targets)
  mimic = next(m for m in members if m.model == 'SNN-MIMIC')
  for ours, theirs in zip(
      training.fit_normalizer(mimic, dataset, targets),
      inputs.normalizers['EDNN', 'train+transfer'], strict=True):
    np.testing.assert_array_equal(ours, theirs)


def test_manifest_says_where_it_comes_from(finished, tmp_path):
  record = run_export(finished, Wanted('SNN-MIMIC', 5, 1), tmp_path / 'out')
  said = json.loads((tmp_path / 'out/manifest.json').read_text(
      encoding='utf-8'))
  assert (said['model'], said['width'], said['seed']) == ('SNN-MIMIC', 5, 1)
  assert said['metrics'] == record.metrics
  assert said['teacher'] == 'EDNN' and said['logit_normalizer_undone']
  assert said['input'] == {
      'shape': ['B', 4], 'dtype': 'float32', 'meaning':
      'as the data have it, before any preprocessing, which is done within'}
  dataset = store.read_dataset(finished[1] / 'data')
  assert said['made_from']['fingerprint'] == dataset.fingerprint
  assert said['trained_parameters'] == record.parameters
  final, *caches = (workdir.read_identity(finished[1] / stage) for stage in (
      'students/final', 'logits/EDNN/train', 'logits/EDNN/transfer'))
  assert said['made_from']['students'] == files.digest_json(final)
  assert said['made_from']['logits'] == files.digest_json(caches)


def make_choice():
  """Plain mimics, a control that beats them, and a net on labels."""
  def one(model, dev, width=8, seed=0, teacher='E', **changes):
    return make_record(
        model, width=width, seed=seed, teacher=teacher,
        metrics={'dev': {'accuracy': dev}, 'test': {'accuracy': 1 - dev}},
        **changes)
  return [
      one('SNN', 0.9, teacher=''), one('MIMIC', 0.5), one('MIMIC', 0.7, seed=1),
      one('MIMIC', 0.6, width=16), one('MIMIC', 0.99, 16, 1, diverged=True),
      one('OTHER', 0.7, width=32), one('MIMIC/views', 0.95)]


@pytest.mark.parametrize('wanted, place', [
    (Wanted(), 2), (Wanted(width=16), 3), (Wanted(seed=0), 5),
    (Wanted('SNN'), 0), (Wanted('MIMIC/views'), 6), (Wanted('MIMIC', 8, 0), 1),
], ids=str)
def test_dev_chooses_among_those_that_fit(wanted, place):
  assert export.choose_student(make_choice(), wanted, 'DIR') == place


@pytest.mark.parametrize('wanted, asked', [
    (Wanted('MIMICK'), 'MIMICK'), (Wanted('MIMIC', 16, 1),
                                   'MIMIC, width 16, seed 1'),
    (Wanted(width=9), 'plain mimic, width 9')], ids=str)
def test_unknown_students_are_told_the_known(wanted, asked):
  with pytest.raises(errors.UserError) as error:
    export.choose_student(make_choice(), wanted, 'DIR')
  assert str(error.value) == (
      f'no student in DIR is {asked}; known: SNN (widths 8, seeds 0); MIMIC'
      ' (widths 8, 16, seeds 0, 1); OTHER (widths 32, seeds 0); MIMIC/views'
      ' (widths 8, seeds 0)')


def copy_run(finished, tmp_path):
  shutil.copytree(finished[1], tmp_path / 'run')
  return finished[0], tmp_path / 'run'


def refusal(run, tmp_path):
  with pytest.raises(errors.UserError) as error:
    run_export(run, Wanted(), tmp_path / 'out')
  assert not (tmp_path / 'out').exists() and '\n' not in str(error.value)
  return str(error.value)


def test_no_work_directory(finished, tmp_path):
  none = tmp_path / 'none'
  assert refusal((finished[0], none), tmp_path) == (
      f'{none} is no work directory; name that of a finished run with'
      ' --workdir, or run `launch.run` with it first')
  assert not none.exists()


def test_unfinished_work_directory(finished, tmp_path):
  run = copy_run(finished, tmp_path)
  (run[1] / 'students/final/done.json').unlink()
  assert refusal(run, tmp_path) == (
      f'{run[1]}/students/final is not finished; run the stage `students`'
      ' first')


def test_damaged_students(finished, tmp_path):
  run = copy_run(finished, tmp_path)
  path = max((run[1] / 'students/final/params').rglob('d/*'),
             key=lambda path: path.stat().st_size)
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 4
  path.write_bytes(data)
  assert refusal(run, tmp_path).startswith(f'{path} is damaged')


def test_another_configuration(finished, tmp_path):
  config = tiny_experiment.make_config(finished[0])
  config.seed = 3
  with pytest.raises(errors.UserError, match='belongs to another config'):
    export.export_student(config, finished[1], Wanted(), tmp_path / 'out')


def test_raw_inputs_of_unknown_type(finished, tmp_path):
  run = copy_run(finished, tmp_path)
  record = files.read_json(run[1] / 'data/dataset.json')
  assert record.pop('raw_dtype') == 'float32'
  files.write_json(run[1] / 'data/dataset.json', record)
  (run[1] / 'data/done.json').write_text('{}', encoding='utf-8')
  assert refusal(run, tmp_path) == (
      f'{run[1]}/data does not say of what type its raw inputs were; delete'
      ' that folder and run again to make it anew')


def test_full_target_is_refused_before_any_work(finished, tmp_path,
                                                monkeypatch):
  (tmp_path / 'mine').write_text('', encoding='utf-8')
  monkeypatch.setattr(stages.Run, 'read_dataset', None)
  with pytest.raises(errors.UserError, match='is not empty; empty it or'):
    run_export(finished, Wanted(), tmp_path)
  assert [path.name for path in tmp_path.iterdir()] == ['mine']
  assert len(FILES) == 4 and artefact.LOADER in FILES
