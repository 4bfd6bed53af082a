"""Trains several runs with one pass over a shared backbone."""
