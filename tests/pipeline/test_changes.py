"""A changed configuration: what is kept, trained, redrawn, or refused.

Each case changes one thing of a finished run, and states all that comes of it.
"""

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping

import pytest
import tiny_experiment
from work_dirs import find, read_all

from shallow_mimic import configs, curves, errors, pipeline
from shallow_mimic.training import fit

NETS = ('teachers', 'students/search', 'students/final')
# Lines of a refusal, after the fields.
REFUSED = (
    '{fields}: {count} trained nets of {root} ({first}, …) would be thrown'
    ' away; set that back, choose another --workdir, or say --redo={redo}:'
    ' what no longer fits is moved into {root}/old and made anew')


@dataclasses.dataclass(frozen=True)
class Case:
  """A change, and what comes of it.

  Attributes:
    change: of the configuration.
    trained: nets by stage, each as 'MODEL WIDTH SEED'.
    changed: what of the work directory is new or other, beside config.json.
    said: lines among those that are told.
    refused: the fields that a refusal names; then nothing is done.
    count: how many nets it names.
    first: the first of them.
    redo: the stage that it says.
  """

  change: Callable[[configs.Given], None]
  trained: Mapping[str, list[str]] = dataclasses.field(default_factory=dict)
  changed: frozenset[str] = frozenset()
  said: tuple[str, ...] = ()
  refused: str = ''
  count: int = 0
  first: str = 'teachers/DNN/0'
  redo: str = 'teachers'


def put(field, value):
  """A change of one field, by its name after `config.`."""
  def change(config):
    *path, last = field.split('.')
    for name in path:
      config = config[name]
    config[last] = value
  return change


def add_curve(config):
  config.students.curves['SNN-KL'] = configs.make_curve(
      objective='distillation_kl', teacher='EDNN', inputs='train')


def drop_curve(config):
  del config.students.curves['SNN']


def add_teacher(config):
  config.teachers['DNN-2'] = configs.make_teacher(
      architecture='6', members=1, steps=20, batch=16, eval_every=5)


def add_ensemble(config):
  config.ensembles['first'] = configs.make_ensemble('DNN:0')


def move_data(config):
  moved = pathlib.Path(config.data.path).with_name('moved.npz')
  shutil.copyfile(config.data.path, moved)
  os.utime(moved, (0, 0))
  config.data.path = str(moved)


def both(text, times=1):
  """Nets of both curves."""
  return sorted(times * [f'{model} {text}' for model in ('SNN', 'SNN-MIMIC')])


def refused(field, there, now, count, **more):
  return dict(refused=f'config.{field}: there {there!r}, now {now!r}',
              count=count, **more)


REPORT = frozenset({'report'})
STUDENTS = REPORT | {'students', 'training'}
SEARCHED = dict(first='students/search/SNN/width-3,seed-0,rate-0.01,decay-0.0',
                redo='students')
