"""What data are made from: what their files hold, and what is done to it.

Where files lie and how old they are is no part of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shallow_mimic.data.preprocessing import parse_step
from shallow_mimic.data.sources import transfer
from shallow_mimic.data.sources.source import find_digest, find_source, present
from shallow_mimic.runs import files

if TYPE_CHECKING:
  from shallow_mimic import configs

# Of the section and of transfer sets: where things lie.
_PLACES = ('path', 'data_dir')
# With those, fields of which other values give the same bits: `memory_gib` is
# of training, and three are of plans.
_NO_CONTENT = (*_PLACES, 'memory_gib', 'input_shape', 'classes', 'examples')
# The labels of the stage `teachers`, not those of the data.
_OF_TEACHERS = ('realign', 'aligner')


def source_digest(config: configs.Data) -> str:
  """SHA-256 that changes when what the source's files hold does.

  Of what the source says (of the `.npz`, of every file of a TFDS data set or
  of a corpus, of the version of the `mnist1d` package), the version of a
  registered source, and of the files that transfer sets are read from; not of
  the configuration, nor of where files lie or how old they are.

  Raises:
    MissingError: a file or folder is not there.
    UserError: one cannot be read.
  """
  return files.digest_json(
      find_digest(config) | transfer.transfer_digests(config))


def identify_settings(config: configs.Data) -> dict[str, Any]:
  """What of a configuration changes what the data are, as a JSON tree.

  The configuration's own names, without places: `source_digest` tells what
  lies there. Steps and transfer sets have all of their options.

  Raises:
    UserError: an unknown preprocessing step, or a transfer set is refused.
  """
  tree = _without(_as_json(config), _NO_CONTENT)
  tree['splits'] = present(tree['splits'])
  tree['preprocessing'] = [[*parse_step(step)] for step in config.preprocessing]
  tree['transfer'] = {
      name: _without(_as_json(spec), _PLACES)
      for name, spec in transfer.transfer_specs(config).items()}
  speech = _without(tree.pop('speech'), _OF_TEACHERS)
  return tree | ({'speech': speech} if find_source(config).speech else {})


def _as_json(value: Any) -> Any:
  """Sections and mappings as dicts, tuples as lists."""
  if hasattr(value, 'items') or dataclasses.is_dataclass(value):
    tree = value if hasattr(value, 'items') else vars(value)
    return {key: _as_json(one) for key, one in tree.items()}
  return [*map(_as_json, value)] if isinstance(value, list | tuple) else value


def _without(tree: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
  return {key: value for key, value in tree.items() if key not in keys}
