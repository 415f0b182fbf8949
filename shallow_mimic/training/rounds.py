"""Rounds: the nets that are wanted and not there are trained as families.

A round is a family in training, in `training/KEY` of the work directory: which
nets it trains and from what stands in its `started.json`, and KEY is a digest
of that. It ends when all its nets have been written as kept folders; then its
checkpoints are deleted. One that was cut off is ended first, if all of its
nets are still wanted. A net whose folder was deleted is made again in its old
round: the same bits need the same family.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from shallow_mimic import errors
from shallow_mimic.runs import checkpoints, files, kept, workdir
from shallow_mimic.training import fit, kept_nets
from shallow_mimic.training.family import Member
from shallow_mimic.training.family_data import FamilyData
from shallow_mimic.training.fit import Fitted
from shallow_mimic.training.kept_nets import Wanted
from shallow_mimic.training.settings import Settings

_FOLDER, _CHECKPOINTS = 'training', 'checkpoints'


class Work(NamedTuple):
  """How a stage trains nets; see `plan_work`.

  Attributes:
    stage: the name that progress is told under.
    train: gives the nets of a round, trained; told where its checkpoints lie
      and what identity they have.
    judge: JSON trees to be kept with each net, by the names of their files.
    packing: what the shape of a family's checkpoint depends on beside its nets.
    together: how many nets make a round at most; 0: all.
    with_params: whether parameters are kept.
  """

  stage: str
  train: Callable[[Sequence[Wanted], pathlib.Path, str], Sequence[Fitted]]
  judge: Callable[[Sequence[Wanted], Sequence[Fitted]],
                  Sequence[Mapping[str, Any]]]
  packing: Mapping[str, Any]
  together: int = 0
  with_params: bool = True


def plan_work(
    stage: str, gather: Callable[[Sequence[Member]], FamilyData],
    settings: Settings, judge: Callable[
        [Sequence[Wanted], Sequence[Fitted]],
        Sequence[Mapping[str, Any]]] | None = None, *,
    together: int = 0, with_params: bool = True) -> Work:
  """How nets are trained with `fit.fit`.

  Args:
    stage: see `Work`.
    gather: puts together what a family trains on.
    settings: how it is trained.
    judge: see `Work`; None: nothing is kept but the nets.
    together: see `Work`.
    with_params: see `Work`.
  """
  def train(nets: Sequence[Wanted], directory: pathlib.Path,
            identity: str) -> list[Fitted]:
    members = [net.member for net in nets]
    return fit.fit(members, gather(members), settings, directory, stage=stage,
                   identity=identity)

  return Work(stage, train, judge or _keep_nothing, settings.packing,
              together=together, with_params=with_params)


def _keep_nothing(nets: Sequence[Wanted],
                  trained: Sequence[Fitted]) -> list[dict[str, Any]]:
  del trained
  return [{} for _ in nets]


@dataclasses.dataclass(frozen=True)
class Nets:
  """The nets of a stage, or of a part of it.

  Attributes:
    wanted: all of them.
    work: how they are trained.
    replace: whether nets that were made from other things may be moved aside;
      else they are refused.
  """

  wanted: Sequence[Wanted]
  work: Work
  replace: bool = False

  def make(self, root: pathlib.Path, say: Callable[[str], None]) -> None:
    """Trains the nets that are not there; verifies those that are.

    Args:
      root: the work directory.
      say: told how many are there, and what was moved.

    Raises:
      UserError: a net is damaged, or was made from something else.
    """
    wanted, work = self.wanted, self.work
    found, moved = _find_all(root, wanted, self.replace)
    if moved:
      say(f'{work.stage}: {len(moved)} nets no longer fit; they are moved, the'
          f' first is now {moved[0]}')
    missing = [net for net in wanted if found[net.slot] is None]
    if not missing:
      say(f'{work.stage}: there already, verified')
      return
    if len(missing) < len(wanted):
      say(f'{work.stage}: {len(wanted) - len(missing)} there already,'
          f' verified; {len(missing)} to train')
    digests = {net.slot: net.digest for net in wanted}
    while missing:
      family = (_find_begun(root, wanted, digests, found, work)
                or missing[:work.together or len(missing)])
      found |= _make_round(root, family, work)
      missing = [net for net in missing if found[net.slot] is None]
    say(f'{work.stage}: done')


def _find_all(root: pathlib.Path, wanted: Sequence[Wanted], replace: bool,
              ) -> tuple[dict[str, kept.Root | None], list[str]]:
  """Roots of the nets that are there; and where those are that did not fit."""
  found: dict[str, kept.Root | None] = {}
  moved = []
  for net in wanted:
    try:
      found[net.slot] = kept_nets.check_net(root, net)
    except kept_nets.StaleError:
      if not replace:
        raise
      found[net.slot] = None
      moved.append(str(workdir.move_aside(root, root / net.slot)))
  return found, moved


def _make_round(root: pathlib.Path, family: Sequence[Wanted],
                work: Work) -> dict[str, kept.Root | None]:
  """Trains a family and writes those of its nets that are not there."""
  begun = {'nets': {net.slot: net.digest for net in family},
           'packing': dict(work.packing)}
  key = _name_round(begun)
  folder = workdir.make_folder(root, root / _FOLDER / key)
  kept.start(folder, begun)
  trained = work.train(family, folder / _CHECKPOINTS, key)
  said = work.judge(family, trained)
  for net, fitted, trees in zip(family, trained, said, strict=True):
    if not (root / net.slot).exists():
      kept_nets.write_net(root, net, fitted, key, trees,
                          with_params=work.with_params)
  checkpoints.delete_checkpoints(folder / _CHECKPOINTS)
  return {net.slot: kept_nets.check_net(root, net) for net in family}


def _name_round(begun: Mapping[str, Any]) -> str:
  return files.digest_json(begun)[:32]


def _find_begun(root: pathlib.Path, wanted: Sequence[Wanted],
                digests: Mapping[str, str],
                found: Mapping[str, kept.Root | None],
                work: Work) -> list[Wanted]:
  """The nets of a round in which some are missing; [] for none.

  It was cut off, or they were deleted: the others of it are there, from this
  round and no other.
  """
  for folder, begun in _list_rounds(root):
    nets = begun['nets']
    if begun['packing'] != dict(work.packing) or any(
        digests.get(slot) != digest for slot, digest in nets.items()):
      continue
    there = [made for slot in nets if (made := found[slot])]
    family = [net for net in wanted if net.slot in nets]
    ended = family[0].made_from['steps'] in checkpoints.steps(
        folder / _CHECKPOINTS)
    if len(there) < len(nets) and (ended or all(
        made.family == folder.name for made in there)):
      return family
  return []


def _list_rounds(root: pathlib.Path,
                 ) -> Iterator[tuple[pathlib.Path, Mapping[str, Any]]]:
  """Rounds that were begun, and what they train.

  Raises:
    UserError: the record of one is damaged.
  """
  place = root / _FOLDER
  workdir.check_place(root, place)
  for folder in sorted(place.iterdir()) if place.is_dir() else ():
    workdir.check_place(root, folder)
    begun = kept.read_started(folder) if folder.is_dir() else None
    if begun is not None:
      nets = begun.get('nets')
      if not (isinstance(nets, Mapping) and nets and 'packing' in begun
              and _name_round(begun) == folder.name):
        raise errors.UserError(
            f'{folder} holds the training of other nets than its name says;'
            ' delete it')
      yield folder, begun
