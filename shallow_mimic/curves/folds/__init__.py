"""Every speaker tested in turn: folds pooled, learning curves."""
