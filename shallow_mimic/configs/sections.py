"""The configuration as the program sees it: one frozen dataclass a section.

Every field stands here once, with its type, its default and what it may be.
A section checks itself whenever it is made, by `dataclasses.replace` too. What
depends on other rooms or sections is checked by `pipeline.validation`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from shallow_mimic.configs import checks
from shallow_mimic.configs.checks import Many, Map, Number, Text, Whole
from shallow_mimic.configs.fields import Section, Within, empty, field, made

# Forty times the paper's widest net. With 40 inputs and 10 classes it takes
# 14 GB to train; what is wider would fail for memory, and only after its
# teachers have been trained.
MOST_UNITS = 2 ** 24

_COUNT = Whole()
_FROM_1 = Whole('at least 1', least=1)
_TEXT = Text()
_PATH = Text(path=True)
_SHARE = Number('a share from 0 to below 1', most=1, without=1)
_BELOW_1 = Number('from 0 to below 1', most=1, without=1)
_DECAY = Number('finite and not negative')
_POSITIVE = Number('finite and above 0', without=0)
_RATES = Many(_POSITIVE, 'a tuple of learning rates, such as (0.01, 0.02)')
_WIDTHS = Many(
    Whole('whole numbers from 1', least=1, most=MOST_UNITS,
          why=': wider nets have no room on a device'),
    'a tuple of whole numbers, such as (16, 64)')
_SIZES = Many(
    Whole('whole numbers from 1', least=1,
          why=': 32 bits count no further'),
    'a tuple of whole numbers, such as (100000, 1000000)')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speech(Section):
  """TIMIT: the sample's test fold, what one input is, realignment.

  Attributes:
    fold: which of the `folds` of the sample's speakers is its test split.
    folds: into how many folds the sample's speakers are cut.
    dev_speakers: how many of the other speakers are dev.
    train_speakers: how many of the rest are kept; 0: all.
    damaged: 'refuse' damaged files, or 'skip' them.
    reach: neighbours of a frame on each side in one input.
    realign: rounds of realignment.
    aligner: the teachers one of which aligns; '': the only ones.
  """

  PLACE: ClassVar[str] = 'data.speech'
  fold: int = field(0, _COUNT)
  folds: int = field(4, _COUNT)
  dev_speakers: int = field(3, _COUNT)
  train_speakers: int = field(0, _COUNT)
  damaged: str = field('refuse', Text("'refuse' or 'skip'",
                                       ('refuse', 'skip')))
  reach: int = field(7, _COUNT)
  realign: int = field(0, Whole('0 or more'))
  aligner: str = field('', _TEXT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(Section):
  """What is trained on.

  Attributes:
    source: 'mnist1d', 'tfds', 'arrays', 'timit', or one registered.
    name: a TFDS data set.
    path: an `.npz` file, or the folder of a corpus.
    data_dir: folder of prepared TFDS data; '': the default.
    splits: TFDS splits to use as train, dev and test.
    dev: training examples to set apart, where the source has no dev split.
    limit_train: how many of the rest to keep; 0: all.
    seed: of the dev split, the limit and the transfer sets.
    preprocessing: steps, as for `preprocessing.fit_preprocessing`.
    transfer: transfer sets by name, see `data.sources.transfer`.
    speech: see `Speech`.
    folds: of the training inputs, for targets by teachers that held them out.
    memory_gib: inputs and targets of a family that take more are streamed from
      disk.
    input_shape: with `classes` and `examples`: only for a plan made before the
      data are there.
    classes: see `input_shape`.
    examples: see `input_shape`.
  """

  PLACE: ClassVar[str] = 'data'
  source: str = field('mnist1d', _TEXT)
  name: str = field('', _TEXT)
  path: str = field('', _PATH)
  data_dir: str = field('', _PATH)
  splits: Mapping[str, Any] = made(empty, Map(checks.check_tree))
  dev: int = field(400, _COUNT)
  limit_train: int = field(0, _COUNT)
  seed: int = field(0, _COUNT)
  preprocessing: tuple[Any, ...] = field(('standardise',), checks.check_steps)
  transfer: Mapping[str, Any] = made(empty, Map(checks.check_tree))
  speech: Speech = dataclasses.field(
      default_factory=Speech, metadata={'check': Within(Speech)})
  folds: int = field(0, _COUNT)
  memory_gib: float = field(4.0, Number('0 (stream everything) or more'))
  input_shape: tuple[int, ...] = field((), Many(
      _FROM_1, 'a tuple of whole numbers, such as (32, 32, 3)', repeats=True))
  classes: int = field(0, _COUNT)
  examples: int = field(0, _COUNT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training(Section):
  """How nets are trained, teachers and students alike.

  Attributes:
    architecture: see `models.parse_architecture`.
    steps: updates.
    batch: examples of an update.
    eval_every: steps between two looks at dev.
    optimizer: 'adam', 'muon' or 'sgd'.
    momentum: of muon and sgd.
    warmup: share of the steps in which the learning rate rises.
    clip: the largest norm of a net's gradient; 0: off.
  """

  architecture: str = field('', _TEXT)
  steps: int = field(2000, _FROM_1)
  batch: int = field(128, _FROM_1)
  eval_every: int = field(250, _FROM_1)
  optimizer: str = field('adam', Text('adam, muon or sgd',
                                       ('adam', 'muon', 'sgd')))
  momentum: float = field(0.9, _BELOW_1)
  warmup: float = field(0.05, _SHARE)
  clip: float = field(0.0, Number('0 (off) or a positive norm'))

  def check(self, place: str) -> None:
    """Dev is looked at, at the latest, when training ends."""
    checks.fail(self.eval_every > self.steps, f'{place}.eval_every',
                self.eval_every, f'at most {self.steps}, as many as the steps')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Teacher(Training):
  """A group of teachers: one architecture, `members` seeds.

  Attributes:
    members: how many.
    first_seed: the seed of the first; the others count on.
    together: how many train as one program; 0: all of the group.
    inputs: what they train on, as text.
    learning_rate: the highest.
    weight_decay: decoupled from the gradient.
    net: options of the net, see `models.make_net`.
    folds: 0, or `data.folds`: member i leaves out fold i % folds of the
      training inputs, and labels it.
  """

  PLACE: ClassVar[str] = 'teachers.NAME'
  members: int = field(1, _FROM_1)
  first_seed: int = field(0, _COUNT)
  together: int = field(0, _COUNT)
  inputs: str = field('train', _TEXT)
  learning_rate: float = field(0.003, _POSITIVE)
  weight_decay: float = field(0.0, _DECAY)
  net: Mapping[str, Any] = made(empty, Map(checks.check_tree))
  folds: int = field(0, _COUNT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ensemble(Section):
  """A mean of teachers.

  Attributes:
    members: groups 'CNN' or single teachers 'CNN:0'.
    space: what is averaged, see `ensembles.SPACES`.
    mirror: whether every member looks at an image and its mirror image.
    out_of_fold: where members left folds out, whether only those who did label
      a fold's inputs.
  """

  PLACE: ClassVar[str] = 'ensembles.NAME'
  members: tuple[str, ...] = field((), Many(
      Text('of the names of teachers'),
      "a tuple of names of teachers, such as ('CNN',)", repeats=True))
  space: str = field('logits', _TEXT)
  mirror: bool = field(False, checks.check_flag)
  out_of_fold: bool = field(True, checks.check_flag)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Logits(Section):
  """The cache of targets: rows of a part, and the type of its numbers."""

  PLACE: ClassVar[str] = 'logits'
  part_rows: int = field(16384, _FROM_1)
  dtype: str = field('float32', _TEXT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve(Section):
  """A student curve: what it minimises, on which inputs, after which teacher.

  Attributes:
    objective: a loss by name.
    inputs: what it trains on, as text.
    teacher: an ensemble.
    architecture: '': that of the family. Curves of several train in one family.
    widths: (): those of the family.
    parameters: numbers of parameters, in place of widths.
    learning_rates: (): those of the family.
    weight_decays: searched together with the learning rates.
    dropout_input: rate at the input.
    dropout_hidden: rate after each hidden layer.
    temperature: of the losses of softmaxes.
    alpha: weight of the teacher against the labels, of 'blended'.
    weights: the two of 'decoupled_kl' (label's class, others) or of
      'pearson_distance' (over classes, over the batch); (): (1, 8) and (1, 1).
    constants: of the loss, by their names.
  """

  PLACE: ClassVar[str] = 'students.curves.NAME'
  objective: str = field('logit_regression', _TEXT)
  inputs: str = field('train', _TEXT)
  teacher: str = field('', _TEXT)
  architecture: str = field('', _TEXT)
  widths: tuple[int, ...] = field((), _WIDTHS)
  parameters: tuple[int, ...] = field((), _SIZES)
  learning_rates: tuple[float, ...] = field((), _RATES)
  weight_decays: tuple[float, ...] = field((0.0,), Many(
      _DECAY, 'a tuple of weight decays, such as (0.0, 0.1)',
      least='one value or more'))
  dropout_input: float = field(0.0, _BELOW_1)
  dropout_hidden: float = field(0.0, _BELOW_1)
  temperature: float = field(1.0, _POSITIVE)
  alpha: float = field(0.5, Number('from 0 to 1', most=1))
  weights: tuple[float, ...] = field((), checks.check_weights)
  constants: Mapping[str, float] = made(empty, Map(
      Number('a finite number', least=-checks.LARGEST)))

  def check(self, place: str) -> None:
    """Widths or numbers of parameters, not both."""
    checks.fail(bool(self.parameters and self.widths), f'{place}.parameters',
                self.parameters, '() where the curve has widths of its own')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Students(Training):
  """The student family; `H` in its architecture stands for the width.

  Attributes:
    widths: non-linear hidden units.
    parameters: numbers of parameters, in place of `widths`: each student gets
      the width that comes nearest, every curve by its own architecture.
    seeds: how many of each.
    learning_rates: those searched.
    rate_width: the width that the rates are for, see `scale_rates`; 0: all.
    activation: see `models.make_net`.
    bias_spread: see `models.make_net`.
    search_steps: updates of the search; dev is looked at when it ends, too.
    search_seeds: how many of each in the search.
    waste: the share of work that padding may cost.
    curves: by name.
  """

  PLACE: ClassVar[str] = 'students'
  architecture: str = field('H', _TEXT)
  steps: int = field(5000, _FROM_1)
  widths: tuple[int, ...] = field(
      (16, 64, 256, 1024), dataclasses.replace(_WIDTHS,
                                               least='one width or more'))
  parameters: tuple[int, ...] = field((), _SIZES)
  seeds: int = field(3, _FROM_1)
  learning_rates: tuple[float, ...] = field(
      (0.005, 0.01, 0.02, 0.04), dataclasses.replace(
          _RATES, least='one learning rate or more'))
  rate_width: int = field(0, Whole('0 or a width'))
  activation: str = field('relu', _TEXT)
  bias_spread: float = field(0.5, Number('0 or more'))
  search_steps: int = field(1000, _FROM_1)
  search_seeds: int = field(1, _FROM_1)
  waste: float = field(0.25, _SHARE)
  curves: Mapping[str, Curve] = made(
      empty, Map(Within(Curve), checks.check_name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parallel(Section):
  """Devices and checkpoints.

  Attributes:
    devices: how many; 0: all.
    split: what is divided among them, 'family' or 'batch'.
    save_seconds: between two checkpoints.
  """

  PLACE: ClassVar[str] = 'parallel'
  devices: int = field(0, Whole('0 (all) or more'))
  split: str = field('family', _TEXT)
  save_seconds: float = field(30.0, Number(
      '0 (at every look at dev) or more seconds'))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report(Section):
  """What the report shows.

  Attributes:
    figure_width: the width of figure 2; 0: the report chooses.
    notes: texts that stand on the page.
    paper: rows of the paper's table, such as {'model': 'CNN', 'error': 12.0}.
    independent: an ensemble to compare those students to that owe it nothing.
    latency: whether to time nets; times are never the same twice.
  """

  PLACE: ClassVar[str] = 'report'
  figure_width: int = field(0, Whole('0 or a width'))
  notes: tuple[str, ...] = field((), Many(
      Text('texts in quotes'), "a tuple of texts, such as ('One note.',)",
      repeats=True))
  paper: tuple[Mapping[str, Any], ...] = field((), Many(
      checks.check_row,
      "a tuple of rows such as {'model': 'CNN', 'error': 12.0}", repeats=True))
  independent: str = field('', _TEXT)
  latency: bool = field(False, checks.check_flag)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Section):
  """An experiment.

  Attributes:
    title: of the report; '': the work directory's name.
    seed: seeds everything that is trained. Data have a seed of their own.
    data: see `Data`.
    teachers: by name; each has a folder of that name.
    ensembles: by name; each has a folder of that name.
    logits: see `Logits`.
    students: see `Students`.
    parallel: see `Parallel`.
    report: see `Report`.
  """

  title: str = field('', _TEXT)
  seed: int = field(0, _COUNT)
  data: Data = dataclasses.field(
      default_factory=Data, metadata={'check': Within(Data)})
  teachers: Mapping[str, Teacher] = made(
      empty, Map(Within(Teacher), checks.check_folder))
  ensembles: Mapping[str, Ensemble] = made(
      empty, Map(Within(Ensemble), checks.check_folder))
  logits: Logits = dataclasses.field(
      default_factory=Logits, metadata={'check': Within(Logits)})
  students: Students = dataclasses.field(
      default_factory=Students, metadata={'check': Within(Students)})
  parallel: Parallel = dataclasses.field(
      default_factory=Parallel, metadata={'check': Within(Parallel)})
  report: Report = dataclasses.field(
      default_factory=Report, metadata={'check': Within(Report)})
