import errno
import logging as std_logging

import jax
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
from absl import logging

from shallow_mimic.runs import orbax_arrays

# What TensorStore 0.1.86 raised on a full tmpfs.
FULL = (
    'RESOURCE_EXHAUSTED: Error writing "a/0" in OCDBT database at local file'
    ' "/t/a.orbax-checkpoint-tmp/ocdbt.process_0/": Failed writing: "/t/d/827":'
    ' Failed to write 746959 bytes to file 11: No space left on device'
    " [os_error_code='28']"
)


@pytest.fixture
def absl_records():
  """Every record that a terminal at level INFO would show."""
  records = []
  handler = std_logging.Handler()
  handler.emit = records.append
  logger = logging.get_absl_logger()
  level = logging.get_verbosity()
  logger.addHandler(handler)
  logging.set_verbosity(logging.INFO)
  yield records
  logging.set_verbosity(level)
  logger.removeHandler(handler)


DTYPES = [
    'bool', 'int8', 'uint8', 'int16', 'int32', 'uint32', 'int64', 'float16',
    'float32', 'float64', 'complex64', ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn, ml_dtypes.int4,
]


@pytest.mark.parametrize('shape', [(2, 3), (), (1,), (0, 3)])
def test_round_trip_of_every_dtype(tmp_path, shape):
  arrays = {
      f"tree['x/y'][{i}].z {dtype}": np.ones(shape).astype(dtype)
      for i, dtype in enumerate(DTYPES)
  }
  orbax_arrays.write_arrays(tmp_path / 'a', arrays)
  back = orbax_arrays.read_arrays(tmp_path / 'a')
  assert back.keys() == arrays.keys()
  for name, array in arrays.items():
    assert (back[name].dtype, back[name].shape) == (array.dtype, shape), name
    assert back[name].tobytes() == array.tobytes(), name


def test_special_floats_keep_their_bits(tmp_path):
  bits = np.array([0x80000000, 0x7FC00001, 0xFF800000, 1], np.uint32)
  orbax_arrays.write_arrays(tmp_path / 'a', {'x': bits.view(np.float32)})
  back = orbax_arrays.read_arrays(tmp_path / 'a')['x']
  np.testing.assert_array_equal(back.view(np.uint32), bits)


def test_orbax_stays_silent_and_others_do_not(tmp_path, absl_records):
  before = list(logging.get_absl_logger().filters)
  orbax_arrays.write_arrays(tmp_path / 'a', {'x': np.ones(2)})
  orbax_arrays.read_arrays(tmp_path / 'a')
  with pytest.raises(OSError):
    orbax_arrays.write_arrays('/dev/null/a', {'x': np.ones(2)})
  with pytest.raises(ValueError):
    orbax_arrays.read_arrays(tmp_path / 'absent')
  assert absl_records == []
  assert logging.get_absl_logger().filters == before
  logging.info('mine')
  assert [record.getMessage() for record in absl_records] == ['mine']


def test_full_disk_in_tensorstore_is_an_oserror(tmp_path, monkeypatch):
  def save(*args, **kwargs):
    raise ValueError(FULL)
  monkeypatch.setattr(ocp.Checkpointer, 'save', save)
  with pytest.raises(OSError, match=r'No space left on device$') as caught:
    orbax_arrays.write_arrays(tmp_path / 'a', {'x': np.ones(2)})
  assert caught.value.errno == errno.ENOSPC


def test_other_errors_of_a_write_are_one_line(tmp_path):
  (tmp_path / 'a').mkdir()
  with pytest.raises(OSError, match=(
      r'^Orbax cannot write it: ValueError: .* already exists.*\Z')) as caught:
    orbax_arrays.write_arrays(tmp_path / 'a', {'x': np.ones(2)})
  assert caught.value.errno is None


def test_unreadable_folder_is_a_valueerror_of_one_line(tmp_path):
  with pytest.raises(ValueError, match=r'^Orbax cannot read it: \w+: .*\Z'):
    orbax_arrays.read_arrays(tmp_path)


def test_long_reasons_are_cut_to_one_line(tmp_path, monkeypatch):
  def restore(*args, **kwargs):
    raise KeyError('x' * 300 + '\nmore')
  monkeypatch.setattr(ocp.Checkpointer, 'restore', restore)
  with pytest.raises(ValueError, match=r'^Orbax cannot read it: .{,250}\Z'):
    orbax_arrays.read_arrays(tmp_path)


@pytest.mark.parametrize('leaf, dtype', [
    ('text', '<U4'), (None, 'object'), (np.ones(2, '>f4'), '>f4'),
    (np.array(['2020-01-01'], 'M8[D]'), r'datetime64\[D\]'),
    (jax.ShapeDtypeStruct((2,), 'float32'), 'object'),
])
def test_to_array_refuses_what_is_not_a_number(leaf, dtype):
  message = (
      rf"^leaf tree\['a'\] is {dtype}; a checkpoint holds numbers and booleans"
      ' in the byte order of the machine$'
  )
  with pytest.raises(TypeError, match=message):
    orbax_arrays.to_array("tree['a']", leaf)


@pytest.mark.parametrize('impl', ['threefry2x32', 'rbg', 'unsafe_rbg'])
@pytest.mark.parametrize('abstract', [False, True])
def test_typed_keys(impl, abstract):
  keys = jax.random.split(jax.random.key(3, impl=impl), 2)
  like = jax.ShapeDtypeStruct(keys.shape, keys.dtype) if abstract else keys
  array = orbax_arrays.to_array('tree', keys)
  back = orbax_arrays.from_array(array, like)
  assert isinstance(array, np.ndarray) and array.dtype == np.uint32
  assert back.dtype == keys.dtype
  np.testing.assert_array_equal(
      jax.random.key_data(back), jax.random.key_data(keys)
  )
