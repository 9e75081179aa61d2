"""Outlined objects in, numbers out: shape, colour, texture, neighbours."""
