"""Experiments that run until they decide: which runs a question needs next, and what the runs say so far."""
