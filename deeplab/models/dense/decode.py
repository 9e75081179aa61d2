"""From logits to labels, inside the graph: what leaves the device is one byte a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Protocol

import keras
from keras import ops

from deeplab.config.views import QUARTERS, View
from deeplab.errors import ConfigError
from deeplab.models.layers.resize import (
    ResizeLike,
    ResizePixels,
    ResizePixelsLike,
    Tensor,
    resize_align_corners,
)
from deeplab.models.outputs import (
    CONFIDENCE,
    LABELS,
    LOGITS,
    PROBABILITIES,
    SEMANTIC_LOGITS,
    PredictedMap,
)

AS_IT_IS = (View(),)
TRIAL = 128  # work pixels, a side that networks with a logit for each pixel take


def likeliest(scores: Tensor) -> Tensor:
    """Labels uint8 (n, h, w) of scores (n, h, w, c): the highest, the lowest label of equals."""
    # Not `ops.argmax`: OpenVINO cannot take all it is made of.
    best = ops.equal(scores, ops.max(scores, axis=-1, keepdims=True))
    index = ops.arange(int(scores.shape[-1]), dtype="float32")
    return ops.cast(ops.min(ops.where(best, index, 255.0), axis=-1), "uint8")


def labels_of(logits: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Labels uint8 (n, height, width) of logits (n, h, w, c), upsampled before the argmax."""
    return likeliest(resize_align_corners(ops.cast(logits, "float32"), height, width))


