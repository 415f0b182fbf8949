"""Architecture strings: what they mean, how they print, what is refused."""

import pytest

from shallow_mimic.errors import UserError
from shallow_mimic.models import architectures
from shallow_mimic.models.architectures import (
  Architecture,
  find_registered,
  parse_architecture,
  with_width,
)
from shallow_mimic.models.kinds import (
  AveragePool,
  Bottleneck,
  Convolution,
  Hidden,
  MaxPool,
)

ITEMS = ('write items such as 128c, 128c3, p, p2, p3s2, a, 1200L, 8k, 2000 or'
         ' 1000fc, joined by "-"')

# Every architecture of the paper's tables 1 and 2 that is complete.
PAPER = ['8k', '50k', '250L-400k', '2k-2k-2k', '250L-8k', '2000fc-2000fc',
         '128c-p-1200L-30k', '64c-p-1200L-30k', '128c-p-128c-p-128c-p-1000fc']


@pytest.mark.parametrize(('item', 'layer'), [
    ('128c', Convolution(128, 5)), ('128c3', Convolution(128, 3)),
    ('p', MaxPool(3, 2)), ('p2', MaxPool(2, 2)), ('p3s2', MaxPool(3, 2)),
    ('p4s1', MaxPool(4, 1)), ('a', AveragePool()), ('1200L', Bottleneck(1200)),
    ('30k', Hidden(30000)), ('1.2k', Hidden(1200)), ('0.25k', Hidden(250)),
    ('2000', Hidden(2000)), ('1000fc', Hidden(1000)),
])
def test_items(item, layer):
  assert parse_architecture(item).layers == (layer,)


@pytest.mark.parametrize('text', [
    *PAPER, '32c3-32c3-p2-64c3-a', '1.2k-0.5k', '7c-p4s1-2000', '2000-2000fc'])
def test_prints_as_written(text):
  assert str(parse_architecture(text)) == text


@pytest.mark.parametrize(('layers', 'text'), [
    ((Hidden(8000),), '8k'), ((Hidden(250),), '250'), ((Hidden(1),), '1'),
    ((Convolution(8, 5), MaxPool(3, 2), Hidden(1500)), '8c-p-1500'),
    ((MaxPool(2, 2), MaxPool(2, 1), MaxPool(3, 3)), 'p2-p2s1-p3s3'),
    ((Convolution(8, 3), AveragePool(), Bottleneck(20)), '8c3-a-20L'),
])
def test_canonical_text_reads_back(layers, text):
  assert str(Architecture(layers)) == text
  assert parse_architecture(text) == Architecture(layers)


def test_equality_and_hash_do_not_depend_on_spelling():
  spellings = [parse_architecture(t) for t in ('2k', '2.0k', '2000', '2000fc')]
  assert len(set(spellings)) == 1
  assert spellings[0] != parse_architecture('2000L')
  assert parse_architecture('8c5-p3s2') == parse_architecture('8c-p')


@pytest.mark.parametrize(('text', 'problem'), [
    ('12x-8k', f'cannot read "12x"; {ITEMS}'),
    ('', f'cannot read ""; {ITEMS}'),
    ('8k-', f'cannot read ""; {ITEMS}'),
    ('c-p-2k', f'cannot read "c"; {ITEMS}'),
    ('8K', f'cannot read "8K"; {ITEMS}'),
    ('1.5', f'cannot read "1.5"; {ITEMS}'),
    ('1.2345k', f'cannot read "1.2345k"; {ITEMS}'),
    ('250L 8k', f'cannot read "250L 8k"; {ITEMS}'),
    ('-8k', f'cannot read ""; {ITEMS}'),
    ('0k', '"0k" has a 0 in it; every number must be at least 1'),
    ('8k-0L', '"0L" has a 0 in it; every number must be at least 1'),
    ('0c-8k', '"0c" has a 0 in it; every number must be at least 1'),
    ('8c0-8k', '"8c0" has a 0 in it; every number must be at least 1'),
    ('p0', '"p0" has a 0 in it; every number must be at least 1'),
    ('p2s0', '"p2s0" has a 0 in it; every number must be at least 1'),
    ('8k-16c', '"16c" needs a map, and there is none after "8k"; put it'
     ' before'),
    ('250L-p', '"p" needs a map, and there is none after "250L"; put it'
     ' before'),
    ('8c-a-p', '"p" needs a map, and there is none after "a"; put it before'),
    ('250L-H', '"H" stands for the student\'s width; write a number of units'),
])
def test_bad_text(text, problem):
  with pytest.raises(UserError) as error:
    parse_architecture(text)
  assert str(error.value) == f'architecture "{text}": {problem}'


@pytest.mark.parametrize(('text', 'width', 'filled'), [
    ('250L-H', 8000, '250L-8k'), ('128c-p-1200L-H', 30000, '128c-p-1200L-30k'),
    ('H', 77, '77'), ('H-H', 1500, '1500-1500')])
def test_with_width(text, width, filled):
  assert with_width(text, width) == filled


@pytest.mark.parametrize(('text', 'width', 'message'), [
    ('2k-2k', 8, 'architecture "2k-2k": no "H" for the student\'s width; write'
     ' it where the width belongs, such as 250L-H'),
    ('H', 0, 'architecture "H": the width must be at least 1, got 0'),
    ('9q-H', 8, f'architecture "9q-8": cannot read "9q"; {ITEMS}'),
])
def test_with_width_refuses(text, width, message):
  with pytest.raises(UserError) as error:
    with_width(text, width)
  assert str(error.value) == message


@pytest.mark.parametrize(('text', 'seen'), [
    ('p-8k', (5, 1)), ('250L-8k', (5,)), ('', (5,))])
def test_map_shape(text, seen):
  net = parse_architecture(text) if text else Architecture(())
  assert architectures.map_shape(net, (5,)) == seen


def test_ours_are_not_registered_kinds():
  assert find_registered('8c3-p-a-250L-H') == {}


@pytest.mark.parametrize(('text', 'shape', 'shapes'), [
    ('250L-8k', (1845,), ((250,), (8000,))),
    ('2k', (32, 32, 3), ((2000,),)),
    ('64c-p-1200L', (32, 32, 3), ((32, 32, 64), (15, 15, 64), (1200,))),
    ('8c-p2-a-9', (41,), ((41, 8), (20, 8), (8,), (9,))),
    ('p3s1', (9, 45), ((7, 45),)),
])
def test_layer_shapes(text, shape, shapes):
  first, *rest = architectures.layer_shapes(parse_architecture(text), shape)
  assert (first, *rest) == (
      architectures.map_shape(parse_architecture(text), shape), *shapes)


@pytest.mark.parametrize(('text', 'shape', 'message'), [
    ('8c-p2-p-8k', (5, 5, 1),
     'architecture "8c-p2-p-8k" on inputs of shape (5, 5, 1): "p" needs at'
     ' least 3 positions along each axis, and its map is (2, 2, 8); use fewer'
     ' or smaller pools'),
    ('8c-8k', (2, 3, 4, 5),
     'architecture "8c-8k": inputs of shape (2, 3, 4, 5) are no maps;'
     ' convolutions and pools take [L], [L, c] or [h, w, c]'),
])
def test_layer_shapes_refuse(text, shape, message):
  with pytest.raises(UserError) as error:
    architectures.layer_shapes(parse_architecture(text), shape)
  assert str(error.value) == message
