"""Trains one model on one task."""
