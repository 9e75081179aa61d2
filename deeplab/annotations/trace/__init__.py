"""Pixels to shapes, and their outlines simplified."""
