"""Tables of phone recognition from records made by hand."""

import report_records

from shallow_mimic import curves
from shallow_mimic.curves import Context, tables
from shallow_mimic.curves.sections import confusions, phone_errors


def make_speech(name, width, seed, per, wrong, **changes):
  split = {
      'per': per, 'per_silence_forgiven': per - 0.02, 'substitutions': 0.1,
      'deletions': 0.05, 'insertions': per - 0.15, 'phone_accuracy': 0.61,
      'phone_nll': 1.5, 'accuracy': 0.4, 'nll': 2.25}
  return report_records.make_record(
      name, width=width, seed=seed, metrics={'dev': split, 'test': split},
      language_weight=2.0 + seed, insertion_penalty=0.0, prior_scale=0.5,
      confusions=wrong, **changes)


def make_context():
  ensemble = make_speech(
      'ECNN', 0, 0, 0.30, [['s', 'z', 9], ['ih', 'ah', 4]], role='ensemble')
  worse = make_speech('ENONE', 0, 0, 0.60, [['b', 'd', 99]], role='ensemble')
  mimics = [
      make_speech('MIMIC', 64, seed, per, wrong, teacher='ECNN')
      for seed, per, wrong in (
          (0, 0.40, [['s', 'z', 4], ['', 'n', 8]]),
          (1, 0.44, [['s', 'z', 6], ['k', '', 2]]))]
  return Context([ensemble, worse, *mimics])


def test_rates_and_choices():
  table = phone_errors.make_phone_table(make_context())
  rows = {row[0]: dict(zip(table.header, row, strict=True))
          for row in table.rows}
  got = rows['MIMIC']
  assert got['PER on dev'] == got['PER'] == '42.0 ± 2.8'
  assert got['PER, silence forgiven'] == '40.0 ± 2.8'
  assert got['frames right, 39 classes'] == '61.0 ± 0.0'
  assert got['frames right, 183 states'] == '40.0 ± 0.0'
  assert got['NLL of states (nats)'] == '2.25 ± 0.00'
  assert got['language weight'] == '2 to 3' and got['prior scale'] == '0.5'
  assert rows['ECNN']['deleted'] == '5.0' and rows['ECNN']['width'] == '–'


def test_confusions_of_the_best_on_dev():
  table = confusions.make_confusion_table(make_context())
  assert table.header == ('said', 'recognised', 'ECNN', 'MIMIC 64')
  assert table.rows == [
      ('s', 'z', '9', '5'), ('(nothing)', 'n', '–', '4'),
      ('ih', 'ah', '4', '–'), ('k', '(nothing)', '–', '1')]


def test_nothing_was_spoken():
  context = Context(report_records.make_records(seeds=1))
  assert phone_errors.make_phone_table(context).rows == []
  assert confusions.make_confusion_table(context).rows == []


def test_the_report_says_what_the_data_are(tmp_path):
  records = report_records.make_records(seeds=1, speech=True)
  curves.write_report(tmp_path, records, title='A sample', notes=(),
                      figure_width=None)
  page = (tmp_path / 'index.html').read_text(encoding='utf-8')
  assert '<h2>A sample: Sizes; 100 − phone error rate (%)</h2>' in page
  assert '<h2>Phone recognition: ' in page
  text = (tmp_path / 'table.txt').read_text(encoding='utf-8')
  assert text.startswith('A sample: 100 − ')
  context = Context(records)
  assert len(tables.make_score_table(context.points).rows) == len(
      phone_errors.make_phone_table(context).rows)
