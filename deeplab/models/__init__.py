"""Networks. A batch of RGB tiles in, named maps out."""

from deeplab.keras_start import choose_keras

choose_keras()
