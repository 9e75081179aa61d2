"""Segment one slide."""
