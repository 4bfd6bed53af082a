"""Finds where the parts of a transformer are, by what they compute."""
