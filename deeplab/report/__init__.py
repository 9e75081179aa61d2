"""Pieces of a page that people read: HTML that loads nothing, charts, numbers in words."""
