"""Data: one `Dataset` type, and the sources that it can be read from."""
