"""Models that other programs trained, one file per origin."""
