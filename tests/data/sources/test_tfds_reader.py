"""TFDS data sets read without TensorFlow, and every half-prepared one."""

import io
import pathlib
import re
from typing import ClassVar

import numpy as np
import places
import pytest
import tensorflow_datasets as tfds
from machines import few_files
from PIL import Image

from shallow_mimic import errors
from shallow_mimic.data.sources import tfds_reader as tfds_source
from shallow_mimic.runs import limits, refusals

ROWS = {'train': 23, 'validation': 5, 'test': 11}


def make_images(split):
  rng = np.random.default_rng(len(split))
  return rng.integers(256, size=(ROWS[split], 5, 4, 3), dtype=np.uint8)


def encode(image):
  # As bytes: only encoding an array would need TensorFlow.
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, format='png')
  return buffer.getvalue()


class TinyImages(tfds.core.GeneratorBasedBuilder):

  VERSION = tfds.core.Version('1.0.0')

  def _info(self):
    return tfds.core.DatasetInfo(
        builder=self, disable_shuffling=True, supervised_keys=('image', 'kind'),
        features=tfds.features.FeaturesDict({
            'id': tfds.features.Text(),
            'image': tfds.features.Image(shape=(5, 4, 3)),
            'kind': tfds.features.ClassLabel(num_classes=7),
            'other': tfds.features.ClassLabel(num_classes=2)}))

  def _split_generators(self, dl_manager):
    return {split: self._generate_examples(split) for split in ROWS}

  def _generate_examples(self, split):
    for index, image in enumerate(make_images(split)):
      yield index, {'id': str(index), 'image': encode(image),
                    'kind': index % 7, 'other': 1}


class TinyTensors(tfds.core.GeneratorBasedBuilder):

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS: ClassVar = [
      tfds.core.BuilderConfig(name=name)
      for name in ('one', 'two', 'unlabelled', 'ragged', 'regression')]

  def _info(self):
    name = self.builder_config.name
    vector = tfds.features.Tensor(
        shape=(None if name == 'ragged' else 6,), dtype=np.float32)
    features = {'signal': vector, 'label': tfds.features.ClassLabel(
        num_classes=3), 'note': tfds.features.Text()}
    if name == 'two':
      features['second'] = vector
    if name == 'unlabelled':
      del features['label']
    if name == 'regression':
      features['label'] = tfds.features.Scalar(np.int64)
    return tfds.core.DatasetInfo(
        builder=self, disable_shuffling=True,
        supervised_keys=('signal', 'label') if name == 'regression' else None,
        features=tfds.features.FeaturesDict(features))

  def _split_generators(self, dl_manager):
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    for index in range(4):
      size = index + 1 if self.builder_config.name == 'ragged' else 6
      signal = np.arange(size, dtype=np.float32) + index
      row = {'signal': signal, 'second': signal, 'label': index % 3,
             'note': 'x'}
      yield index, {key: row[key] for key in self.info.features}


def prepare(cls, folder, **options):
  builder = cls(data_dir=folder, **{'file_format': 'array_record', **options})
  with tfds_source.quiet_tfds():
    builder.download_and_prepare()
  return pathlib.Path(builder.data_path)


@pytest.fixture(name='folder')
def fixture_folder(tmp_path):
  prepare(TinyImages, tmp_path)
  return tmp_path


def how(name, root, what):
  return (
      f'TFDS data set {name!r} is not ready in {root}: {what}; delete what is'
      ' there of it (or choose another data_dir), then prepare it: python -c'
      ' "import tensorflow_datasets as tfds;'
      f" tfds.builder('{name}', file_format='array_record',"
      f" data_dir='{root}').download_and_prepare()\" (to prepare images, TFDS"
      ' needs: pip install tensorflow; to read them it does not)')


