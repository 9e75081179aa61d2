"""Whole-slide segmentation that pathologists train and run from HistomicsUI."""

__version__ = "0.1.0"
