"""Several trained networks whose probabilities are averaged."""