@pytest.mark.parametrize('split', ROWS)
def test_reads_images(folder, split, monkeypatch):
  monkeypatch.setattr(tfds_source, '_ROWS', 10)
  builder = tfds_source.open_tfds('tiny_images', folder)
  read = tfds_source.read_tfds(builder, split)
  assert read.x.dtype == np.uint8
  np.testing.assert_array_equal(read.x, make_images(split))
  np.testing.assert_array_equal(read.y, np.arange(ROWS[split]) % 7)
  assert tfds_source.class_count(builder) == 7
  assert tfds_source.feature_keys(builder) == ('image', 'kind')


def test_reads_part_of_a_split(folder):
  builder = tfds_source.open_tfds('tiny_images:1.0.0', folder)
  read = tfds_source.read_tfds(builder, 'train[4:10]')
  np.testing.assert_array_equal(read.x, make_images('train')[4:10])
  read = tfds_source.read_tfds(builder, 'train[4:]', size=3)
  np.testing.assert_array_equal(read.x, make_images('train')[4:7])


def test_reads_tensors_of_a_config(tmp_path):
  prepare(TinyTensors, tmp_path, config='one')
  builder = tfds_source.open_tfds('tiny_tensors/one', tmp_path)
  assert tfds_source.feature_keys(builder) == ('signal', 'label')
  read = tfds_source.read_tfds(builder, 'train')
  np.testing.assert_array_equal(
      read.x, np.arange(6) + np.arange(4.0)[:, None])
  np.testing.assert_array_equal(read.y, [0, 1, 2, 0])


@pytest.mark.parametrize('config', ['two', 'unlabelled'])
def test_refuses_unclear_features(tmp_path, config):
  prepare(TinyTensors, tmp_path, config=config)
  builder = tfds_source.open_tfds(f'tiny_tensors/{config}', tmp_path)
  names = {'two': 'label, note, second, signal', 'unlabelled': 'note, signal'}
  message = (f"TFDS data set 'tiny_tensors/{config}' has the features"
             f' {names[config]};'
             ' one image or tensor and one class label are needed')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    tfds_source.read_tfds(builder, 'train')


def test_refuses_a_label_without_classes(tmp_path):
  prepare(TinyTensors, tmp_path, config='regression')
  builder = tfds_source.open_tfds('tiny_tensors/regression', tmp_path)
  message = ("TFDS data set 'tiny_tensors/regression': 'label' is not a class"
             ' label, so there are no classes to learn')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    tfds_source.class_count(builder)


def test_refuses_inputs_of_several_shapes(tmp_path):
  prepare(TinyTensors, tmp_path, config='ragged')
  builder = tfds_source.open_tfds('tiny_tensors/ragged', tmp_path)
  message = ("TFDS data set 'tiny_tensors/ragged', split 'train': inputs have"
             ' several shapes ((1,), (2,), (3,), (4,)); all must have one')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    tfds_source.read_tfds(builder, 'train')


def test_refuses_a_split_without_examples(folder):
  builder = tfds_source.open_tfds('tiny_images', folder)
  message = ("TFDS data set 'tiny_images': split 'test[:0%]' has no example")
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    tfds_source.read_tfds(builder, 'test[:0%]')


@pytest.mark.parametrize(('given', 'dev'), [
    ({}, 'validation'), ({'test': 'validation'}, None),
    ({'train': 'train+validation'}, None), ({'dev': 'test', 'test': 'train[:3]',
                                             'train': 'train[3:]'}, 'test')])
def test_what_is_used_otherwise_is_not_dev(folder, given, dev):
  named = tfds_source.name_splits(
      tfds_source.open_tfds('tiny_images', folder), given)
  assert named.pop('dev', None) == dev
  assert named == {'train': 'train', 'test': 'test'} | {
      key: text for key, text in given.items() if key != 'dev'}


@pytest.mark.parametrize(('given', 'count', 'parts'), [
    ({'dev': 'train[20:]'}, 3, ('train', 'train', 'dev', 'train[20:]')),
    ({'test': 'train[:4]+test'}, 4,
     ('train', 'train', 'test', 'train[:4]+test')),
    ({'dev': 'test'}, 11, ('test', 'test', 'dev', 'test'))])
