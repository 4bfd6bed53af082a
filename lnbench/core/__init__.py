"""Basics that all other folders use: schemas, files, caches, seeds, interruption and errors."""