CASES = {
    'nothing': Case(lambda config: None),
    # The report alone.
    'title': Case(put('title', 'Another'), changed=REPORT),
    'notes': Case(put('report.notes', ('One note.',)), changed=REPORT),
    'figure width': Case(put('report.figure_width', 5), changed=REPORT),
    'paper rows': Case(put('report.paper', ({'model': 'SNN'},)),
                       changed=REPORT),
    'latency': Case(put('report.latency', True),
                    changed=REPORT | {'latencies'}),
    # Nothing at all.
    'saving interval': Case(put('parallel.save_seconds', 9.0)),
    'devices': Case(put('parallel.devices', 2)),
    'split': Case(put('parallel.split', 'batch')),
    'memory': Case(put('data.memory_gib', 0.5)),
    'padding': Case(put('students.waste', 0.1)),
    'a file that moved': Case(move_data),
    # One thing more, or less.
    'a width more': Case(
        put('students.widths', (3, 5, 7)), {
            'students search': both('7 0', 2),
            'students': both('7 0') + both('7 1')}, STUDENTS, (
                'students search: 8 there already, verified; 4 to train',
                'students: 8 there already, verified; 4 to train',
                'students scores: 8 there already, verified; 4 judged')),
    'a width less': Case(put('students.widths', (5,)), changed=REPORT),
    'a seed more': Case(
        put('students.seeds', 3), {'students': both('3 2') + both('5 2')},
        STUDENTS, ('students search: there already, verified',
                   'students: 8 there already, verified; 4 to train')),
    'a seed less': Case(put('students.seeds', 1), changed=REPORT),
    'a curve more': Case(
        add_curve, {
            'students search': ['SNN-KL 3 0'] * 2 + ['SNN-KL 5 0'] * 2,
            'students': ['SNN-KL 3 0', 'SNN-KL 3 1', 'SNN-KL 5 0',
                         'SNN-KL 5 1']}, STUDENTS),
    'a curve less': Case(drop_curve, changed=REPORT),
    'a teacher more': Case(
        add_teacher, {'teachers DNN-2': ['DNN-2 0 0']},
        REPORT | {'teachers', 'training'}, (
            'teachers DNN: there already, verified', 'teachers DNN-2: done')),
    'an ensemble more': Case(
        add_ensemble, {}, REPORT | {'ensembles'}, (
            'ensembles EDNN: there already, verified',
            'ensembles first: done')),
    # What would throw nets away.
    'rate of a teacher': Case(
        put('teachers.DNN.learning_rate', 0.03), **refused(
            'teachers.DNN.learning_rate', 0.003, 0.03, 2 + 4 + 4)),
    'steps of a teacher': Case(
        put('teachers.DNN.steps', 30), **refused(
            'teachers.DNN.steps', 20, 30, 2 + 4 + 4)),
    'architecture of a teacher': Case(
        put('teachers.DNN.architecture', '8-9'), **refused(
            'teachers.DNN.architecture', '8-8', '8-9', 2 + 4 + 4)),
    'steps of students': Case(
        put('students.steps', 30), **refused(
            'students.steps', 20, 30, 8,
            first='students/final/SNN/width-3,seed-0,rate-*',
            redo='students')),
    'steps of the search': Case(
        put('students.search_steps', 15), **refused(
            'students.search_steps', 10, 15, 8, **SEARCHED)),
    'batch of students': Case(
        put('students.batch', 8), **refused(
            'students.batch', 16, 8, 16, **SEARCHED)),
    'inputs of a curve': Case(
        put('students.curves.SNN-MIMIC.inputs', 'train'), **refused(
            'students.curves["SNN-MIMIC"].inputs', 'train+transfer', 'train', 8,
            redo='students', first='students/search/SNN-MIMIC/width-3,seed-0,'
            'rate-0.01,decay-0.0')),
    'type of the logits': Case(
        put('logits.dtype', 'float16'), **refused(
            'logits.dtype', 'float32', 'float16', 8, redo='students',
            first='students/search/SNN-MIMIC/width-3,seed-0,rate-0.01,'
            'decay-0.0')),
    'mean of the teachers': Case(
        put('ensembles.EDNN.space', 'probabilities'), **refused(
            'ensembles.EDNN.space', 'logits', 'probabilities', 8,
            redo='students', first='students/search/SNN-MIMIC/width-3,seed-0,'
            'rate-0.01,decay-0.0')),
    'a teacher more in an ensemble': Case(
        put('teachers.DNN.members', 3), refused='the teacher EDNN', count=8,
        redo='students', first='students/search/SNN-MIMIC/width-3,seed-0,'
        'rate-0.01,decay-0.0'),
    'seed': Case(put('seed', 1), **refused('seed', 0, 1, 18)),
    'fewer inputs': Case(
        put('data.limit_train', 50), **refused(
            'data.limit_train', 0, 50, 18, redo='data')),
}


@pytest.fixture(name='base', scope='module')
def fixture_base(tmp_path_factory):
  """A finished run, made in this process: its `.npz` and its directory."""
  folder = tmp_path_factory.mktemp('base')
  tiny_experiment.write_npz(folder / 'tiny.npz')
  pipeline.run(tiny_experiment.make_config(folder / 'tiny.npz'),
               folder / 'run', say=lambda _: None)
  return folder / 'tiny.npz', folder / 'run'


