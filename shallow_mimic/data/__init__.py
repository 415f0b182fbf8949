"""Data: one `Dataset` type, and the sources that it can be read from.

A source of one's own is registered by the config file that uses it:

    import shallow_mimic
    from shallow_mimic import data

    def read(config, cache_dir):
      x, y = make_rings(config.seed)
      return {'train': (x[:800], y[:800]), 'test': (x[800:], y[800:])}

    def digest(config):
      return 'rings of 1,000 points'

    def shapes(config):
      return data.Shapes((2,), 3, 800 - config.dev)

    shallow_mimic.register(data.Source(
        name='rings', version='1', read=read, digest=digest, shapes=shapes))
"""

from shallow_mimic.data.dataset import Dataset, Examples
from shallow_mimic.data.sources import SOURCES
from shallow_mimic.data.sources.identity import identify_settings, source_digest
from shallow_mimic.data.sources.read import read_source
from shallow_mimic.data.sources.source import (
    Raw,
    Shapes,
    Source,
    find_registered,
    find_shapes,
    find_source,
    say_speech_sources,
)

__all__ = [
    'SOURCES', 'Dataset', 'Examples', 'Raw', 'Shapes', 'Source',
    'find_registered', 'find_shapes', 'find_source', 'identify_settings',
    'read_source', 'say_speech_sources', 'source_digest',
]
