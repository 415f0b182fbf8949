"""Tests of timing: what is timed, how, what is written, and the figure."""

import csv
import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import report_records
import tiny_experiment
from work_dirs import copy_run, read_all

from shallow_mimic import errors, models, pipeline, students
from shallow_mimic.curves import Context, results
from shallow_mimic.curves.section import make_part
from shallow_mimic.curves.sections import latency
from shallow_mimic.evaluation import latencies


def make_net(text='6', **options):
  return models.make_net(text, (4,), 3, **options)


def test_median_of_warm_calls_taken_in_turns():
  now, log = [0.0], []
  costs = {'a': iter([9, 9, 1, 2, 3, 9, 4, 5, 60]),
           'b': iter([9, 9, 10, 10, 10, 9, 10, 10, 30])}

  def make(name):
    def call():
      log.append(name)
      now[0] += next(costs[name])
    return call

  found = latencies.measure(
      {name: make(name) for name in costs}, 2, clock=lambda: now[0])
  # a: 1 2 3 4 5 60, b: 10 10 10 10 10 30, in seconds.
  assert found == {'a': 3500.0, 'b': 10_000.0}
  assert ''.join(log) == 'ab' + 2 * ('aaaa' + 'bbbb')


def test_a_call_runs_the_nets_on_a_batch():
  seen = []

  def combine(logits, space):
    seen.append((logits.shape, space))
    return logits.mean(0)

  subject = latencies.make_subject([make_net(), make_net('8-8')], 'logits')
  result = latencies.make_call(subject, combine, 7)()
  assert seen == [((2, 7, 3), 'logits')]
  assert result.shape == (7, 3) and np.isfinite(result).all()
  alone = latencies.make_subject([make_net()])
  assert latencies.make_call(alone, None, 1)().shape == (1, 3)


def test_what_matters_in_training_alone_makes_no_difference():
  plain, dropped = make_net(), make_net(dropout_hidden=0.5, bias_spread=0.5)
  assert latencies.make_subject([plain]) == latencies.make_subject([dropped])
  assert latencies.make_subject([plain]) != latencies.make_subject(
      [make_net(activation='tanh')])


def test_each_shape_is_timed_once_and_all_of_its_nets_are_told(
    tmp_path, monkeypatch):
  timed = []

  def measure(calls, rounds):
    timed.append((len(calls), rounds))
    return {subject: float(10 * len(timed) + place)
            for place, subject in enumerate(calls)}

  monkeypatch.setattr(latencies, 'measure', measure)
  one, other = (latencies.make_subject([make_net(t)]) for t in ('6', '2L-6'))
  latencies.write_latencies(tmp_path, {
      ('student', 'SNN', 6): {'': one, '_factored': other},
      ('student', 'MIMIC', 6): {'': one}}, jnp.mean)
  assert [count for count, _ in timed] == [2, 2]
  device = f'cpu: {jax.devices()[0].device_kind}'
  assert latencies.read_latencies(tmp_path) == {
      ('student', 'SNN', 6): {
          'latency_ms_1': 10.0, 'latency_ms_1_factored': 11.0,
          'latency_ms_256': 20.0, 'latency_ms_256_factored': 21.0,
          'latency_device': device},
      ('student', 'MIMIC', 6): {
          'latency_ms_1': 10.0, 'latency_ms_256': 20.0,
          'latency_device': device}}


def test_subjects_are_all_nets_students_absorbed(finished, monkeypatch):
  npz, root = finished
  config = tiny_experiment.make_config(npz)
  config.students.architecture = '2L-H'
  run = pipeline.read_run(root, config=config)
  # No search was run of such students.
  monkeypatch.setattr(type(run), 'find_members', lambda run, seeds: (
      students.make_members(
          run.config.students, (4,), 3, seeds=seeds, rates={
              (name, width): (0.01, 0.0) for name in ('SNN', 'SNN-MIMIC')
              for width in (3, 5)})))
  subjects = run.find_subjects()
  named = {key: {end: [str(net.architecture) for net in subject.nets]
                 for end, subject in forms.items()}
           for key, forms in subjects.items()}
  assert named == {
      ('teacher', 'DNN', 0): {'': ['8-8']},
      ('ensemble', 'EDNN', 0): {'': ['8-8', '8-8']},
      **{('student', name, width): {
          '': [f'{width}'], '_factored': [f'2L-{width}']}
         for name in ('SNN', 'SNN-MIMIC') for width in (3, 5)}}
  assert subjects['ensemble', 'EDNN', 0][''].space == 'logits'


def make_config(npz):
  """The tiny experiment, timed."""
  config = tiny_experiment.make_config(npz)
  config.report.latency = True
  return config


def measure_places(calls, _):
  """A stub that gives each call its place as its time."""
  return {one: 1.0 + place for place, one in enumerate(calls)}


