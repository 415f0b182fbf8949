"""Who teaches whom, and on which inputs."""

from __future__ import annotations

from shallow_mimic import configs, ensembles
from shallow_mimic.training import objectives


def used_teachers(config: configs.Config) -> dict[str, list[str]]:
  """The inputs that each ensemble has to label, by its name."""
  used: dict[str, list[str]] = {}
  for curve in config.students.curves.values():
    if curve.objective in objectives.NEEDS_TEACHER:
      used.setdefault(curve.teacher, []).append(curve.inputs)
  return {name: used[name] for name in config.ensembles if name in used}


def find_independent(config: configs.Config) -> dict[str, str]:
  """The independent ensemble by the teacher of a student, '' for labels.

  Teachers that share a member with it are left out.
  """
  name = config.report.independent
  if not name:
    return {}
  trained = {group: [f'{group}:{place}' for place in range(section.members)]
             for group, section in config.teachers.items()}
  members = {key: {one for text in ensemble.members
                   for one in ensembles.pick_members(trained, text)}
             for key, ensemble in config.ensembles.items()}
  return {'': name} | {key: name for key, theirs in members.items()
                       if not theirs & members[name]}
