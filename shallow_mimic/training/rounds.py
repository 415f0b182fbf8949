"""Rounds: the nets that are wanted and not there are trained as families.

A round is a family in training, in `training/KEY` of the work directory: which
nets it trains and from what is in its `started.json`, and KEY is a digest of
that. It ends when all its nets have been written as kept folders. One that was
cut off is ended first, if all of its nets are still wanted; a net whose folder
was deleted is made again with the family that it was made with, as the same
bits need the same family.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from shallow_mimic import errors
from shallow_mimic.runs import checkpoints, files, kept, workdir
from shallow_mimic.training import kept_nets
from shallow_mimic.training.fit import Fitted
from shallow_mimic.training.kept_nets import Wanted

_FOLDER, _CHECKPOINTS = 'training', 'checkpoints'


class Work(NamedTuple):
  """How a stage trains nets.

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
    by_slot = {net.slot: net for net in wanted}
    while missing:
      family = (_find_begun(root, by_slot, missing, work)
                or _find_family(by_slot, missing, found)
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
  digests = {net.slot: net.digest for net in family}
  begun = {'nets': digests, 'packing': dict(work.packing)}
  folder = workdir.make_folder(root, root / _FOLDER / _name_round(begun))
  kept.start(folder, begun)
  trained = work.train(family, folder / _CHECKPOINTS, files.digest_json(begun))
  said = work.judge(family, trained)
  for net, fitted, trees in zip(family, trained, said, strict=True):
    if not (root / net.slot).exists():
      kept_nets.write_net(root, net, fitted, digests, trees,
                          with_params=work.with_params)
  _end_round(folder)
  return {net.slot: kept_nets.check_net(root, net) for net in family}


def _name_round(begun: Mapping[str, Any]) -> str:
  return files.digest_json(begun)[:16]


def _end_round(folder: pathlib.Path) -> None:
  """Deletes a round's checkpoints and its record, and nothing else."""
  checkpoints.delete_checkpoints(folder / _CHECKPOINTS)
  with files.clear_disk_errors(folder):
    (folder / kept.STARTED).unlink(missing_ok=True)
    for path in (folder, folder.parent):
      if not any(path.iterdir()):
        path.rmdir()


def _find_begun(root: pathlib.Path, by_slot: Mapping[str, Wanted],
                missing: Sequence[Wanted], work: Work) -> list[Wanted]:
  """The nets of a round that was cut off and can be ended; [] for none."""
  slots = {net.slot for net in missing}
  for folder, begun in _list_rounds(root):
    nets = begun['nets']
    if (begun['packing'] != dict(work.packing) or not slots & nets.keys()
        or any(slot not in by_slot or by_slot[slot].digest != digest
               for slot, digest in nets.items())):
      continue
    family = [by_slot[slot] for slot in by_slot if slot in nets]
    last = family[0].made_from['steps']
    # Some of its nets are there: ended, but for writing the rest.
    if len(slots & nets.keys()) == len(nets) or last in checkpoints.steps(
        folder / _CHECKPOINTS):
      return family
  return []


def _list_rounds(root: pathlib.Path,
                 ) -> Iterator[tuple[pathlib.Path, Mapping[str, Any]]]:
  """Rounds that were begun and not ended, and what they train.

  Raises:
    UserError: the record of one is damaged.
  """
  place = root / _FOLDER
  workdir.check_place(root, place)
  for folder in sorted(place.iterdir()) if place.is_dir() else ():
    workdir.check_place(root, folder)
    begun = kept.read_started(folder) if folder.is_dir() else None
    if begun is not None:
      if _name_round(begun) != folder.name:
        raise errors.UserError(
            f'{folder} holds the training of other nets than its name says;'
            ' delete it')
      yield folder, begun


def _find_family(by_slot: Mapping[str, Wanted], missing: Sequence[Wanted],
                 found: Mapping[str, kept.Root | None]) -> list[Wanted]:
  """The family that a missing net was once trained with; [] for none."""
  slots = {net.slot: net.digest for net in missing}
  for root in found.values():
    family = root.family if root else {}
    if any(family.get(slot) == digest for slot, digest in slots.items()) and (
        all(slot in by_slot and by_slot[slot].digest == digest
            for slot, digest in family.items())):
      return [by_slot[slot] for slot in by_slot if slot in family]
  return []
