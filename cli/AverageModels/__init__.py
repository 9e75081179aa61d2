"""Average models of one network."""
