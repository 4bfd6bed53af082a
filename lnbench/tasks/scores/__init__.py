"""Metrics of answers and generated texts."""
