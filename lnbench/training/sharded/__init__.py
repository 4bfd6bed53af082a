"""Trains one model on several devices."""
