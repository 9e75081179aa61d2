"""Feature extractors: RGB in, a pyramid of feature maps by stride out."""