def test_a_run_that_times_reads_its_times_back(finished, tmp_path,
                                               monkeypatch):
  npz, root = copy_run(finished, tmp_path)

  def run(*stages):
    return pipeline.run(
        make_config(npz), root, stages=stages, say=lambda _: None)

  with pytest.raises(errors.UserError) as error:
    run('curves')
  assert str(error.value) == (
      f'{root}/latencies is not finished; run the stage `latencies` first')
  monkeypatch.setattr(latencies, 'measure', measure_places)
  run('latencies', 'curves')
  monkeypatch.setattr(latencies, 'measure', None)
  run('latencies', 'curves')
  rows = list(csv.DictReader(
      (root / 'report/results.csv').read_text(encoding='utf-8').splitlines()))
  timed = [row for row in rows if row['metric'].startswith('latency_ms_')]
  # Two teachers, one ensemble, eight students; two sizes of batch.
  assert len(timed) == 2 * (2 + 1 + 8)
  assert {row['split'] for row in timed} == {''}
  assert {row['metric'] for row in timed} == {
      'latency_ms_1', 'latency_ms_256'}
  ensemble = [row['value'] for row in timed if row['role'] == 'ensemble']
  assert ensemble == ['2.0', '2.0']
  assert (root / 'report/figures/figure_latency.png').exists()
  assert not (finished[1] / 'report/figures/figure_latency.png').exists()


def test_other_nets_than_those_timed_are_timed_anew(finished, tmp_path,
                                                    monkeypatch):
  npz, root = copy_run(finished, tmp_path)
  monkeypatch.setattr(latencies, 'measure', measure_places)
  config = make_config(npz)
  pipeline.run(config, root, say=lambda _: None)
  before = read_all(root / 'latencies')
  # A net less: the times that are there are not of these nets.
  config.students.widths = (5,)
  with pytest.raises(errors.UserError) as error:
    pipeline.run(config, root, stages=('curves',), say=lambda _: None)
  assert str(error.value) == (
      f'{root}/latencies was made from another nets; run the stage `latencies`'
      ' first')
  said = []
  pipeline.run(config, root, say=said.append)
  assert (f'latencies: made from other things before; that is now {root}/old/1/'
          'latencies' in said) and 'latencies: done' in said
  assert read_all(root / 'old/1/latencies') == before
  assert {key[2] for key in latencies.read_latencies(root / 'latencies')} == {
      0, 5}


def test_a_report_of_what_is_there_does_without_times(finished, tmp_path):
  npz, root = copy_run(finished, tmp_path)
  pipeline.write_report(root, config=make_config(npz))
  assert 'latency_ms_1' not in (root / 'report/results.csv').read_text(
      encoding='utf-8')


def make_timed():
  """Records with made-up times: wider is slower, deep is slowest."""
  records = []
  for record in report_records.make_records(widths=(64, 256)):
    if record.phase == 'final':
      slow = 3.0 if record.role == 'teacher' else 9.0
      time = record.width / 640 or slow
      record = dataclasses.replace(  # noqa: PLW2901
          record, latency_ms_1=time, latency_ms_256=100 * time,
          latency_device='cpu: mine')
    records.append(record)
  return records


def test_figure_has_a_point_for_every_timed_net():
  context = Context(make_timed())
  figure = latency.draw_latencies(context)
  for axes, factor in zip(figure.axes, (1, 100), strict=True):
    assert axes.get_xscale() == 'log'
    drawn = [container.lines[0] for container in axes.containers]
    data = {tuple(np.round(line.get_xdata().astype(float), 6).tolist())
            for line in drawn}
    assert data == {(0.1 * factor, 0.4 * factor), (3.0 * factor,),
                    (9.0 * factor,)}
    # Three plain curves, two kinds of teacher, two ensembles.
    assert len(drawn) == 7
  mimic = next(s for s in context.points
               if (s.model, s.width) == ('SNN-MIMIC', 256))
  heights = np.concatenate([c.lines[0].get_ydata()
                            for c in figure.axes[0].containers])
  assert mimic.test.mean in heights


def test_words_compare_the_best_plain_mimic_with_deep_nets():
  first, second = latency.say_latencies(Context(make_timed()))
  assert first.startswith('Batch 1: SNN-MIMIC of width 256 0.4 ms (')
  assert ' layers in a row, 7.5 times as long)' in first  # 3 / 0.4
  assert second.startswith('Batch 256: SNN-MIMIC of width 256 40 ms (')


def test_without_times_there_is_no_figure_and_no_row():
  records = report_records.make_records(widths=(64,))
  assert make_part(latency.SECTION, Context(records)) is None
  part = make_part(latency.SECTION, Context(make_timed()))
  assert '(cpu: mine)' in part.caption and part.image.svg
  rows = csv.DictReader(io.StringIO(results.format_csv(records)))
  assert not [row for row in rows if 'latency' in row['metric']]
