"""Where data come from: a file a source, and transfer sets."""
