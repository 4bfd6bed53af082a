"""Hydra launchers: where and when the jobs of a sweep run."""
