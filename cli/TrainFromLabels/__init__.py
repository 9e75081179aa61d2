"""Train a network on regions or patches of which the classes are known."""
