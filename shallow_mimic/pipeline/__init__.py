"""All stages in order: the only room that knows them all."""
