"""A figure of one's own in the report, and one that fails."""

import inspect
import re
import textwrap

import pytest
import report_records

import shallow_mimic
from shallow_mimic import curves, errors
from shallow_mimic.curves import Context, Section, Table, drawing, section

RECORDS = report_records.make_records(widths=(64,), seeds=1, controls=())


@pytest.fixture(name='register')
def fixture_register():
  """Adds a section until the end of the test."""
  def register(**fields):
    shallow_mimic.register(
        Section(**{'name': 'figure_mine', 'version': '1'} | fields))

  return register


def write(directory):
  curves.write_report(
      directory, RECORDS, title='Tiny', notes=(), figure_width=None)
  return {str(path.relative_to(directory)): path.read_bytes()
          for path in directory.rglob('*') if path.is_file()}


@pytest.fixture(name='plain', scope='module')
def fixture_plain(tmp_path_factory):
  return write(tmp_path_factory.mktemp('plain'))


def draw(context):
  figure, panels = drawing.make_panels(1, width=2, height=2)
  panels[0, 0].plot([len(context.points)], [1], 'o')
  return figure


def test_the_figure_of_the_docstring_is_in_the_report(tmp_path, plain):
  example = re.search(r'\n(      import shallow_mimic\n.*?)\n\n  Its four',
                      inspect.getsource(Section), re.DOTALL)[1]
  assert len([line for line in example.splitlines() if line.strip()]) <= 16
  exec(textwrap.dedent(example), {})  # As a config file is.
  found = write(tmp_path)
  assert found.keys() - plain.keys() == {
      'figures/figure_mine.png', 'figures/figure_mine.svg'}
  page = found['index.html'].decode()
  assert page.count('<h2>Test accuracy over width</h2>') == 1
  assert '<li>6 models and widths are shown.</li>' in page
  assert page.index('Learning-rate search') < page.index('Test accuracy over')
  for name in plain.keys() - {'index.html'}:
    assert found[name] == plain[name]


def test_a_table_alone_has_its_own_title_and_files_of_none(
    tmp_path, plain, register):
  register(tabulate=lambda context: Table(
      f'{context.title} rates', ('model', 'rate'), [('mine', '0.5')]))
  found = write(tmp_path)
  assert found.keys() == plain.keys()
  page = found['index.html'].decode()
  assert '<h2>Tiny rates</h2>' in page and '<td>0.5</td>' in page


def test_a_section_that_finds_nothing_is_not_in_the_report(
    tmp_path, plain, register):
  register(find=lambda context: [], draw=draw, title='Mine')
  assert write(tmp_path) == plain


def test_one_registered_again_is_there_once(tmp_path, register):
  register(say=lambda context: ['First.'], title='Mine')
  register(say=lambda context: 'Second.', title='Mine', version='2')
  page = write(tmp_path)['index.html'].decode()
  assert page.count('<h2>Mine</h2>') == 1
  assert '<li>Second.</li>' in page and 'First.' not in page
  assert curves.find_versions() == {'figure_mine': '2'}


def fail(context):
  raise ValueError('no such\nluck')


@pytest.mark.parametrize(('fields', 'error'), [
    ({'find': fail}, 'ValueError: no such'),
    ({'draw': fail}, 'ValueError: no such'),
    ({'say': fail, 'draw': draw}, 'ValueError: no such'),
    ({'tabulate': fail}, 'ValueError: no such'),
    ({'caption': fail}, 'ValueError: no such'),
    ({'draw': lambda context: None}, 'AttributeError: .*'),
    ({'say': lambda context: [3]}, 'AttributeError: .*'),
    ({'tabulate': lambda context: Table('T', ('a',), [(3,)])},
     'AttributeError: .*'),
    ({'tabulate': lambda context: ('T', ('a',))}, 'AttributeError: .*')])
def test_one_that_fails_loses_nothing_else(
    tmp_path, plain, register, warnings, fields, error):
  register(title='Mine', **fields)
  found = write(tmp_path)
  [line] = warnings
  assert re.fullmatch(
      rf"The section 'figure_mine' fails \({error}\); the rest of the report"
      ' is written without it.', line)
  page = found.pop('index.html').decode()
  told = re.search(r'<h2>Mine</h2>\n<ul><li>(.*?)</li></ul>\n', page)
  assert told[1].startswith('The section &#x27;figure_mine&#x27; fails (')
  assert page.replace(told[0], '') == plain['index.html'].decode()
  assert found == {name: plain[name] for name in found}
  assert len(found) == len(plain) - 1


def test_what_fails_of_ours_is_not_hidden(monkeypatch):
  mine = Section(name='figure1_accuracy', draw=fail)
  monkeypatch.setitem(Section.registry._entries, mine.name, mine)
  with pytest.raises(ValueError, match='no such'):
    section.make_part(mine, Context([]))


def test_a_name_of_ours_is_taken(register):
  with pytest.raises(errors.UserError, match='that name is taken by one of'):
    register(name='figure1_accuracy')
