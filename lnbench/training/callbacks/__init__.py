"""Callbacks that measure, show and save during training."""
