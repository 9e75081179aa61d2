"""Pixels off a slide, at the microns per pixel you ask for: a local file or a Girder item."""
