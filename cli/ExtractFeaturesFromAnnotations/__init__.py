"""Measure outlined objects."""
