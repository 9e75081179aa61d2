"""Networks. A batch of tiles in, named maps out."""

from deeplab.keras_start import choose_keras

choose_keras()
