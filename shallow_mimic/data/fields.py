"""Reads configurations of any kind: ConfigDict, mapping or plain object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def field(config: Any, name: str, default: Any) -> Any:
  """`config.name`, or `default` where it is absent or None.

  >>> field({'dev': 5}, 'dev', 0), field({'dev': None}, 'dev', 0)
  (5, 0)
  """
  if isinstance(config, Mapping):
    value = config.get(name)
  else:
    value = getattr(config, name, None)
  return default if value is None else value


def as_mapping(config: Any) -> dict[str, Any]:
  """The fields that are not None, of a mapping or of a ConfigDict.

  >>> as_mapping({'size': 3, 'seed': None})
  {'size': 3}
  """
  return {key: value for key, value in config.items() if value is not None}
