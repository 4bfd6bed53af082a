"""The ground: schemas, files, caches, seeds, interruption and errors."""