def test_splits_share_no_example(folder, given, count, parts):
  one, first, other, second = parts
  message = (f"TFDS data set 'tiny_images': {count} examples are in both"
             f' {one} ({first!r}) and {other} ({second!r}); set'
             ' config.data.splits so that none are')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    tfds_source.name_splits(
        tfds_source.open_tfds('tiny_images', folder), given)


def test_folder_of_a_config(tmp_path):
  folder = prepare(TinyTensors, tmp_path, config='one')
  record = next(folder.glob('*array_record*'))
  record.unlink()
  builder = tfds_source.open_tfds('tiny_tensors/one', tmp_path)
  message = how('tiny_tensors/one', tmp_path,
                f"split 'train': {record} is missing")
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    tfds_source.read_tfds(builder, 'train')


def test_absent(tmp_path):
  message = how('cifar10', tmp_path, f'there is no folder {tmp_path}/cifar10')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    tfds_source.open_tfds('cifar10', tmp_path)


def test_default_folder(monkeypatch, tmp_path):
  monkeypatch.setattr(tfds.core.constants, 'DATA_DIR', str(tmp_path))
  with pytest.raises(errors.UserError, match=re.escape(
      f'is not ready in {tmp_path}: there is no folder')):
    tfds_source.open_tfds('cifar10')
  prepare(TinyImages, tmp_path)
  assert tfds_source.open_tfds('tiny_images').name == 'tiny_images'


def test_another_version(folder):
  with pytest.raises(errors.UserError, match=r"'tiny_images:9\.9\.9' is not"):
    tfds_source.open_tfds('tiny_images:9.9.9', folder)


def test_without_dataset_info(folder):
  missing = folder / 'tiny_images' / '1.0.0' / 'dataset_info.json'
  missing.unlink()
  message = how('tiny_images', folder, f'{missing} is missing')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    tfds_source.open_tfds('tiny_images', folder)


def test_broken_dataset_info(folder):
  (folder / 'tiny_images' / '1.0.0' / 'dataset_info.json').write_text(
      '{', encoding='utf-8')
  with pytest.raises(errors.UserError, match="'tiny_images' is not ready"):
    tfds_source.open_tfds('tiny_images', folder)


def test_missing_shard(folder):
  record = (folder / 'tiny_images' / '1.0.0' /
            'tiny_images-train.array_record-00000-of-00001')
  record.unlink()
  builder = tfds_source.open_tfds('tiny_images', folder)
  message = how(
      'tiny_images', folder, f"split 'train': {record} is missing")
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    tfds_source.read_tfds(builder, 'train')
  tfds_source.read_tfds(builder, 'test')  # That one is whole.


def test_what_cannot_be_opened_now_is_not_damaged(folder):
  """Whichever file it is that TFDS opens; nothing is to be deleted."""
  tfds_source.read_tfds(tfds_source.open_tfds('tiny_images', folder), 'test')
  refused = 0
  for count in range(99):
    try:
      with few_files(count):
        builder = tfds_source.open_tfds('tiny_images', folder)
        tfds_source.read_tfds(builder, 'train')
    except refusals.RefusedError as error:
      assert 'Too many open files; raise the limit' in str(error)
      assert 'delete' not in str(error)
      refused += 1
    else:
      break
  assert refused


@pytest.mark.parametrize('error', [
    MemoryError('no'), RuntimeError("can't start new thread")])
def test_a_machine_without_memory_or_threads_is_not_damage(
    folder, monkeypatch, error):
  def refuse(*args):
    raise error

  monkeypatch.setattr(tfds_source, '_read_rows', refuse)
  builder = tfds_source.open_tfds('tiny_images', folder)
  with pytest.raises(type(error), match=str(error)):
    tfds_source.read_tfds(builder, 'train')


