"""Phone metrics: against loops by hand, an oracle, and one point at a time."""

import json

import jax
import numpy as np
import pytest
import report_records
import small_timit

from shallow_mimic import configs, pipeline
from shallow_mimic.data import utterances
from shallow_mimic.data.dataset import Dataset, Examples
from shallow_mimic.evaluation import metrics, recognition
from shallow_mimic.evaluation.records import Record, read_record
from shallow_mimic.runs import kept as kept_folders
from shallow_mimic.speech import hmm, phones, viterbi

GRID = hmm.Weights.grid(language=(0.5, 2.0), insertion=(-3.0, 0.0),
                        prior=(0.5, 1.0))


def make_part(count, seed):
  """Utterances of 2 to 5 phones, each of 3 to 8 frames."""
  rng = np.random.default_rng(seed)
  said, labels = [], []
  for _ in range(count):
    said.append(rng.choice(61, rng.integers(2, 6)))
    said[-1][-1] = phones.PHONE_IDS['q' if len(said) % 2 else 'h#']
    labels.append(np.concatenate([
        np.repeat(3 * p + np.arange(3), rng.integers(1, 3, 3))
        for p in said[-1]]))
  y = np.concatenate(labels).astype(np.int32)
  parts = utterances.make_sequences(
      [len(one) for one in labels], said,
      [f'speaker{seed}/s{i}' for i in range(count)])
  return Examples(np.zeros((len(y), 3, 2), np.float32), y), parts


@pytest.fixture(name='dataset', scope='module')
def make_dataset():
  made = {name: make_part(count, seed) for seed, (name, count) in enumerate(
      (('train', 20), ('dev', 5), ('test', 7)))}
  return Dataset(
      name='made', classes=183, transfer={}, preprocessing={},
      digests={}, reach=1,
      sequences={name: part[1] for name, part in made.items()},
      **{name: part[0] for name, part in made.items()})


def make_logits(dataset, sharp, seed=0):
  """Of a net that is right as often as `sharp` is large."""
  rng = np.random.default_rng(seed)
  return {split: (rng.normal(size=(len(part.y), 183)) * 2
                  + sharp * np.eye(183)[part.y]).astype(np.float32)
          for split, part in (('dev', dataset.dev), ('test', dataset.test))}


def make_record(**changes):
  return report_records.make_record(
      'SNN', metrics={'dev': {}, 'test': {}}, **changes)


def score(dataset, *nets):
  """Records of some nets, and what is kept of each, as it is read back."""
  records = [make_record(seed=i) for i in range(len(nets))]
  trees = recognition.score_phones(
      records, dataset, lambda i, split: nets[i][split])
  assert records == [make_record(seed=i) for i in range(len(nets))]
  assert {tuple(one) for one in trees} == {('record.json', 'phone_errors.json')}
  trees = json.loads(json.dumps(trees))
  return ([Record.from_json(one['record.json']) for one in trees],
          [one['phone_errors.json'] for one in trees])


def test_an_oracle_makes_no_error(dataset):
  [record], [kept] = score(dataset, make_logits(dataset, 60))
  for split in ('dev', 'test'):
    got = record.metrics[split]
    assert got['per'] == got['per_silence_forgiven'] == 0
    assert got['phone_accuracy'] == 1 and got['phone_nll'] < 1e-6
  assert record.confusions == []
  assert kept['utterances'] == [f'speaker2/s{i}' for i in range(7)]


def test_metrics_are_sums_of_what_is_kept(dataset):
  nets = [make_logits(dataset, sharp, seed) for seed, sharp in
          enumerate((2, 4))]
  records, kept = score(dataset, *nets)
  kept = [tree['net'] for tree in kept]
  assert [net['seed'] for net in kept] == [0, 1]
  assert {key: kept[0][key] for key in records[0].identity} == {
      'model': 'SNN', 'role': 'student', 'objective': 'cross_entropy',
      'mixture': 'train', 'teacher': '', 'architecture': '64', 'width': 64,
      'seed': 0, 'diverged': False}
  for record, net, logits in zip(records, kept, nets, strict=True):
    got = record.metrics['test']
    assert 0 < got['per'] < 2
    errors = sum(net['scored'][name][u] for u in range(7) for name in (
        'substitutions', 'deletions', 'insertions'))
    assert got['per'] == errors / sum(net['scored']['phones'])
    assert got['per'] == pytest.approx(
        got['substitutions'] + got['deletions'] + got['insertions'])
    assert net['scored']['phones'] == [
        sum(phones.PHONES[p] != 'q' for p in said)
        for said in dataset.sequences['test'].references]
    quiet = {name: sum(net['forgiven'][name]) for name in net['forgiven']}
    spoken = quiet.pop('phones')
    assert got['per_silence_forgiven'] == sum(quiet.values()) / spoken
    assert spoken == sum(
        phones.PHONES[p] not in 'q h# pau epi bcl dcl gcl pcl tcl kcl'.split()
        for p in dataset.sequences['test'].phones)
    labels, frames = dataset.test.y, sum(net['frames'])
    assert frames == len(labels)
    assert sum(net['right']) / frames == pytest.approx(
        float(metrics.accuracy(logits['test'], labels).value))
    assert sum(net['nll']) / frames == pytest.approx(
        float(metrics.nll(logits['test'], labels).value), rel=1e-5)
    assert got['phone_accuracy'] == (
        sum(net['phone_right']) / sum(net['phone_frames']))