@pytest.fixture(name='place')
def fixture_place(base, tmp_path):
  """A configuration and a directory of its own, as finished as the base."""
  npz, root = tmp_path / 'tiny.npz', tmp_path / 'run'
  shutil.copyfile(base[0], npz)
  shutil.copytree(base[1], root)
  config = tiny_experiment.make_config(base[0])
  config.data.path = str(npz)
  return config, root


@pytest.fixture(name='spied')
def fixture_spied(monkeypatch):
  """What is trained, as 'MODEL WIDTH SEED' by stage; and how often drawn."""
  trained, drawn = {}, []
  real_fit, real_draw = fit.fit, curves.write_report

  def spy_fit(members, *arguments, stage, **options):
    trained.setdefault(stage, []).extend(
        f'{m.model} {m.width} {m.seed}' for m in members)
    return real_fit(members, *arguments, stage=stage, **options)

  def spy_draw(*arguments, **options):
    drawn.append(1)
    return real_draw(*arguments, **options)

  monkeypatch.setattr(fit, 'fit', spy_fit)
  monkeypatch.setattr(curves, 'write_report', spy_draw)
  return trained, drawn


def run(config, root, **options):
  """What was said."""
  said = []
  pipeline.run(config, root, say=said.append, **options)
  return said


def find_changed(before, after):
  """The folders and files at the top in which anything is new or other."""
  return {path.parts[0] for path in after if after[path] != before.get(path)}


def is_net(path):
  return str(path).startswith(NETS)


def assert_kept(before, after):
  """Every net that was there is there, byte for byte; and no net is moved."""
  nets = {path for path in before if is_net(path)}
  assert {path: after.get(path) for path in nets} == {
      path: before[path] for path in nets}


@pytest.mark.parametrize('name', CASES)
def test_one_change(place, spied, name):
  (config, root), case, (trained, drawn) = place, CASES[name], spied
  before = read_all(root)
  case.change(config)
  if case.refused:
    with pytest.raises(errors.UserError) as error:
      run(config, root)
    first = find(root, case.first).relative_to(root)
    assert str(error.value) == REFUSED.format(
        fields=case.refused, count=case.count, root=root, first=first,
        redo=case.redo)
    assert not trained and read_all(root) == before
    return
  said = run(config, root)
  after = read_all(root)
  assert trained == {
      stage: sorted(nets) for stage, nets in case.trained.items()} == {
          stage: sorted(nets) for stage, nets in trained.items()}
  assert find_changed(before, after) - {'config.json'} == case.changed
  assert bool(drawn) == ('report' in case.changed)
  assert set(case.said) <= set(said)
  assert_kept(before, after)
  count = sum(map(len, case.trained.values()))
  roots = [path for path in after if is_net(path) and path.name == 'done.json']
  assert len(roots) == 2 + 8 + 8 + count


# What a search chooses is known once it has been run ------------------------


@pytest.mark.parametrize(('field', 'value', 'searched'), [
    ('learning_rates', (0.01, 0.05, 0.2), both('3 0') + both('5 0')),
    ('search_seeds', 2, both('3 1', 2) + both('5 1', 2))])
def test_a_wider_search_trains_what_it_lacks_and_what_it_chooses(
    place, spied, field, value, searched):
  (config, root), (trained, _) = place, spied
  before = read_all(root)
  config.students[field] = value
  said = run(config, root)
  after = read_all(root)
  assert_kept(before, after)
  assert sorted(trained.pop('students search')) == sorted(searched)
  assert (f'students search: 8 there already, verified; {len(searched)} to'
          ' train') in said
  # Both seeds of the curves and widths for which it chose another rate.
  new = {path.parent.parent.name + ' ' + path.parent.name.replace(
      'width-', '').replace(',seed-', ' ').partition(',')[0]
         for path in after.keys() - before.keys()
         if str(path).startswith('students/final') and path.name == 'done.json'}
  assert set(trained.get('students', ())) == new
  assert len(new) % 2 == 0
  # Everything is there by now, of the narrower search too.
  trained.clear()
  run(tiny_experiment.make_config(config.data.path), root)
  assert not trained


def test_how_rows_are_parted_is_no_part_of_a_net(place, spied):
  (config, root), (trained, _) = place, spied
  before = read_all(root)
  config.logits.part_rows = 30
  run(config, root)
  assert not trained
  assert_kept(before, read_all(root))


