"""Where data come from: one file a source, and the list of them."""

from shallow_mimic.data.sources import arrays, mnist1d, tfds, timit
from shallow_mimic.data.sources.source import Source
from shallow_mimic.registry import Registry

SOURCES = (mnist1d.SOURCE, tfds.SOURCE, arrays.SOURCE, timit.SOURCE)
Source.registry = Registry('data source', SOURCES)