def test_frames_by_class_against_a_loop(dataset):
  logits = make_logits(dataset, 2)['test']
  stops = dataset.sequences['test'].stops
  got = recognition.count_frames(logits, dataset.test.y, stops)
  frames, right, nll = np.zeros(7), np.zeros(7), np.zeros(7)
  utterance = 0
  for row, (scores, label) in enumerate(zip(logits, dataset.test.y,
                                            strict=True)):
    utterance += row == stops[utterance]
    shares = {}
    for state, value in enumerate(scores):
      phone = phones.PHONES[state // 3]
      if phone != 'q':
        name = phones.CLASSES[phones.CLASS_OF_PHONE[state // 3]]
        shares[name] = shares.get(name, 0) + np.exp(np.float64(value))
    if phones.PHONES[label // 3] == 'q':
      continue
    truth = phones.CLASSES[phones.CLASS_OF_PHONE[label // 3]]
    frames[utterance] += 1
    right[utterance] += max(shares, key=shares.get) == truth
    nll[utterance] -= np.log(shares[truth] / sum(shares.values()))
  assert frames.sum() < len(logits)  # There are frames of q.
  np.testing.assert_array_equal(got['phone_frames'], frames)
  np.testing.assert_array_equal(got['phone_right'], right)
  np.testing.assert_allclose(got['phone_nll'], nll)


def edits(a, b):
  row = list(range(len(b) + 1))
  for i, x in enumerate(a, 1):
    last, row[0] = row[0], i
    for j, y in enumerate(b, 1):
      last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
  return row[-1]


def fold(said):
  return [c for c in phones.CLASS_OF_PHONE[np.array(said, int)] if c >= 0]


def test_the_choice_is_the_best_of_dev_tried_one_by_one(dataset):
  logits, model = make_logits(dataset, 3)['dev'], recognition.fit_decoder(
      dataset)
  part, totals = dataset.sequences['dev'], []
  for point in zip(*GRID, strict=True):
    total = 0
    for start, stop, said in zip(part.starts, part.stops, part.references,
                                 strict=True):
      one = np.zeros((1, 64, 183))
      one[0, :stop - start] = logits[start:stop]
      path = viterbi.decode(one, [stop - start], model, hmm.Weights(*point))
      [found] = viterbi.collect_phones(path, 3)
      total += edits(fold(said), fold(found))
    totals.append(total)
  assert min(totals) < max(totals)
  got = recognition.choose_weights(logits, part, model, GRID)
  best = int(np.argmin(totals))
  assert got == hmm.Weights(*(axis[best:best + 1] for axis in GRID))


def test_the_decoder_is_counted_in_train_alone(dataset):
  """Every utterance of train with its own states, one by one."""
  part, labels = dataset.sequences['train'], dataset.train.y
  want = hmm.fit_hmm(
      [list(said) for said in part.references],
      [labels[start:stop] for start, stop in zip(
          part.starts, part.stops, strict=True)], phones=61, states=183)
  got = recognition.fit_decoder(dataset)
  assert all(map(np.array_equal, jax.tree.leaves(got), jax.tree.leaves(want)))


def test_a_record_tells_the_weights_that_were_chosen(dataset):
  net = make_logits(dataset, 3)
  [record], _ = score(dataset, net)
  chosen = recognition.choose_weights(
      net['dev'], dataset.sequences['dev'], recognition.fit_decoder(dataset))
  got = [record.fact(name) for name in (
      'language_weight', 'insertion_penalty', 'prior_scale')]
  assert got == [float(axis[0]) for axis in chosen]
  assert len(set(got)) == 3  # Each under its own name.


def test_test_changes_no_choice(dataset):
  net, other = make_logits(dataset, 3), make_logits(dataset, 1, seed=5)
  [one, two, third], _ = score(
      dataset, net, net | {'test': other['test']},
      {'dev': other['dev'], 'test': net['test']})
  def choice(record):
    return [record.fact(name) for name in (
        'language_weight', 'insertion_penalty', 'prior_scale')]
  assert choice(one) == choice(two)
  assert one.metrics['dev'] == two.metrics['dev']
  assert one.metrics['test'] != two.metrics['test']
  assert choice(one) != choice(third)


def test_batches_do_not_matter(monkeypatch, dataset):
  logits, part = make_logits(dataset, 3)['test'], dataset.sequences['test']
  model = recognition.fit_decoder(dataset)
  together = recognition.decode(logits, part, model, GRID)
  monkeypatch.setattr(recognition, '_TOGETHER', 3)
  assert recognition.decode(logits, part, model, GRID) == together


def test_a_net_that_gives_nan_recognises_nothing(dataset):
  nothing = {split: np.full_like(logits, np.nan) for split, logits in
             make_logits(dataset, 3).items()}
  [record], [kept] = score(dataset, nothing)
  got = record.metrics['test']
  assert got['per'] == got['deletions'] == 1
  assert got['phone_accuracy'] == 0 and np.isnan(got['phone_nll'])
  assert sum(kept['net']['right']) == 0
  # Not even where state 0, the first of all, is what is right.
  first = recognition.count_frames(
      nothing['test'], np.zeros_like(dataset.test.y),
      dataset.sequences['test'].stops)
  assert sum(first['right']) == sum(first['phone_right']) == 0


def test_confusions():
  said = [[phones.PHONE_IDS[name] for name in 'h# s aa q s aa z'.split()]]
  found = [[phones.PHONE_IDS[name] for name in 'pau z ao z ao z iy'.split()]]
  assert recognition.list_confusions(said, found) == [
      ['s', 'z', 2], ['', 'iy', 1]]


def test_data_without_utterances():
  part = Examples(np.zeros((2, 4), np.float32), np.zeros(2, np.int32))
  plain = Dataset(name='made', classes=3, train=part, dev=part, test=part,
                  transfer={}, preprocessing={}, digests={})
  record = make_record()
  trees = recognition.score_phones([record], plain, None)
  assert trees == [{'record.json': record.to_json()}]
  assert record == make_record()


def make_experiment(folder):
  """Eight speakers, two teachers, two students, ten steps."""
  for number, speaker in enumerate(
      f'{sex}abc{i}' for sex in 'fm' for i in range(4)):
    for sentence in ('si1', 'sx2'):
      samples = small_timit.make_samples(4000 + 160 * number, seed=number)
      small_timit.write_utterance(
          folder, f'dr1-{speaker}/{sentence}', small_timit.riff(samples),
          f'0 1000 h#\n1000 2500 aa\n2500 {len(samples)} s\n')
  config = configs.default_config()
  config.data.update({'source': 'timit', 'path': str(folder), 'folds': 2})
  config.data.speech.update({'folds': 2, 'dev_speakers': 1, 'reach': 1})
  short = dict(steps=10, batch=16, eval_every=5)
  config.teachers = {'DNN': configs.make_teacher(
      architecture='8', members=2, folds=2, **short)}
  config.ensembles = {
      'EDNN': configs.make_ensemble('DNN'),
      'EDNN-all': configs.make_ensemble('DNN', out_of_fold=False)}
  config.students.update(dict(
      short, widths=(4,), seeds=1, search_steps=5, learning_rates=(0.01,)))
  config.students.curves = {
      'SNN': configs.make_curve(objective='cross_entropy'),
      'SNN-MIMIC': configs.make_curve(teacher='EDNN'),
      'SNN-MIMIC-all': configs.make_curve(teacher='EDNN-all')}
  return config


def test_every_stage_scores_phones(tmp_path):
  config = make_experiment(tmp_path / 'corpus')
  pipeline.run(config, tmp_path, stages=pipeline.STAGES[:-1],
               say=lambda line: None)
  names, held_out = [], []
  counts = pipeline.read_run(tmp_path).read_counts()
  folders = [path.parent for stage in (
      'teachers', 'ensembles', 'students/scores')
             for path in sorted((tmp_path / stage).rglob('phone_errors.json'))]
  assert len(counts) == len(folders)
  for folder, tree in zip(folders, counts, strict=True):
    record = read_record(folder)
    assert tree == json.loads((folder / 'phone_errors.json').read_text(
        encoding='utf-8'))
    assert len(tree['utterances']) == 8
    # One model for the report, whatever each of its teachers left out.
    assert record.mixture in ('train', '')
    if record.role == 'teacher':
      held_out.append(record.held_out)
    net = tree['net']
    names.append((net['model'], net['width'], net['seed']))
    assert names[-1] == (record.model, record.width, record.seed)
    got = record.metrics['test']
    # Of the net's own logits: not of another's, and not normalised.
    frames = sum(net['frames'])
    assert sum(net['right']) / frames == pytest.approx(got['accuracy'])
    assert sum(net['nll']) / frames == pytest.approx(got['nll'], rel=1e-4)
    assert 0 <= got['phone_accuracy'] <= 1
    assert got['per'] == pytest.approx(sum(
        sum(net['scored'][name]) for name in (
            'substitutions', 'deletions', 'insertions'))
        / sum(net['scored']['phones']))
    assert 0 <= record.metrics['dev']['per_silence_forgiven'] <= 3
  assert held_out == [0, 1]
  assert names == [
      ('DNN', 0, 0), ('DNN', 0, 1), ('EDNN', 0, 0), ('EDNN-all', 0, 0),
      ('SNN', 4, 0), ('SNN-MIMIC', 4, 0), ('SNN-MIMIC-all', 4, 0)]
  labelled = {}
  for name in ('EDNN', 'EDNN-all'):
    folder = next((tmp_path / 'logits' / name).rglob('done.json')).parent
    labelled[name] = kept_folders.verify(folder).made_from['labelled_by']
  both = ['DNN:0', 'DNN:1']
  assert labelled == {
      'EDNN': {'fold 0': ['DNN:0'], 'fold 1': ['DNN:1'], 'others': both},
      'EDNN-all': {'others': both}}