def test_a_transfer_set_that_students_need_is_not_exchanged(place, spied):
  (config, root), (trained, _) = place, spied
  before = read_all(root)
  x = tiny_experiment.make_arrays()['x_transfer']
  tiny_experiment.write_npz(config.data.path, x_transfer=x[::-1])
  with pytest.raises(errors.UserError) as error:
    run(config, root)
  assert 'the content of the data source: ' in str(error.value)
  assert f' trained nets of {root} (' in str(error.value)
  assert '--redo=data: ' in str(error.value)
  assert not trained and read_all(root) == before


def test_more_fields_than_one_are_all_named(place):
  config, root = place
  config.students.steps, config.students.clip = 30, 2.0
  config.teachers.DNN.learning_rate = 0.03
  with pytest.raises(errors.UserError) as error:
    run(config, root)
  assert str(error.value).startswith(
      'config.teachers.DNN.learning_rate: there 0.003, now 0.03;'
      ' config.students.clip: there 0.0, now 2.0;'
      ' config.students.steps: there 20, now 30: 18 trained nets of ')
  assert ' --redo=teachers: ' in str(error.value)


def test_numbers_that_are_equal_are_no_change(place, spied):
  """A rate that is written as 1 and one that is written as 1.0."""
  config, root = place
  config.teachers = {'DNN': configs.make_teacher(
      architecture='8-8', members=2, steps=20, batch=16, eval_every=5,
      learning_rate=0.003, weight_decay=0)}
  tree = configs.to_json(config)
  tree['students']['clip'], tree['parallel']['save_seconds'] = 0, 0
  run(configs.from_json(tree), root)
  assert not spied[0]


# Going back -----------------------------------------------------------------


def test_a_change_that_is_taken_back_costs_a_report(place, spied):
  (config, root), (trained, drawn) = place, spied
  before = read_all(root)
  config.students.widths = (5,)
  run(config, root)
  small = (root / 'report/results.csv').read_text(encoding='utf-8')
  assert 'student,cross_entropy,3,' not in small
  assert 'student,cross_entropy,5,' in small
  config.students.widths = (3, 5)
  run(config, root)
  assert not trained and len(drawn) == 2
  assert not find_changed(before, read_all(root)) - {'config.json'}


def test_a_deleted_net_comes_back_to_the_bit(place, spied):
  """Its family is trained again; what is there of it stays as it is."""
  (config, root), (trained, _) = place, spied
  before = read_all(root)
  for pattern in ('teachers/DNN/1', 'students/final/SNN-MIMIC/width-5,seed-1*'):
    shutil.rmtree(find(root, pattern))
  run(config, root)
  assert trained == {
      'teachers DNN': ['DNN 0 0', 'DNN 0 1'],
      'students': ['SNN 3 0', 'SNN 3 1', 'SNN 5 0', 'SNN 5 1', 'SNN-MIMIC 3 0',
                   'SNN-MIMIC 3 1', 'SNN-MIMIC 5 0', 'SNN-MIMIC 5 1']}
  after = read_all(root)
  assert after.keys() == before.keys()
  assert not find_changed(before, after) - {'config.json'}


def test_folders_of_another_run_are_not_taken_for_ours(place, spied):
  """Teachers of other steps, rate and seed, copied into this run."""
  (config, root), (trained, _) = place, spied
  other = root.with_name('other')
  config.teachers.DNN.steps, config.teachers.DNN.learning_rate = 15, 0.01
  config.seed = 3
  run(config, other, stages=('data', 'teachers'))
  trained.clear()
  for name in ('teachers/DNN', 'teachers/DNN/1'):
    copy = root.with_name(f'copy-{name[-1]}')
    shutil.copytree(root, copy)
    shutil.rmtree(copy / name)
    shutil.copytree(other / name, copy / name)
    with pytest.raises(errors.UserError) as error:
      run(tiny_experiment.make_config(config.data.path), copy)
    assert str(error.value).startswith(
        'config.teachers.DNN.learning_rate: there 0.01, now 0.003;'
        ' config.seed: there 3, now 0; config.teachers.DNN.steps: there 15,'
        ' now 20: ')
  assert not trained


