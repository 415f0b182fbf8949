"""What a changed configuration would throw away, found before any work.

A net's folder says what the net was made from. Here that is compared to what
the configuration asks for, as far as this is known before anything is made:
the teachers of an ensemble that are not trained yet are known by what they
will be made from.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from shallow_mimic import data, errors, teachers, training
from shallow_mimic.data import mixtures, store
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.evaluation import records
from shallow_mimic.evaluation.records import Record
from shallow_mimic.pipeline.run import (
  Run,
  find_complete,
  identify_ensembles,
  identify_targets,
  list_final,
  list_searched,
)
from shallow_mimic.runs import kept, workdir
from shallow_mimic.teachers import realignment
from shallow_mimic.training.kept_nets import Wanted

# Fields of `config.students` that a net's own description has, too.
_FAMILY = ('steps', 'batch', 'eval_every', 'optimizer', 'momentum', 'warmup',
           'clip', 'activation', 'bias_spread')
_SHOWN = 6
_FOLDS = '!'  # Among sets of inputs: what leaves a fold out.


class Stale(NamedTuple):
  """A net that is there, and is not what the configuration asks for.

  Attributes:
    stage: that trained it.
    slot: its folder, relative to the work directory.
    fields: (there, now) by the configuration's names.
  """

  stage: str
  slot: str
  fields: Mapping[str, tuple[Any, Any]]


def check_changes(run: Run, chosen: Sequence[str]) -> set[str]:
  """The stages with nets that do not fit and may be moved aside.

  Args:
    run: the run, before anything is done.
    chosen: the stages that will run.

  Raises:
    UserError: nets do not fit that may not be moved aside; it names the fields
      that differ.
  """
  changed = _find_changed_data(run, chosen)
  stale = list(_find_stale(run, changed))
  if stale and changed:
    stale.insert(0, Stale('data', 'data', changed))
  refused = [one for one in stale if one.stage not in run.replaced]
  if refused:
    raise errors.UserError(_explain(run, refused))
  return {one.stage for one in stale}


def _explain(run: Run, stale: Sequence[Stale]) -> str:
  nets = [one for one in stale if one.stage != 'data']
  fields: dict[str, tuple[Any, Any]] = {}
  for one in stale:
    fields |= one.fields
  # Data and teachers that changed follow from what was changed, if that is
  # known.
  stated = {name: pair for name, pair in fields.items()
            if name.startswith('config.')}
  told = [f'{name}: there {theirs!r}, now {ours!r}'
          for name, (theirs, ours) in stated.items()] or list(fields)
  more = (f' and {len(told) - _SHOWN} more' if len(told) > _SHOWN else '')
  return (
      f'{"; ".join(told[:_SHOWN])}{more}: {len(nets)} trained nets of'
      f' {run.root} ({nets[0].slot}{", …" if len(nets) > 1 else ""}) would be'
      ' thrown away; set that back, choose another --workdir, or say'
      f' --redo={stale[0].stage}: what no longer fits is moved into'
      f' {run.root / "old"} and made anew')


def _find_changed_data(run: Run, chosen: Sequence[str],
                       ) -> dict[str, tuple[Any, Any]]:
  """Fields of the data's configuration that differ from what is there."""
  found = kept.read_root(run.root / 'data')
  if found is None:
    return {}
  ours: dict[str, Any] = {
      'settings': data.identify_settings(run.config.data),
      'source': found.made_from.get('source')}
  if 'data' in chosen:
    ours = run.data_origin
  named = {}
  for name, pair in kept.find_differences(found.made_from, ours).items():
    if name.startswith('settings'):
      named[name.replace('settings', 'config.data', 1)] = pair
    else:
      named['the content of the data source'] = ('', '')
  return named


