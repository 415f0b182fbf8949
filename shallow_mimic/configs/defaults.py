"""The configuration as users write it: a ConfigDict with every default.

An experiment is a file in `launch/configs` that starts from
`default_config()` and changes what differs. The fields, their defaults and
what they may be stand in `sections`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import ml_collections

from shallow_mimic import errors
from shallow_mimic.configs import checks, fields, sections

# What a door takes: the configuration as written, or as it was read.
Given: TypeAlias = sections.Config | ml_collections.ConfigDict


class Fields(ml_collections.ConfigDict):  # type: ignore[misc]
  """A ConfigDict to which NumPy's numbers are numbers."""

  def __setitem__(self, key: str, value: Any) -> None:
    """Sets a field; a bool is no number, which a ConfigDict lets it be."""
    value = checks.to_plain(value)
    before = self._fields.get(key)
    if isinstance(value, bool) and type(before) in (int, float):
      raise TypeError(
          f"Could not override field '{key}': {value} is no number")
    super().__setitem__(key, value)


def default_config() -> ml_collections.ConfigDict:
  """All fields of `sections.Config`; a field that is not there is refused."""
  return _make_fields(sections.Config())


def make_teacher(**changes: Any) -> ml_collections.ConfigDict:
  """A group of teachers: `changes` to the fields of `sections.Teacher`."""
  return _changed('teacher', sections.Teacher(), changes)


def make_ensemble(*members: str, space: str = 'logits', mirror: bool = False,
                  out_of_fold: bool = True) -> ml_collections.ConfigDict:
  """An ensemble of groups 'CNN' or of single teachers 'CNN:0'.

  With `mirror` every member looks at an image and at its mirror image. Where
  members left folds out, only those who did label a fold's inputs; without
  `out_of_fold` all members label everything.
  """
  return Fields(dict(members=tuple(members), space=space, mirror=mirror,
                     out_of_fold=out_of_fold))


def make_curve(**changes: Any) -> ml_collections.ConfigDict:
  """A student curve: `changes` to the fields of `sections.Curve`."""
  return _changed('curve', sections.Curve(), changes)


def _make_fields(value: Any) -> Any:
  """Sections and mappings as ConfigDicts, what is in them too."""
  if isinstance(value, fields.Section | Mapping):
    tree = vars(value) if isinstance(value, fields.Section) else value
    return Fields({name: _make_fields(one) for name, one in tree.items()})
  return value


def _changed(
    kind: str, section: fields.Section, changes: Mapping[str, Any],
) -> ml_collections.ConfigDict:
  made, known = _make_fields(section), vars(section)
  checks.check_fields(f'of a {kind}', {**known, **changes}, known)
  for name, value in changes.items():
    try:
      made.update({name: value})
    except (TypeError, AttributeError) as error:
      raise errors.UserError(
          f'{name} of a {kind} is {value!r}; it must be of the type of its'
          f' default, {fields.to_tree(known[name])!r}'
      ) from error
  return made


def read_config(given: Given | Mapping[str, Any]) -> sections.Config:
  """The configuration, read once, at the door.

  Args:
    given: a ConfigDict as `default_config` makes it, or a mapping with the
      same fields; a Config is returned as it is.

  Raises:
    UserError: a field is unknown, missing, or not what it may be; one line
      with the field's name.
  """
  if not isinstance(given, sections.Config) and not checks.is_mapping(given):
    raise errors.UserError(
        f'the configuration is {given!r}; it must be a changed'
        ' configs.default_config()')
  return fields.make_section(sections.Config, '', given)


def to_json(config: Given) -> dict[str, Any]:
  """The configuration as a JSON tree, tuples as lists.

  Raises:
    UserError: see `read_config`.
  """
  return json.loads(json.dumps(fields.to_tree(read_config(config))))


def from_json(tree: Mapping[str, Any]) -> ml_collections.ConfigDict:
  """The configuration of a JSON tree that `to_json` made.

  Raises:
    UserError: a field is unknown, missing, or not what it may be.
  """
  return _make_fields(read_config(_make_tuples(tree)))


def _make_tuples(tree: Any) -> Any:
  """JSON knows no tuples."""
  if isinstance(tree, Mapping):
    return {name: _make_tuples(one) for name, one in tree.items()}
  return tuple(map(_make_tuples, tree)) if isinstance(tree, list) else tree
