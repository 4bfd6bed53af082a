"""Logs runs to Weights & Biases."""
