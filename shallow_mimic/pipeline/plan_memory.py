"""How much memory each stage of a run takes at its peak, before it runs.

Counted are the large things: what a family trains on, its nets, and what is at
work at a time. The base is what every run has beside: Python and JAX, as they
are measured in the plan's own process, and compiled programs. What only the
data say (`?` in the plan's line `inputs`) is not counted.
"""

from __future__ import annotations

import math
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from shallow_mimic import configs, models
from shallow_mimic.data import Shapes, find_source, mixtures
from shallow_mimic.pipeline import plan_tables
from shallow_mimic.training import batches, chunks, family

# Parameters, moments, and the best parameters so far.
COPIES = {'adam': 4, 'muon': 3, 'sgd': 3}
# What small experiments were measured to add to a plan's process: compiled
# programs, their compiler, Orbax.
_COMPILED = 0.3e9
_START_UP = 0.25e9  # Where it cannot be measured.
# Rows at a time: when dev is looked at, and when an ensemble labels.
_LOOK, _LABEL = 500, 512
_CHUNK = 1e8  # Of what is preprocessed at a time.
_DISPATCHES = 10  # Between two looks at dev, as `training.fit` has it.


class Stage(NamedTuple):
  """Bytes that a stage, or a part of one, takes at its peak.

  Attributes:
    name: what it is called.
    place: where its inputs and targets are.
    inputs: those in memory, or their windows where they are streamed.
    targets: the same of logits.
    nets: parameters, optimiser and the best parameters, and what stands
      beside them: see `_count_nets`.
    work: activations, and what is read or written at a time.
    base: see the module.
  """

  name: str
  place: str = ''
  inputs: float = 0
  targets: float = 0
  nets: float = 0
  work: float = 0
  base: float = 0

  @property
  def total(self) -> float:
    """All of it."""
    return self.inputs + self.targets + self.nets + self.work + self.base


class Trained(NamedTuple):
  """A family that is trained.

  Attributes:
    name: the stage's, or that of a part of it.
    members: all of them.
    buckets: theirs.
    section: how they are trained.
    every: steps between two looks at dev.
    rows: how many inputs they train on, as far as known.
  """

  name: str
  members: Sequence[family.Member]
  buckets: Sequence[family.Bucket]
  section: configs.Training
  every: int
  rows: int


def measure_start_up() -> float:
  """Bytes of memory that this process has by now: Python and JAX."""
  try:
    text = pathlib.Path('/proc/self/status').read_text(encoding='utf-8')
  except OSError:
    return _START_UP
  found = re.search(r'^VmRSS:\s*(\d+) kB', text, re.M)
  return 1024 * float(found[1]) if found else _START_UP