@keras.saving.register_keras_serializable(package="deeplab")
class Labels(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Labels of logits at the size of a second map."""

    def call(self, maps: tuple[Tensor, Tensor]) -> Tensor:
        """Logits (n, h, w, c) and any (n, h2, w2, d) to labels uint8 (n, h2, w2)."""
        logits, like = maps
        return labels_of(logits, ops.shape(like)[1], ops.shape(like)[2])

    def compute_output_spec(self, maps: tuple[Tensor, Tensor]) -> keras.KerasTensor:
        """Shape and type of the result."""
        return keras.KerasTensor(maps[1].shape[:3], "uint8")


@keras.saving.register_keras_serializable(package="deeplab")
class Likeliest(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Labels of scores, pixel by pixel."""

    def call(self, scores: Tensor) -> Tensor:
        """Scores (n, h, w, c) to labels uint8 (n, h, w)."""
        return likeliest(scores)


@keras.saving.register_keras_serializable(package="deeplab")
class Scaled(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """A map resized to `times`/`over` of its steps from pixel to pixel: corners stay on corners."""

    def __init__(self, times: int, over: int, **layer: Any) -> None:  # noqa: ANN401  keras' own
        super().__init__(**layer)
        self.times, self.over = times, over

    def _side(self, side: Tensor) -> Tensor:
        return (side - 1) * self.times // self.over + 1

    def call(self, x: Tensor) -> Tensor:
        """Maps (n, h, w, c) to float32 of the other size."""
        height, width = ops.shape(x)[1:3]
        return resize_align_corners(ops.cast(x, "float32"), self._side(height), self._side(width))

    def compute_output_spec(self, x: Tensor) -> keras.KerasTensor:
        """Shape and type of the result."""
        sides = (None if side is None else self._side(side) for side in x.shape[1:3])
        return keras.KerasTensor((x.shape[0], *sides, x.shape[3]), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        return {**super().get_config(), "times": self.times, "over": self.over}


class Grid(Protocol):
    """How the logits of a network lie on its tiles."""

    def labels(self, logits: Tensor, tile: Tensor) -> Tensor:
        """Return the label of each pixel of a tile: uint8 (n, h, w)."""

    def scaled(self, x: Tensor, times: int, over: int) -> Tensor:
        """Return a map as it is in a tile that was resized by `times`/`over`."""

    def as_fine(self, logits: Tensor, tile: Tensor) -> Tensor:
        """Return logits at each pixel of a tile of another scale."""


class Corners:
    """Sides of 16 k + 1: the corners of all maps lie on the tile's, whatever their strides."""

    def labels(self, logits: Tensor, tile: Tensor) -> Tensor:
        """See `Grid`."""
        return Labels(name=LABELS)([logits, tile])

    def scaled(self, x: Tensor, times: int, over: int) -> Tensor:
        """See `Grid`."""
        return Scaled(times, over)(x)

    def as_fine(self, logits: Tensor, tile: Tensor) -> Tensor:
        """See `Grid`."""
        return ResizeLike()([logits, tile])


class Pixels:
    """A logit a pixel: a tile that is resized has its borders, not its corners, where they were."""

    def labels(self, logits: Tensor, _: Tensor) -> Tensor:
        """See `Grid`."""
        return Likeliest(name=LABELS)(logits)

    def scaled(self, x: Tensor, times: int, over: int) -> Tensor:
        """See `Grid`."""
        return ResizePixels(times, over)(x)

    def as_fine(self, logits: Tensor, tile: Tensor) -> Tensor:
        """See `Grid`."""
        return ResizePixelsLike()([logits, tile])


def predictor(
    network: keras.Model,
    *,
    tile: int | None = None,
    maps: Sequence[PredictedMap] = ("labels", "confidence"),
    views: Sequence[View] = AS_IT_IS,
) -> keras.Model:
    """`network` for tiles: uint8 RGB (n, tile, tile, 3) in, the maps asked for out.

    Without `tile` the graph takes any tiles of the network's; with it sizes are known beforehand.
    Several views of a tile vote: their probabilities are averaged, for the labels at every pixel.

    Raises:
        ConfigError: a map is unknown, or not there for several views.
    """
    grid = Pixels() if _answers_each_pixel(network) else Corners()
    rgb = keras.Input((tile, tile, network.input.shape[-1]), dtype="uint8", name="rgb")
    as_it_is = tuple(views) == AS_IT_IS
    answers = _answers(network, grid, rgb) if as_it_is else _votes(network, grid, rgb, views)
    if not maps or not set(maps) <= set(answers):
        raise ConfigError("maps", tuple(maps), "some of " + ", ".join(answers))
    return keras.Model(rgb, {name: answers[name] for name in maps}, name="predictor")


def _answers_each_pixel(network: keras.Model) -> bool:
    """Tell whether a network has a logit for each pixel of a tile."""
    tile = keras.KerasTensor((1, TRIAL, TRIAL, network.input.shape[-1]), "uint8")
    logits = network.compute_output_spec(tile)[SEMANTIC_LOGITS]
    return bool(logits.shape[1] == TRIAL)


def _answers(network: keras.Model, grid: Grid, rgb: Tensor) -> dict[PredictedMap, Tensor]:
    """Return every map of a tile as it is."""
    logits = network(rgb)[SEMANTIC_LOGITS]
    probabilities = ops.softmax(logits)
    return {
        LABELS: grid.labels(logits, rgb),
        CONFIDENCE: ops.max(probabilities, axis=-1),
        PROBABILITIES: probabilities,
        LOGITS: logits,
    }


def _votes(
    network: keras.Model, grid: Grid, rgb: Tensor, views: Sequence[View]
) -> dict[PredictedMap, Tensor]:
    """Return every map of a tile that is seen in several ways.

    A tile and its mirror image get answers that are mirror images to the last bit: the ways of one
    scale are added before the scales are, and a sum of two does not depend on their order.
    """
    normalisation = network.get_layer("normalisation")
    # Past the input, which is uint8: a resized tile has values between.
    trunk = keras.Model(normalisation.output, network.output, name="trunk")

    def seen(view: View) -> tuple[Tensor, Tensor]:
        """Probabilities at every pixel, and on the grid of the logits of the tile as it is."""
        x = _mirrored(rgb) if view.mirrored else rgb
        logits = trunk(normalisation(grid.scaled(x, view.quarters, QUARTERS)))[SEMANTIC_LOGITS]
        fine = ops.softmax(grid.as_fine(logits, rgb))
        coarse = ops.softmax(grid.scaled(logits, QUARTERS, view.quarters))
        return (_mirrored(fine), _mirrored(coarse)) if view.mirrored else (fine, coarse)

    sums = []
    for _, ways in groupby(views, key=lambda view: view.quarters):
        sums.append([sum(maps) for maps in zip(*map(seen, ways), strict=True)])
    fine, coarse = (sum(maps) / len(views) for maps in zip(*sums, strict=True))
    return {
        LABELS: Likeliest(name=LABELS)(fine),
        CONFIDENCE: ops.max(coarse, axis=-1),
        PROBABILITIES: coarse,
    }


def _mirrored(x: Tensor) -> Tensor:
    return ops.flip(x, axis=2)
