"""Several trained classifiers of patches whose probabilities are averaged."""
