"""Hydra launchers, which decide where and when the jobs of a sweep run."""
