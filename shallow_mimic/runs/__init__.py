"""How things last: files, parts, checkpoints, work directories, progress."""
