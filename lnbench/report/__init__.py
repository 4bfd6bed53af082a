"""Turns records into tables, plots and verdicts that people read."""
