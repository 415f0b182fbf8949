"""All stages in order: the only room that knows them all."""

from shallow_mimic import packages

packages.require('run')  # One line, before an import fails.

from shallow_mimic.pipeline.stages import STAGES, read_run, run, write_report  # noqa: E402

__all__ = ['STAGES', 'read_run', 'run', 'write_report']
