"""Runs the jobs of a sweep on this machine's GPUs and cores."""
