"""Annotations from one file format into another."""
