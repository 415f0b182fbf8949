"""Finished directories that someone spoilt: told, or mended if it is quick."""

import shutil

import pytest
import tiny_experiment
from work_dirs import copy_run, find, flip_bit, read_all

from shallow_mimic import errors, pipeline
from shallow_mimic.training import fit


@pytest.mark.parametrize('name', [
    'data/train.x.npy', 'data/dataset.json', 'teachers/DNN/0/record.json',
    'teachers/DNN/1/params.npz', 'teachers/DNN/1/fitted.json',
    'ensembles/EDNN/dev.npy', 'ensembles/EDNN/record.json',
    'logits/EDNN/**/part-00001.npy', 'students/search/SNN/*/record.json',
    'students/final/SNN/*/params.npz', 'students/final/SNN/*/fitted.json'])
@pytest.mark.parametrize('missing', [False, True])
def test_damage_in_what_is_kept_is_named(finished, tmp_path, name, missing):
  npz, workdir = copy_run(finished, tmp_path)
  path = find(workdir, name)
  if missing:
    path.unlink()
  else:
    flip_bit(path)
  before = read_all(workdir)
  with pytest.raises(errors.UserError) as error:
    pipeline.run(tiny_experiment.make_config(npz), workdir, say=lambda _: None)
  what = 'missing' if missing else 'damaged'
  assert str(error.value).startswith(f'{path} is {what}')
  assert str(error.value).endswith(
      f'; delete {path.parent} and run again to make it anew')
  assert '\n' not in str(error.value)
  assert read_all(workdir) == before


@pytest.mark.parametrize('name', [
    'students/scores/SNN/*/record.json', 'report/results.csv',
    'report/figures/figure1_accuracy.svg'])
@pytest.mark.parametrize('missing', [False, True])
def test_damage_in_what_is_quickly_made_is_mended(finished, tmp_path, name,
                                                  missing, monkeypatch):
  npz, workdir = copy_run(finished, tmp_path)
  before, path = read_all(workdir), find(workdir, name)
  if missing:
    path.unlink()
  else:
    flip_bit(path)
  monkeypatch.setattr(fit, 'fit', None)
  said = []
  pipeline.run(tiny_experiment.make_config(npz), workdir, say=said.append)
  assert ('curves: done' if 'report' in name else
          'students scores: 7 there already, verified; 1 judged') in said
  assert read_all(workdir) == before


@pytest.mark.parametrize('name', [
    'data', 'teachers/DNN/0', 'ensembles/EDNN', 'students/search/SNN/width-3*',
    'students/final/SNN/width-3*', 'students/scores/SNN/width-3*', 'report'])
@pytest.mark.parametrize('how', ['missing', '{}', '[]', 'null', 'flipped'])
def test_a_spoilt_root_is_named(finished, tmp_path, name, how):
  npz, workdir = copy_run(finished, tmp_path)
  path = find(workdir, name) / 'done.json'
  if how == 'missing':
    path.unlink()
  elif how == 'flipped':
    flip_bit(path)
  else:
    path.write_text(how, encoding='utf-8')
  if (name, how) == ('data', 'missing'):  # As if it had been cut off.
    before = read_all(finished[1])
    pipeline.run(tiny_experiment.make_config(npz), workdir, say=lambda _: None)
    assert read_all(workdir) == before
    return
  with pytest.raises(errors.UserError) as error:
    pipeline.run(tiny_experiment.make_config(npz), workdir, say=lambda _: None)
  assert str(path.parent) in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('name', [
    'data', 'teachers/DNN/0', 'ensembles/EDNN', 'students/search/SNN/width-3*',
    'students/final/SNN/width-3*', 'students/scores/SNN/width-3*', 'report'])
def test_a_file_of_someone_else_is_told_and_stays(finished, tmp_path, name):
  npz, workdir = copy_run(finished, tmp_path)
  folder = find(workdir, name)
  (folder / 'mine.txt').write_text('mine', encoding='utf-8')
  with pytest.raises(errors.UserError) as error:
    pipeline.run(tiny_experiment.make_config(npz), workdir, say=lambda _: None)
  assert str(error.value) == (
      f'{folder}/mine.txt is not a file that {folder} was written with; move it'
      ' away')
  assert (folder / 'mine.txt').read_text(encoding='utf-8') == 'mine'


@pytest.mark.parametrize('name', [
    'data', 'teachers', 'teachers/DNN', 'teachers/DNN/0', 'ensembles',
    'ensembles/EDNN', 'logits', 'logits/EDNN', 'students', 'students/search',
    'students/final/SNN', 'students/scores', 'report', 'report/figures',
    'training', 'training/*'])
@pytest.mark.parametrize('gone', [False, True])
def test_a_folder_that_leads_elsewhere_is_refused(finished, tmp_path, name,
                                                  gone):
  """Nothing is written or deleted there; nor is what lies there believed."""
  npz, workdir = copy_run(finished, tmp_path)
  outside, link = tmp_path / 'outside', find(workdir, name)
  link.rename(outside)
  if name.startswith('training'):  # Not looked at, unless there is work.
    shutil.rmtree(workdir / 'teachers/DNN/0')
  if gone:
    shutil.rmtree(outside)
    outside.mkdir()
    (outside / '7').mkdir()
    (outside / 'mine.txt').write_text('mine', encoding='utf-8')
  link.symlink_to(outside)
  before = read_all(outside)
  with pytest.raises(errors.UserError) as error:
    pipeline.run(tiny_experiment.make_config(npz), workdir, say=lambda _: None)
  assert f'{link} is a link' in str(error.value)
  assert '\n' not in str(error.value)
  assert read_all(outside) == before and (outside / '7').exists() == gone
