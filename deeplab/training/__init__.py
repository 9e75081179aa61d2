"""Batches and a network in, a bundle out."""