class Counter:
  """Counts the memory of stages."""

  def __init__(self, config: configs.Config, shapes: Shapes, platform: str,
               start_up: float):
    """Looks up what all stages need.

    Args:
      config: the configuration.
      shapes: of the data.
      platform: of the devices, such as 'cpu'.
      start_up: see `measure_start_up`.
    """
    self._config, self._platform = config, platform
    self._numbers = math.prod(shapes.input_shape)
    self._classes, self._examples = shapes.classes, shapes.examples
    self._is_image = len(shapes.input_shape) == 3
    # Frames are kept once; their neighbours are gathered.
    self._context = (2 * config.data.speech.reach + 1
                     if find_source(config.data).speech else 1)
    self._logit = 2 if config.logits.dtype == 'float16' else 4
    self._start_up, self._base = start_up, start_up + _COMPILED

  def count_data(self, rows: Mapping[str, int | None]) -> Stage:
    """The stage `data`: raw inputs as they are read and as they are split."""
    read = self._examples + self._config.data.dev + sum(
        rows[name] or 0 for name, spec in self._config.data.transfer.items()
        if spec['kind'] != 'views')
    # Images are bytes, as a rule.
    size = self._numbers / self._context * (1 if self._is_image else 4)
    return Stage('data', '', 2 * read * size, work=_CHUNK, base=self._start_up)

  def count_family(self, trained: Trained) -> Stage:
    """A stage that trains a family."""
    taught = len({m.teacher for m in trained.members if m.teacher})
    row = self._numbers * self._input_size(trained.members)
    logits = taught * self._classes * self._logit
    inputs, targets = trained.rows * row / self._context, trained.rows * logits
    streamed = inputs + targets > self._config.data.memory_gib * 2 ** 30
    if streamed:
      step = trained.section.batch * len(batches.find_streams(trained.members))
      steps = max(1, min(batches.WINDOW_BYTES // (step * (row + logits)),
                         trained.every // _DISPATCHES))
      held = batches.WINDOWS * steps * step
      inputs, targets = held * self._numbers * 4, held * logits
    dev = self._config.data.dev
    inputs += dev * self._numbers * 4 / self._context
    work = max((self._count_work(bucket, trained.section.batch)
                for bucket in trained.buckets), default=0)
    return Stage(
        trained.name, 'streamed from disk' if streamed else 'in memory',
        inputs, targets, self._count_nets(trained), work, self._base)

  def _count_nets(self, trained: Trained) -> float:
    """On a CPU all is there twice: a step, and a checkpoint, make it anew.

    An accelerator changes it in place, beside gradients and, for muon, what is
    made of them; a checkpoint's copy is the host's.
    """
    optimizer = trained.section.optimizer
    copies = COPIES[optimizer]
    beside = copies if self._platform == 'cpu' else 1 + (optimizer == 'muon')
    return 4 * plan_tables.count_state(trained.buckets, copies + beside)

  def _input_size(self, members: Sequence[family.Member]) -> int:
    """Bytes of a number of the inputs that members train on."""
    sets = {name for m in members for name in mixtures.set_names(m.mixture)}
    transfer = self._config.data.transfer
    half = all(name in transfer and transfer[name].get('dtype') == 'float16'
               for name in sets)
    return 2 if half else 4

  def _count_work(self, bucket: family.Bucket, batch: int) -> float:
    """Activations of a step, and of a look at dev."""
    group = chunks.choose_group(bucket, batch, self._platform)
    units = models.count_hidden_units(bucket.net)
    look = min(_LOOK, self._config.data.dev or _LOOK)
    return 4 * max(
        # Those of the way back stand beside those of the way there.
        3 * group * batch * units,
        2 * len(bucket.indices) * look * (units + self._classes))

  def count_labels(self, name: str, rows: int,
                   nets: Sequence[models.Net]) -> Stage:
    """A set of so many rows that an ensemble of nets labels, part by part."""
    units = max(map(models.count_hidden_units, nets))
    block = 4 * _LABEL * (
        2 * self._numbers + 2 * units + 4 * len(nets) * self._classes)
    # A part, and its file on its way to the disk.
    part = 3 * self._logit * self._classes * min(
        rows, self._config.logits.part_rows)
    params = 4 * sum(map(models.count_parameters, nets))
    return Stage(name, nets=2 * params, work=block + part, base=self._base)


def keep_largest(stages: Iterable[Stage]) -> list[Stage]:
  """The one that takes most; none of none."""
  return sorted(stages, key=lambda stage: stage.total)[-1:]


def make_memory_table(stages: Sequence[Stage]) -> list[str]:
  """A line for each stage, and one for the one that takes most."""
  [peak] = keep_largest(stages)
  return [*plan_tables.format_columns([
      ('memory', 'data', 'inputs', 'targets', 'nets', 'at work', 'base',
       'in all')] + [
      (stage.name, stage.place, *[name_bytes(size) for size in (
          stage.inputs, stage.targets, stage.nets, stage.work, stage.base,
          stage.total)]) for stage in stages]),
      f'peak      {name_bytes(peak.total)} in {peak.name}; the base is Python,'
      ' JAX and compiled programs']


def name_bytes(size: float) -> str:
  """As 1.23MB; nothing is ''."""
  return f'{plan_tables.shorten(round(size))}B' if size else ''
