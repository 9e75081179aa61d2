"""A trained model on disk: the weights and the card that says how to use them."""

from deeplab.keras_start import choose_keras

choose_keras()
