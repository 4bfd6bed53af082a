"""Tuning methods. Each file holds one building block, and one model takes any sum of them."""
