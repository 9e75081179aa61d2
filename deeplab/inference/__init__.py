"""A slide and a bundle in, annotations out."""

from deeplab.keras_start import choose_keras

choose_keras()
