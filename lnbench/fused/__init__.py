"""Runs that train together in one process: one pass of their shared backbone does the steps of all."""