def test_threads_are_asked_for_before_a_file_is_opened(folder, monkeypatch):
  """array_record waits for ever for those that cannot be started."""
  def refuse():
    raise refusals.RefusedError('no threads')

  monkeypatch.setattr(limits, 'check_records', refuse)
  builder = tfds_source.open_tfds('tiny_images', folder)
  with pytest.raises(refusals.RefusedError, match='no threads'):
    tfds_source.read_tfds(builder, 'train')


@pytest.mark.parametrize('size', [0, 1000, 66_000])
def test_cut_off_shard(folder, size):
  record = (folder / 'tiny_images' / '1.0.0' /
            'tiny_images-train.array_record-00000-of-00001')
  assert record.stat().st_size > size
  record.write_bytes(record.read_bytes()[:size])
  builder = tfds_source.open_tfds('tiny_images', folder)
  with pytest.raises(errors.UserError, match=re.escape(
      f"'tiny_images' is not ready in {folder}: split 'train': ")) as caught:
    tfds_source.read_tfds(builder, 'train')
  assert '\n' not in str(caught.value)


def test_flipped_byte(folder):
  record = (folder / 'tiny_images' / '1.0.0' /
            'tiny_images-train.array_record-00000-of-00001')
  data = bytearray(record.read_bytes())
  data[300] ^= 255
  record.write_bytes(data)
  builder = tfds_source.open_tfds('tiny_images', folder)
  with pytest.raises(errors.UserError, match='hash mismatch'):
    tfds_source.read_tfds(builder, 'train')


def test_tfrecord_copy(folder):
  info = folder / 'tiny_images' / '1.0.0' / 'dataset_info.json'
  text = info.read_text(encoding='utf-8')
  info.write_text(text.replace('array_record', 'tfrecord'), encoding='utf-8')
  builder = tfds_source.open_tfds('tiny_images', folder)
  for path in info.parent.glob('*array_record*'):
    path.rename(str(path).replace('array_record', 'tfrecord'))
  message = how('tiny_images', folder,
                'it is stored in another format than ArrayRecord')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    tfds_source.read_tfds(builder, 'train')


@pytest.mark.parametrize('split', ['dev', 'train[:x%]'])
def test_unknown_split(folder, split):
  builder = tfds_source.open_tfds('tiny_images', folder)
  message = (f"TFDS data set 'tiny_images' has no split '{split}'; it has:"
             ' train, validation, test')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    tfds_source.read_tfds(builder, split)


def test_more_than_there_is(folder):
  builder = tfds_source.open_tfds('tiny_images', folder)
  message = ("TFDS data set 'tiny_images', split 'train': size = 24 is more"
             ' than its 23 examples')
  with pytest.raises(errors.UserError, match=f'^{re.escape(message)}$'):
    tfds_source.read_tfds(builder, 'train', size=24)


def test_quiet_restores_what_was():
  logging = tfds_source.logging
  before = logging.get_verbosity()
  logging.set_verbosity(logging.INFO)
  with pytest.raises(KeyError), tfds_source.quiet_tfds():
    assert logging.get_verbosity() == logging.ERROR
    raise KeyError
  assert logging.get_verbosity() == logging.INFO
  logging.set_verbosity(before)


def test_first_line():
  assert tfds_source.first_line(ValueError('\n one\ntwo')) == 'one'
  assert tfds_source.first_line(ValueError()) == 'ValueError'


CIFAR = places.SHARED / 'data' / 'tfds'


@pytest.mark.skipif(not CIFAR.is_dir(), reason=f'{CIFAR} is not here: CIFAR-10'
                    ' as TFDS prepares it, which the project does not need')
def test_cifar10():
  builder = tfds_source.open_tfds('cifar10', str(CIFAR))
  read = tfds_source.read_tfds(builder, 'test[:2000]')
  assert read.x.shape == (2000, 32, 32, 3)
  assert tfds_source.class_count(builder) == 10
  np.testing.assert_allclose(
      read.x.mean((0, 1, 2)) / 255, (.494, .485, .450), atol=0.02)
