"""Scores of generated texts against references."""
