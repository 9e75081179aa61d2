"""Slides and annotations in, training batches out."""
