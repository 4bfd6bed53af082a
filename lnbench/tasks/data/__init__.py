"""Finds, reads, splits and caches data."""
