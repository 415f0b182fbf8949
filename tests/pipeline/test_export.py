"""Exporting from a work directory: which student, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import tiny_experiment
from exported import FILES, check_close, run_alone
from report_records import make_record
from work_dirs import copy_run, find, flip_bit, reseal

from shallow_mimic import errors, evaluation, pipeline, training
from shallow_mimic.pipeline import export, stages
from shallow_mimic.pipeline.export import Wanted
from shallow_mimic.runs import files, kept, versions
from shallow_mimic.students import artefact
from shallow_mimic.training import family, kept_nets

RAW = tiny_experiment.make_arrays()


def read_outputs(finished, record):
  """Logits on dev of a student as the pipeline has it."""
  run = pipeline.read_run(finished[1])
  dataset, [net] = run.dataset, [net for net in run.list_students() if (
      net.member.model, net.member.width, net.member.seed) == (
          record.model, record.width, record.seed)]
  _, fitted = kept_nets.read_net(
      finished[1], net, dataset.input_shape, dataset.classes)
  outputs = evaluation.predict(
      family.member_net(net.member, dataset.input_shape, dataset.classes),
      fitted.params, dataset.dev.x)
  if not net.member.objective.normalized:
    return outputs
  normalizer = gather(run).normalizers['EDNN', 'train+transfer']
  return np.asarray(normalizer.denormalize(outputs))


def gather(run):
  """What the final students were trained on."""
  return training.gather_family_data(
      run.find_members(), run.dataset, run.read_targets(['EDNN']))


def run_export(finished, wanted, target):
  return export.export_student(finished[1], wanted, target)


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
  run, root = pipeline.read_run(finished[1]), finished[1]
  nets = run.list_students()
  found = set()
  for net in nets:
    identity, fitted = kept_nets.read_net(root, net, (4,), 3)
    assert identity == kept.verify(root / net.slot).identity == {
        'made_from': net.digest,
        'params': kept_nets.digest_params(fitted.params)}
    [accuracy] = [r.metrics['dev']['accuracy'] for r in run.read_scores() if (
        r.model, r.width, r.seed) == (
            net.member.model, net.member.width, net.member.seed)]
    assert fitted.accuracy == pytest.approx(accuracy)
    found.add(identity['params'])
  assert len(found) == len(nets) == 8


def test_normalizer_is_the_one_that_the_family_had(finished):
  run = pipeline.read_run(finished[1])
  mimic = next(m for m in run.find_members() if m.model == 'SNN-MIMIC')
  for ours, theirs in zip(
      training.fit_normalizer(
          mimic, run.dataset, run.read_targets(['EDNN'])),
      gather(run).normalizers['EDNN', 'train+transfer'], strict=True):
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
  assert said['trained_parameters'] == record.parameters
  root, run = finished[1], pipeline.read_run(finished[1])
  net = kept.verify(find(root, 'students/final/SNN-MIMIC/width-5,seed-1*'))
  assert said['made_from'] == {
      'data': run.dataset.name, 'fingerprint': run.dataset.fingerprint,
      'net': net.identity, 'teacher': {'space': 'logits', 'teachers': {
          f'DNN:{i}': kept.verify(root / f'teachers/DNN/{i}').identity
          for i in (0, 1)}}}
  assert said['trained_with'] == versions.find_versions()


def test_a_student_on_labels_has_no_teacher(finished, tmp_path):
  run_export(finished, Wanted('SNN'), tmp_path / 'out')
  said = json.loads((tmp_path / 'out/manifest.json').read_text('utf-8'))
  assert said['made_from']['teacher'] is None and said['teacher'] == ''


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


def refusal(run, tmp_path):
  with pytest.raises(errors.UserError) as error:
    run_export(run, Wanted(), tmp_path / 'out')
  assert not (tmp_path / 'out').exists() and '\n' not in str(error.value)
  return str(error.value)


def test_no_work_directory(finished, tmp_path):
  none = tmp_path / 'none'
  assert refusal((finished[0], none), tmp_path) == (
      f'{none} is no work directory: it has no config.json; name that of a run,'
      ' or run `launch.run` with it first')
  assert not none.exists()


@pytest.mark.parametrize('phase', ['search', 'final', 'scores'])
def test_unfinished_work_directory(finished, tmp_path, phase):
  run = copy_run(finished, tmp_path)
  folder = find(run[1], f'students/{phase}/SNN/*')
  shutil.rmtree(folder)
  assert refusal(run, tmp_path) == (
      f'{folder} is not finished; run the stage `students` first')


@pytest.mark.parametrize('name', ['params.npz', 'fitted.json'])
def test_damaged_students(finished, tmp_path, name):
  run = copy_run(finished, tmp_path)
  path = find(run[1], f'students/final/SNN-MIMIC/*/{name}')
  flip_bit(path)
  assert refusal(run, tmp_path).startswith(f'{path} is damaged')


def test_parameters_of_another_student(finished, tmp_path):
  """Its files are as its root says, and it is not the net of that name."""
  run = copy_run(finished, tmp_path)
  ours, theirs = (find(run[1], f'students/final/SNN-MIMIC/width-5,seed-{i}*')
                  for i in (0, 1))
  shutil.rmtree(ours)
  shutil.copytree(theirs, ours)
  assert refusal(run, tmp_path).startswith(
      f'{ours} was trained with another member_seed; ')


def test_another_configuration(finished, tmp_path):
  config = tiny_experiment.make_config(finished[0])
  config.students.steps = 30
  with pytest.raises(errors.UserError) as error:
    export.export_student(finished[1], Wanted(), tmp_path / 'out',
                          config=config)
  assert 'was trained with another steps; ' in str(error.value)
  # What makes no difference to the nets is no hindrance.
  config.students.steps, config.title = 20, 'another'
  export.export_student(finished[1], Wanted(), tmp_path / 'out', config=config)


def test_raw_inputs_of_unknown_type(finished, tmp_path):
  run = copy_run(finished, tmp_path)
  record = files.read_json(run[1] / 'data/dataset.json')
  assert record['raw_dtype'] == 'float32'
  files.write_json(run[1] / 'data/dataset.json', record | {'raw_dtype': ''})
  digest = files.digest_file(run[1] / 'data/dataset.json')
  reseal(run[1] / 'data/done.json', lambda tree: tree | {
      'files': tree['files'] | {'dataset.json': digest}})
  assert refusal(run, tmp_path) == (
      f'{run[1]}/data does not say of what type its raw inputs were; delete'
      ' that folder and run again to make it anew')


def test_full_target_is_refused_before_any_work(finished, tmp_path,
                                                monkeypatch):
  (tmp_path / 'mine').write_text('', encoding='utf-8')
  monkeypatch.setattr(stages, 'read_run', None)
  with pytest.raises(errors.UserError, match='is not empty; empty it or'):
    run_export(finished, Wanted(), tmp_path)
  assert [path.name for path in tmp_path.iterdir()] == ['mine']
  assert len(FILES) == 4 and artefact.LOADER in FILES
