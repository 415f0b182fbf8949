"""Where things lie: the clone, and the real data beside it."""

import pathlib

ROOT = pathlib.Path(__file__).parents[2]
SHARED = ROOT.parent / 'shared'
