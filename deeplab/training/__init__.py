"""Batches and a network in, a bundle out."""

from deeplab.keras_start import choose_keras

choose_keras()