def _find_stale(run: Run, changed: Mapping[str, Any]) -> Iterator[Stale]:
  """Nets that are there and will not fit any more, teachers first."""
  if kept.read_root(run.root / 'data') is None:
    return
  dataset, known = _read_data(run), True
  compare = functools.partial(_compare, run, _find_stale_sets(changed))
  for number in range(1, run.config.data.speech.realign + 1):
    aligner = realignment.want_aligner(run.config, number, dataset)
    if stale := compare(known, 'config.teachers'
                        f'.{realignment.aligner_group(run.config)}', aligner):
      yield stale
    try:
      dataset = teachers.read_dataset(run.config, run.root, number)
    except errors.UserError:  # Labels that are still to be found.
      known = False
  expected: dict[str, list[tuple[Wanted, Any]]] = {}
  for name, group in run.config.teachers.items():
    wanted = teachers.list_teachers(
        name, group, dataset, training.make_settings(run.config, group))
    found = [compare(known, f'config.teachers.{name}', net) for net in wanted]
    yield from (one for one in found if one)
    expected[name] = [(net, _expect_identity(run, net, one))
                      for net, one in zip(wanted, found, strict=True)]
  targets = identify_targets(
      run.config, identify_ensembles(run.config, expected.__getitem__))
  searched = list_searched(run.config, dataset, targets)
  final = list_final(run.config, dataset, targets, find_complete(
      searched, functools.partial(_read_record, run)))
  for net in (*searched, *final):
    if one := compare(known, _name_curve(net), net):
      yield one


def _read_data(run: Run) -> Dataset:
  """The data that are there, mapped from disk."""
  try:
    return store.read_dataset(run.root / 'data')
  except Exception:
    kept.verify(run.root / 'data')  # Names what is damaged, and what to do.
    raise


def _name_curve(net: Wanted) -> str:
  return f'config.students.curves["{net.member.model}"]'


def _find_stale_sets(changed: Mapping[str, Any]) -> set[str] | None:
  """The sets whose inputs change; None for all of them."""
  sets: set[str] = set()
  for name in changed:
    words = name.split('.')
    if name == 'config.data.folds':
      sets.add(_FOLDS)
    elif words[:3] == ['config', 'data', 'transfer'] and len(words) > 3:
      sets.add(words[3])
    else:
      return None
  return sets


def _expect_identity(run: Run, net: Wanted, stale: Stale | None) -> Any:
  """A teacher's identity: as it is, or what is known of it."""
  found = None if stale else kept.read_root(run.root / net.slot)
  return found.identity if found else {'made_from': net.digest}


def _read_record(run: Run, net: Wanted) -> Record | None:
  """What a search left of a student, whatever it was made from."""
  folder = run.root / net.slot
  if kept.read_root(folder) is None:
    return None
  kept.verify(folder)
  return records.read_record(folder)


def _compare(run: Run, stale_sets: set[str] | None, known: bool, place: str,
             net: Wanted) -> Stale | None:
  """Whether a net is there and was made from something else.

  Args:
    run: the run.
    stale_sets: sets of inputs that change; None for all.
    known: whether what the net is made from is known to the labels.
    place: the configuration's name of what describes the net.
    net: the net.
  """
  folder = run.root / net.slot
  workdir.check_place(run.root, folder)
  found = kept.read_root(folder)
  if found is None:
    return None
  differ = {
      name: pair for name, pair in kept.find_differences(
          found.made_from, net.made_from).items()
      # Parameters of teachers that are still to be trained are not known.
      if not (name.endswith('.params') and pair[1] is None)
      and (known or name.partition('.')[0] not in ('data', 'targets'))}
  fields = {_name_field(name, place, net): pair
            for name, pair in differ.items()}
  used = set(mixtures.set_names(net.member.mixture))
  if mixtures.split_fold(net.member.mixture)[1] is not None:
    used.add(_FOLDS)
  if not fields and (stale_sets is None or used & stale_sets):
    return Stale(net.stage, net.slot, {})
  return Stale(net.stage, net.slot, fields) if fields else None


def _name_field(name: str, place: str, net: Wanted) -> str:
  """A key of what a net is made from, by the configuration's name."""
  key = name.partition('.')[0]
  if key == 'seed':
    return 'config.seed'
  if key == 'data':
    return 'the data'
  if key == 'targets':
    teacher = net.member.teacher
    return {'targets.dtype': 'config.logits.dtype',
            'targets.ensemble.space': f'config.ensembles.{teacher}.space',
            }.get(name, f'the teacher {teacher}')
  if net.slot.startswith('students/'):
    if key in _FAMILY:
      search = key == 'steps' and net.slot.startswith('students/search/')
      return f'config.students.{"search_steps" if search else key}'
    if key == 'width':
      return 'config.students.widths'
  return f'{place}.{name}'
