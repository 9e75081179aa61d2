"""Annotations of slides into files."""
