"""Trains runs of a sweep that share a backbone in one pass."""
