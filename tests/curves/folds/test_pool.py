"""Pooled folds: sums by hand, pairs, intervals, the script, what is refused."""

import csv
import re

import numpy as np
import pytest
import scipy.stats
import small_timit
import tiny_speech

from launch import folds as script
from shallow_mimic import errors
from shallow_mimic.curves.folds import pool, tables

SEEDS = (3, 5)
NETS = (
    ('teacher', 'CNN', 'cross_entropy', '', 0, 0.60),
    ('ensemble', 'ECNN', '', '', 0, 0.70),
    ('student', 'SNN', 'cross_entropy', '', 8, 0.50),
    ('student', 'SNN', 'cross_entropy', '', 16, 0.55),
    ('student', 'SNN-MIMIC', 'logit_regression', 'ECNN', 8, 0.60),
    ('student', 'SNN-MIMIC', 'logit_regression', 'ECNN', 16, 0.65),
)


def _refused(message):
  return pytest.raises(errors.UserError, match=f'^{re.escape(message)}$')


def make_net(rng, row, seed, utterances):
  role, model, objective, teacher, width, level = row
  frames, phones = np.arange(20, 20 + utterances), np.arange(utterances) + 6
  edits = rng.binomial(phones, 1 - level)

  def errors_of(lost, forgiven):
    return {
        'substitutions': (edits - lost).tolist(), 'deletions': lost.tolist(),
        'insertions': [1] * utterances, 'phones': (phones - forgiven).tolist()}

  return {
      'role': role, 'model': model, 'objective': objective, 'mixture': 'train',
      'teacher': teacher, 'architecture': 'H' if width else '8-8',
      'width': width, 'seed': seed, 'diverged': False,
      'scored': errors_of(edits // 2, 0), 'forgiven': errors_of(edits // 3, 2),
      'frames': frames.tolist(), 'right': frames.tolist(),
      'nll': frames.tolist(), 'phone_frames': frames.tolist(),
      'phone_right': rng.binomial(frames, level).tolist(),
      'phone_nll': (frames * rng.uniform(1, 2 - level, utterances)).tolist()}


def make_fold(fold, speakers=2, nets=NETS):
  """What recognition counted of each net of a fold."""
  rng = np.random.default_rng(fold)
  names = [f'fabc{2 * fold + speaker}/sx{i}'
           for speaker in range(speakers) for i in range(4)]
  return [{'utterances': names, 'net': make_net(rng, row, seed, len(names))}
          for row in nets
          for seed in SEEDS[:1 if row[0] == 'ensemble' else 2]]


@pytest.fixture(name='folds')
def fixture_folds():
  return [make_fold(k) for k in range(3)]


def _pool(folds):
  return pool.pool([pool.join_counts(trees, f'fold-{k}')
                    for k, trees in enumerate(folds)])


def _net(pooled, model, width):
  [net] = [n for n in pooled.nets if (n.model, n.width) == (model, width)]
  return net


def _raw(folds, model, width, seed):
  """The JSON of one net in every fold."""
  for tree in [tree for trees in folds for tree in trees]:
    net = tree['net']
    if (net['model'], net['width'], net['seed']) == (model, width, seed):
      yield net


def test_pooled_rates_are_sums_over_sums(folds):
  pooled = _pool(folds)
  assert len(pooled.utterances) == 24
  counts = pooled.nets[_net(pooled, 'SNN', 16)]
  assert counts.seeds == SEEDS
  for place, seed in enumerate(SEEDS):
    raw = list(_raw(folds, 'SNN', 16, seed))
    assert len(raw) == 3

    def total(field, raw=raw):
      return sum(sum(net[field]) for net in raw)

    edits = sum(sum(net['scored'][kind]) for net in raw for kind in (
        'substitutions', 'deletions', 'insertions'))
    want = {
        'phone_accuracy': total('phone_right') / total('phone_frames'),
        'phone_nll': total('phone_nll') / total('phone_frames'),
        'per': edits / sum(sum(net['scored']['phones']) for net in raw)}
    for metric, value in want.items():
      assert pool.rates(counts, metric)[place] == pytest.approx(value)
  score = pool.score(counts, 'per')
  assert score.mean == pytest.approx(np.mean(pool.rates(counts, 'per')))
  assert score.sd == pytest.approx(np.std(pool.rates(counts, 'per'), ddof=1))


def _mark_diverged(trees, model, width, seed):
  [net] = _raw([trees], model, width, seed)
  net |= {'diverged': True, 'phone_nll': [float('nan')] * 8}


def test_a_seed_that_diverged_in_a_fold_is_left_out_of_all(folds, caplog):
  whole = _pool(folds)
  net = _net(whole, 'SNN', 16)
  _mark_diverged(folds[1], 'SNN', 16, SEEDS[0])
  pooled = _pool(folds)
  assert pooled.nets[net].seeds == SEEDS[1:]
  for metric in pool.METRICS:
    assert pool.rates(pooled.nets[net], metric) == pytest.approx(
        pool.rates(whole.nets[net], metric)[1:])
  assert ('SNN of width 16: left out, as they diverged in a fold: seeds 3'
          in caplog.text)
  # None of its seeds is left: the others are pooled as before.
  _mark_diverged(folds[0], 'SNN', 16, SEEDS[1])
  pooled = _pool(folds)
  assert set(pooled.nets) == set(whole.nets) - {net}
  assert pooled.lost[net] == SEEDS


def test_what_diverged_is_told_and_left_out_of_the_figure(folds, tmp_path):
  whole = _pool(folds)
  _mark_diverged(folds[1], 'SNN', 16, SEEDS[0])
  some = _pool(folds)
  rows = {row[:2]: row[2] for row in tables.make_table(some, 0).rows}
  assert rows['SNN', '16'] == '1 (1 diverged)'
  assert rows['SNN', '8'] == '2'
  _mark_diverged(folds[1], 'SNN', 16, SEEDS[1])
  found = {4: whole, 6: _pool(folds)}
  tables.write_pooled(tmp_path / 'pooled', found, seed=0)
  svg = (tmp_path / 'pooled' / 'learning.svg').read_text(encoding='utf-8')
  assert 'SNN-MIMIC' in svg


def test_pairs_are_of_equal_nets(folds):
  pairs = list(pool.find_pairs(pool.sort_nets(_pool(folds).nets)))
  assert [(a.model, a.width, b.model, b.width) for a, b in pairs] == [
      ('ECNN', 0, 'SNN', 8), ('ECNN', 0, 'SNN', 16),
      ('SNN-MIMIC', 8, 'SNN', 8), ('SNN-MIMIC', 16, 'SNN', 16)]


@pytest.mark.parametrize('metric', pool.METRICS)
def test_intervals_agree_with_scipy(folds, metric):
  pooled = _pool(folds)
  mimic, plain = (_net(pooled, name, 8) for name in ('SNN-MIMIC', 'SNN'))
  gain = pool.compare(pooled, mimic, plain, metric, seed=1)
  ours, theirs = (pooled.nets[net].parts[metric].mean(0)
                  for net in (mimic, plain))
  whole = pooled.nets[plain].wholes[metric]

  def share(a, b, n, axis=-1):
    return (
        a.sum(axis) - b.sum(axis)) / n.sum(axis)

  want = scipy.stats.bootstrap(
      (ours, theirs, whole), share, paired=True, n_resamples=10_000,
      method='percentile', rng=np.random.default_rng(2)).confidence_interval
  assert gain.utterances.difference == pytest.approx(share(ours, theirs, whole))
  width = want.high - want.low
  assert abs(gain.utterances.low - want.low) < 0.04 * width
  assert abs(gain.utterances.high - want.high) < 0.04 * width
  assert gain.speakers.difference == pytest.approx(gain.utterances.difference)
  assert gain == pool.compare(pooled, mimic, plain, metric, seed=1)


def test_files(folds, tmp_path):
  pooled = _pool(folds)
  text = tables.write_pooled(tmp_path / 'p', {0: pooled}, seed=0)
  assert (tmp_path / 'p/table.txt').read_text(encoding='utf-8') == text
  assert not (tmp_path / 'p/learning.png').exists()
  row = next(line for line in text.splitlines() if line.startswith('SNN-M'))
  counts = pooled.nets[_net(pooled, 'SNN-MIMIC', 8)]
  assert f'{100 * pool.score(counts, "phone_accuracy").mean:.1f} ±' in row
  with open(tmp_path / 'p/pooled.csv', newline='', encoding='utf-8') as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 11 * len(pool.METRICS)
  [value] = [float(row['value']) for row in rows if (
      row['model'], row['width'], row['seed'], row['metric'])
      == ('SNN-MIMIC', '8', '5', 'per')]
  assert value == pool.rates(counts, 'per')[1]
  with open(tmp_path / 'p/gains.csv', newline='', encoding='utf-8') as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 4 * len(pool.METRICS)
  assert all(float(row['low']) <= float(row['difference'])
             <= float(row['high']) for row in rows)


def test_the_learning_curve(folds, tmp_path, monkeypatch):
  drawn = []
  monkeypatch.setattr(
      tables.drawing, 'draw_bars',
      lambda axes, x, y, style: drawn.append((x, [s.mean for s in y])))
  few, more = _pool(folds[:2]), _pool(folds)
  tables.write_pooled(tmp_path, {3: few, 9: more}, seed=0)
  assert (tmp_path / 'learning.png').read_bytes().startswith(b'\x89PNG')
  mimic = _net(more, 'SNN-MIMIC', 16)
  want = [100 * pool.score(pooled.nets[mimic], 'phone_accuracy').mean
          for pooled in (few, more)]
  assert [y for x, y in drawn if x == [3, 9]][-1] == want
  assert len(drawn) == 3  # ECNN, SNN and SNN-MIMIC of 16 units.


def test_one_utterance_in_two_folds(folds):
  with _refused('utterance fabc0/sx0 is tested in two folds'):
    _pool([folds[0], folds[1], folds[0]])


def test_a_net_that_is_not_in_all_folds(folds):
  other = make_fold(7, nets=NETS[:-1])
  with _refused('SNN-MIMIC of width 16 is not in all 2 folds with the same'
                ' seeds; run them with one configuration'):
    _pool([folds[0], other])


def test_nets_of_other_utterances(folds):
  tree = folds[0][-1]
  tree['utterances'] = tree['utterances'][::-1]
  with _refused(
      'SNN-MIMIC of fold-0 was tested on other utterances than CNN; delete'
      ' fold-0 and run again to make it anew'):
    _pool(folds)


def test_configurations_of_the_folds(tmp_path):
  config = tiny_speech.make_config(tiny_speech.write_corpus(tmp_path / 'c'))
  pool.check_corpus(config)
  chosen = pool.choose_fold(config, 3, 2)
  assert (chosen.data.speech.fold, chosen.data.speech.train_speakers) == (3, 2)
  assert (config.data.speech.fold, config.data.speech.train_speakers) == (0, 0)
  again = pool.choose_fold(chosen, 1, 2)
  assert again == pool.choose_fold(config, 1, 2) != chosen


def test_corpora_without_folds(tmp_path):
  config = tiny_speech.make_config(tmp_path)
  phn = small_timit.write_utterance(tmp_path, 'TRAIN/DR1/FVMH0/SI1')
  with _refused(
      f'{tmp_path} has the official splits of TIMIT ({phn.with_suffix(".WAV")}'
      ' is in one): there are no folds to pool; use launch.run'):
    pool.check_corpus(config)
  config.data.source = 'arrays'
  with _refused("folds of speakers need the data source 'timit', not"
                " 'arrays'"):
    pool.check_corpus(config)


@pytest.mark.parametrize('word', ['0', '-3', 'all', '2.5', ''])
def test_wrong_numbers_of_speakers(word):
  with _refused(f'--train_speakers has {word!r}; give numbers from 1, as in'
                ' 3,6,9'):
    script.parse_sizes(['3', word], None)


def test_numbers_of_speakers():
  config = tiny_speech.make_config('corpus')
  config.data.speech.train_speakers = 4
  assert script.parse_sizes([], config) == [4]
  assert script.parse_sizes(['9', '3', '9'], config) == [3, 9]
