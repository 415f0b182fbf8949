"""Trained nets on disk: a kept folder each, by what the net was made from.

The folder's name says which net it is (`teachers/CNN/0`), what it was made
from stands in its root: its own description, its recipe, its data and its
targets, whatever else was in its family. A net of that name that was made
from something else is another net.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from shallow_mimic import errors, models
from shallow_mimic.runs import files, kept, workdir
from shallow_mimic.training import objectives
from shallow_mimic.training.family import Member, member_net
from shallow_mimic.training.fit import Fitted
from shallow_mimic.training.settings import Settings

_FITTED, _PARAMS = 'fitted.json', 'params.npz'
_STAGES = {'realignments': 'teachers'}  # Of folders that are called otherwise.
# What a `Fitted` is, beside its parameters.
_FACTS = tuple(name for name in Fitted._fields if name != 'params')


class Wanted(NamedTuple):
  """A net that a configuration wants.

  Attributes:
    slot: its folder, relative to the work directory.
    member: the net.
    made_from: all that it depends on, see `describe_net`.
  """

  slot: str
  member: Member
  made_from: Mapping[str, Any]

  @property
  def digest(self) -> str:
    """SHA-256 of all that it depends on."""
    return files.digest_json(self.made_from)

  @property
  def stage(self) -> str:
    """The stage that trains it."""
    folder = self.slot.partition('/')[0]
    return _STAGES.get(folder, folder)


class StaleError(errors.UserError):
  """A net of that name is there, and was made from something else."""


def describe_net(member: Member, settings: Settings,
                 data: Any, targets: Any = None) -> dict[str, Any]:
  """All that a trained net depends on, as a JSON tree.

  Its keys are names of the configuration's fields where it has such fields.

  Args:
    member: the net.
    settings: how it is trained.
    data: digests of the sets that it trains on and is chosen by.
    targets: the identity of its teacher; None without one.
  """
  tree: dict[str, Any] = {
      'architecture': member.architecture, 'width': member.width,
      **dict(member.net_options),
      'inputs': member.mixture, 'learning_rate': member.learning_rate,
      'weight_decay': member.weight_decay, 'member_seed': member.seed,
      'objective': member.objective.name,
      'constants': objectives.find_constants(member.objective),
      'seed': settings.base_seed, 'eval_every': settings.eval_every,
      **dataclasses.asdict(settings.recipe), 'data': data}
  versions = models.find_registered(member.architecture) | (
      {member.objective.name: member.objective.version}
      if member.objective.version else {})
  if versions:
    tree['registered'] = versions
  if targets is not None:
    tree['targets'] = targets
  return tree


def check_net(root: pathlib.Path, wanted: Wanted) -> kept.Root | None:
  """The root of a finished net, verified; None where it is not there.

  Raises:
    StaleError: a net of that name was made from something else.
    UserError: a file of it is damaged, missing, or not its own.
  """
  folder = root / wanted.slot
  workdir.check_place(root, folder)
  if not folder.exists():
    return None
  found = kept.read_root(folder)
  if found is None:
    raise errors.UserError(
        f'{folder / "done.json"} is missing; delete {folder} and run again to'
        ' make it anew')
  if differ := kept.find_differences(found.made_from, wanted.made_from):
    fields = dict.fromkeys(name.partition('.')[0] for name in differ)
    raise StaleError(
        f'{folder} was trained with another {", ".join(fields)}; set that back,'
        f' choose another --workdir, or say --redo={wanted.stage}:'
        f' what no longer fits is moved into {root / "old"} and trained anew')
  return kept.verify(folder)


def write_net(root: pathlib.Path, wanted: Wanted, fitted: Fitted,
              family: str, said: Mapping[str, Any], *,
              with_params: bool = True) -> None:
  """Writes a trained net, whole or not at all.

  Args:
    root: the work directory.
    wanted: the net.
    fitted: what training made of it.
    family: the round that it was trained in.
    said: further JSON trees by the names of their files.
    with_params: whether its parameters are kept.
  """
  def write(folder: pathlib.Path) -> Any:
    facts = {name: getattr(fitted, name) for name in _FACTS}
    for name, tree in {**said, _FITTED: facts}.items():
      files.write_json(folder / name, tree)
    identity = {'made_from': wanted.digest}
    if with_params:
      files.write_arrays(folder / _PARAMS, fitted.params)
      identity['params'] = digest_params(fitted.params)
    return identity

  folder = root / wanted.slot
  workdir.make_folder(root, folder.parent)
  kept.write_whole(folder, write, wanted.made_from, family=family)


def read_net(root: pathlib.Path, wanted: Wanted, input_shape: tuple[int, ...],
             classes: int) -> tuple[dict[str, str], Fitted]:
  """A finished net's identity, and the net with parameters of that identity.

  Raises:
    UserError: it is not finished, damaged, or made from something else.
  """
  identity, folder = require_net(root, wanted).identity, root / wanted.slot
  net = member_net(wanted.member, input_shape, classes)
  params = files.read_arrays(folder / _PARAMS, models.param_shapes(net))
  if digest_params(params) != identity['params']:
    raise errors.UserError(
        f'{folder / _PARAMS} is damaged: its parameters are not those that the'
        f' net was finished with; delete {folder} and run again to make it'
        ' anew')
  return identity, Fitted(params=params, **files.read_json(folder / _FITTED))


def require_net(root: pathlib.Path, wanted: Wanted) -> kept.Root:
  """The root of a net that has to be finished; see `check_net`."""
  found = check_net(root, wanted)
  if found is None:
    raise workdir.UnfinishedError(
        f'{root / wanted.slot} is not finished; run the stage `{wanted.stage}`'
        ' first')
  return found


def digest_params(params: Any) -> str:
  """SHA-256 of parameters, leaf by leaf."""
  return files.digest_json(files.digest_tree(params))
