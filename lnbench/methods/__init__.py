"""Tuning methods: one file a building block, any sum of them on one model."""
