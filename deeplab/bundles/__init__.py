"""A trained model on disk: the weights and the card that says how to use them."""