# --redo ---------------------------------------------------------------------


def read_moved(root):
  """What lies in `old`, by the name that it had."""
  return {pathlib.Path(*path.parts[2:]): data for path, data in read_all(
      root).items() if path.parts[0] == 'old'}


def assert_nothing_lost(before, root, but=('report', 'students/scores')):
  """All that was there lies where it lay, or in `old`; drawings are new."""
  after, moved = read_all(root), read_moved(root)
  lost = [path for path, data in before.items()
          if data not in (after.get(path), moved.get(path))
          and not str(path).startswith(('config.json', *but))]
  assert lost == []


def test_students_that_do_not_fit_are_moved_aside(place, spied):
  (config, root), (trained, _) = place, spied
  before = read_all(root)
  config.students.steps = 30
  said = run(config, root, redo=('students',))
  assert {stage: len(nets) for stage, nets in trained.items()} == {
      'students': 8}
  assert any(line.startswith('students: 8 nets no longer fit; they are moved,'
                             f' the first is now {root}/old/1/students/final/')
             for line in said)
  assert_nothing_lost(before, root)
  assert {path.parts[:2] for path in read_moved(root)} == {
      ('students', 'final')}
  trained.clear()
  run(config, root)
  assert not trained


def test_what_follows_from_teachers_is_moved_with_them(place, spied):
  (config, root), (trained, _) = place, spied
  before = read_all(root)
  config.teachers.DNN.learning_rate = 0.03
  run(config, root, redo=('teachers',))
  # Those that learn from labels have no teacher.
  assert trained['teachers DNN'] == ['DNN 0 0', 'DNN 0 1']
  for stage in ('students search', 'students'):
    assert {net.split()[0] for net in trained[stage]} == {'SNN-MIMIC'}
  assert_nothing_lost(before, root)
  moved = {path for path in read_moved(root) if is_net(path)}
  assert not any(path.match('students/*/SNN/*/*') for path in moved)
  # Final ones whose rate is not chosen any more stay, as all that is removed.
  assert moved >= {path for path in before if str(path).startswith((
      'teachers', 'students/search/SNN-MIMIC'))}
  trained.clear()
  run(config, root)
  assert not trained


def test_a_redo_of_what_fits_keeps_it(place, spied):
  """A command with --redo that was stopped goes on when it is given again."""
  (config, root), (trained, _) = place, spied
  before = read_all(root)
  said = run(config, root, redo=('teachers',))
  assert said[0] == 'teachers: no net is to be replaced'
  assert not trained
  assert find_changed(before, read_all(root)) <= {'config.json'}


def test_data_that_changed_are_read_anew_where_that_is_wanted(place, spied):
  (config, root), (trained, _) = place, spied
  before = read_all(root)
  config.data.limit_train = 50
  run(config, root, redo=('data',))
  assert {stage: len(nets) for stage, nets in trained.items()} == {
      'teachers DNN': 2, 'students search': 8, 'students': 8}
  assert_nothing_lost(before, root)
  assert {path for path in before if is_net(path)} <= read_moved(root).keys()


@pytest.mark.parametrize('redo', ['students', 'curves', 'ensembles'])
def test_a_later_stage_that_is_redone_gives_no_leave_for_an_earlier(
    place, redo):
  config, root = place
  before = read_all(root)
  config.teachers.DNN.learning_rate = 0.03
  with pytest.raises(errors.UserError, match=r'--redo=teachers: ') as error:
    run(config, root, redo=(redo,))
  assert ': 2 trained nets of ' in str(error.value) or redo == 'curves'
  assert read_all(root) == before


def test_a_redo_of_what_does_not_run_moves_nothing(place):
  config, root = place
  before = read_all(root)
  with pytest.raises(errors.UserError) as error:
    run(config, root, stages=('students', 'curves'), redo=('teachers',))
  assert str(error.value) == (
      'the stage `teachers` is to be done again, but is not among those that'
      ' are to run: students, curves')
  assert read_all(root) == before


def test_a_redo_of_no_stage(place):
  config, root = place
  with pytest.raises(errors.UserError, match="there is no stage 'teacher'; kn"):
    run(config, root, redo=('teacher',))
