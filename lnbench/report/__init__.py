"""Turns records into something a person reads."""
