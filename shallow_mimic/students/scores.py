"""What the report says of the final students: each judged on its own.

A student's scores compare it to its teacher, or, where it learned from labels,
to the main one. That may change while the student stays: so scores are kept
apart from the nets.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from shallow_mimic import evaluation, losses, training
from shallow_mimic.data import mixtures
from shallow_mimic.data.dataset import Dataset
from shallow_mimic.data.mixtures import Targets
from shallow_mimic.evaluation import fidelity, recognition
from shallow_mimic.evaluation.describe import make_record
from shallow_mimic.evaluation.records import Record
from shallow_mimic.runs import files, kept, workdir
from shallow_mimic.training import family, fit
from shallow_mimic.training.kept_nets import Wanted


@dataclasses.dataclass(frozen=True)
class Scores:
  """The scores of some students, each in a folder of its own.

  Attributes:
    nets: the students.
    made_from: what the scores of each depend on.
    judge: gives JSON trees by the names of their files, for some of them.
  """

  nets: Sequence[Wanted]
  made_from: Sequence[Mapping[str, Any]]
  judge: Callable[[Sequence[Wanted]], Sequence[Mapping[str, Any]]]

  def make(self, root: pathlib.Path, say: Callable[[str], None]) -> None:
    """Judges the students whose scores are not there, or do not fit.

    Raises:
      UserError: a folder holds a file that is not its own.
    """
    pairs = list(zip(self.nets, self.made_from, strict=True))
    missing = [(net, made_from) for net, made_from in pairs
               if not _is_there(root, scores_folder(root, net), made_from)]
    for (net, made_from), trees in zip(
        missing, self.judge([net for net, _ in missing]) if missing else [],
        strict=True):
      folder = scores_folder(root, net)
      workdir.make_folder(root, folder.parent)
      kept.write_whole(folder, _Writing(trees), made_from)
    there = len(pairs) - len(missing)
    if missing and there:
      say(f'students scores: {there} there already, verified; {len(missing)}'
          ' judged')
    else:
      say('students scores: '
          + ('done' if missing else 'there already, verified'))


@dataclasses.dataclass(frozen=True)
class _Writing:
  """Writes JSON trees by the names of their files; their digest."""

  trees: Mapping[str, Any]

  def __call__(self, folder: pathlib.Path) -> str:
    for name, tree in self.trees.items():
      files.write_json(folder / name, tree)
    return files.digest_json(self.trees)


def scores_folder(root: pathlib.Path, net: Wanted) -> pathlib.Path:
  """Where the scores of a final student lie."""
  return root / net.slot.replace('students/final/', 'students/scores/', 1)


def _is_there(root: pathlib.Path, folder: pathlib.Path,
              made_from: Mapping[str, Any]) -> bool:
  workdir.check_place(root, folder)
  found = kept.read_root(folder)
  return (found is not None
          and not kept.find_differences(found.made_from, made_from)
          and kept.is_intact(folder))


def judge_students(
    members: Sequence[family.Member], fitted: Sequence[fit.Fitted],
    dataset: Dataset, targets: Mapping[str, Targets], bench: fidelity.Bench,
) -> list[dict[str, Any]]:
  """JSON trees to be kept of each student, by the names of their files.

  Args:
    members: the students.
    fitted: they, trained.
    dataset: inputs and labels.
    targets: cached logits by the teacher's name.
    bench: what they are judged on.
  """
  records: list[Record] = []
  normalizers = _fit_normalizers(members, dataset, targets)
  # One by one: what else is judged with a student must not change its bits,
  # as after a kill fewer are left to judge.
  for index, member in enumerate(members):
    net = family.member_net(member, dataset.input_shape, dataset.classes)
    params = jax.tree.map(lambda leaf: leaf[None], fitted[index].params)
    [values], [bins] = fidelity.judge(
        net, params, [member], [normalizers[index]], bench)
    records.append(make_record(
        member, fitted[index], net, 'student', values,
        inputs_count=mixtures.count_inputs(member.mixture, dataset),
        calibration=bins))

  def predict(index: int, split: str) -> np.ndarray:
    member = members[index]
    net = family.member_net(member, dataset.input_shape, dataset.classes)
    outputs = evaluation.predict(
        net, fitted[index].params, dataset.pool(split))
    return np.asarray(normalizers[index].denormalize(outputs))

  return recognition.score_phones(records, dataset, predict)


def _fit_normalizers(members: Sequence[family.Member], dataset: Dataset,
                     targets: Mapping[str, Targets],
                     ) -> list[losses.LogitNormalizer]:
  """The normaliser that each member was trained with."""
  found: dict[tuple[str, str], losses.LogitNormalizer] = {}
  for member in members:
    key = member.teacher, member.mixture
    if member.objective.normalized and key not in found:
      found[key] = training.fit_normalizer(member, dataset, targets)
  return [found[member.teacher, member.mixture]
          if member.objective.normalized else
          training.no_normalizer(dataset.classes) for member in members]
