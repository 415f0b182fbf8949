import report_records

from shallow_mimic.curves.sections import likeness


def make(model, dev=0.5, **changes):
  metrics = {'dev': {'accuracy': dev}, 'test': {
      'accuracy': 0.5, 'ece': 0.125, 'agreement': 0.75, 'kl': 0.5,
      'agreement_independent': 0.7}, 'train': {
          'accuracy': 0.8, 'agreement': 0.9, 'kl': 0.25}}
  return report_records.make_record(
      model, **{'metrics': metrics} | changes)


def test_likeness_on_train_on_test_and_to_another():
  table = likeness.make_likeness_table(report_records.make_context(
      make('M', teacher='E'), make('E', role='ensemble', width=0),
      make('old', metrics={'test': {'accuracy': 0.5, 'agreement': 0.5}})))
  assert table.rows == [('M', 'E', '64', '80.0', '90.0', '75.0', '70.0',
                         '0.250', '0.500', '–')]
  assert {len(row) for row in table.rows} == {len(table.header)}


def test_reading_tells_the_best_main_mimic():
  told, = likeness.say_likeness(report_records.make_context(
      make('M', 0.6, teacher='E', width=8), make('M', 0.5, teacher='E'),
      make('M/x', 0.9, teacher='E'), make('SNN', 0.9)))
  assert told.startswith('M of width 8 decides as its teacher on 75.0 % of'
                         ' test, and as a teacher that it never met on 70.0 %')
  assert likeness.say_likeness(report_records.make_context(make('SNN'))) == []
