"""Classify the patches of one slide."""
