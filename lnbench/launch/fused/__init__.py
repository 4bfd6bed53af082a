"""Runs of a sweep that share a backbone, trained in one pass."""
