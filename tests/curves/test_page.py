import base64
from html.parser import HTMLParser

from shallow_mimic.curves import page as pages
from shallow_mimic.curves import tables
from shallow_mimic.curves.drawing import Image
from shallow_mimic.curves.page import Part

VOID = {'meta', 'img'}


class Reader(HTMLParser):
  """Collects attributes and text, and checks that tags are closed."""

  def __init__(self, page):
    super().__init__()
    self.open, self.attributes, self.texts = [], [], []
    self.feed(page)
    self.close()
    assert self.open == []

  def handle_starttag(self, tag, attrs):
    self.attributes += [(tag, *attr) for attr in attrs]
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.texts.append(data.strip())


def make_page():
  table = tables.Table('T', ('model <a>', 'dev'), [('SNN & co', '1.0')])
  return pages.make_page('A < B', [
      Part('First', 'A caption "so"', Image(b'png', b'<svg/>'),
              ['It rises & falls.'], table),
      Part('Second')], ['Own note.'])


def test_page_is_well_formed_and_escaped():
  page = make_page()
  reader = Reader(page)
  assert page.startswith('<!DOCTYPE html>')
  for text in ('A < B', 'First', 'A caption "so"', 'It rises & falls.',
               'model <a>', 'SNN & co', '1.0', 'Second', 'Own note.'):
    assert text in reader.texts
  place = reader.texts.index
  assert place('It rises & falls.') < place('SNN & co') < place('Second')


def test_page_needs_nothing_beside_it():
  found = Reader(make_page()).attributes
  sources = [value for _, key, value in found if key in ('src', 'srcset')]
  assert len(sources) == 1
  kind, data = sources[0].split(',')
  assert kind == 'data:image/svg+xml;base64'
  assert base64.b64decode(data) == b'<svg/>'
  links = {value for _, key, value in found if key == 'href'}
  assert links == {'results.csv', 'figures/'}
  assert not {'script', 'link', 'iframe'} & {tag for tag, *_ in found}
  assert 'url(' not in make_page() and '@import' not in make_page()


def test_words_are_aligned_left_and_numbers_right():
  page = make_page()
  assert '<td class=word>SNN &amp; co</td><td>1.0</td>' in page


def test_definitions_are_told():
  text = ' '.join(Reader(make_page()).texts)
  for words in ('true counts', 'chosen on dev', 'test is computed once',
                'sample standard deviation over seeds', 'level'):
    assert words in text


def test_a_table_without_rows_is_left_out():
  empty = tables.Table('T', ('a',), [])
  page = pages.make_page('', [Part('S', table=empty)])
  assert '<table' not in page and '<h2>S</h2>' in page


def test_page_of_nothing():
  Reader(pages.make_page('', []))
