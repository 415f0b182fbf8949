"""All stages in order: the only room that knows them all."""

from shallow_mimic.pipeline.stages import STAGES, run

__all__ = ['STAGES', 'run']
