"""All stages in order: the only room that knows them all."""

from shallow_mimic import packages

packages.require('run')  # One line, before an import fails.

from shallow_mimic.pipeline.registered import read_last_config  # noqa: E402
from shallow_mimic.pipeline.side_by_side import write_side_by_side  # noqa: E402
from shallow_mimic.pipeline.stages import STAGES, read_run, run, write_report  # noqa: E402

__all__ = [
    'STAGES', 'read_last_config', 'read_run', 'run', 'write_report',
    'write_side_by_side',
]
