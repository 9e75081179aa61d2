"""From logits to labels, inside the graph: what leaves the device is one byte a pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, ClassVar, Protocol

import keras
from keras import ops

from deeplab.config.views import AS_IT_IS, QUARTERS, View
from deeplab.errors import ConfigError
from deeplab.models.layers.crop import crop
from deeplab.models.layers.resize import (
    ResizeLike,
    ResizePixels,
    ResizePixelsLike,
    Tensor,
    enlarge_align_corners,
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

DECODER = ("decoder.", "logits")  # how the names of the layers of every decoder begin
TRIAL = 128  # work pixels, a side that networks with a logit for each pixel take


def likeliest(scores: Tensor) -> Tensor:
    """Labels uint8 (n, h, w) of scores (n, h, w, c): the highest, the lowest label of equals."""
    # Not `ops.argmax`: OpenVINO cannot take all it is made of.
    best = ops.equal(scores, ops.max(scores, axis=-1, keepdims=True))
    index = ops.arange(int(scores.shape[-1]), dtype="float32")
    return ops.cast(ops.min(ops.where(best, index, 255.0), axis=-1), "uint8")


def labels_of(logits: Tensor, stride: int) -> Tensor:
    """Labels uint8 of logits (n, h, w, c), upsampled before the argmax.

    They are (n, (h - 1) stride + 1, (w - 1) stride + 1), corners on corners.
    """
    return likeliest(enlarge_align_corners(ops.cast(logits, "float32"), stride))


@keras.saving.register_keras_serializable(package="deeplab")
class Labels(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Labels of logits that lie on every `stride`-th pixel."""

    def __init__(self, stride: int, **layer: Any) -> None:  # noqa: ANN401  keras' own
        super().__init__(**layer)
        self.stride = stride

    def call(self, logits: Tensor) -> Tensor:
        """Logits (n, h, w, c) to labels uint8 (n, (h - 1) stride + 1, (w - 1) stride + 1)."""
        return labels_of(logits, self.stride)

    def compute_output_spec(self, logits: Tensor) -> keras.KerasTensor:
        """Shape and type of the result."""
        sides = (side and (side - 1) * self.stride + 1 for side in logits.shape[1:3])
        return keras.KerasTensor((logits.shape[0], *sides), "uint8")

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        return {**super().get_config(), "stride": self.stride}


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


@keras.saving.register_keras_serializable(package="deeplab")
class Trim(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """The middle of a map: what lies so many pixels of its tile within its borders.

    Where `corners` is set the corners of a map lie on those of its tile, else its borders do.
    """

    def __init__(self, *, corners: bool, **layer: Any) -> None:  # noqa: ANN401  keras' own
        super().__init__(**layer)
        self.corners = corners

    def call(self, maps: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Map (n, h, w, c), tile (n, H, W, d) and pixels int32 () to (n, h - 2 k, w - 2 k, c).

        The pixels are k whole cells.
        """
        x, tile, pixels = maps
        last = int(self.corners)
        cells = pixels * (ops.shape(x)[1] - last) // (ops.shape(tile)[1] - last)
        return crop(x, cells)

    def compute_output_spec(self, maps: tuple[Tensor, Tensor, Tensor]) -> keras.KerasTensor:
        """Shape and type of the result."""
        x = maps[0]
        return keras.KerasTensor((x.shape[0], None, None, x.shape[3]), x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        return {**super().get_config(), "corners": self.corners}


class Grid(Protocol):
    """How the logits of a network lie on its tiles."""

    corners: ClassVar[bool]  # whether the corners of all maps lie on each other, or the borders

    def labels(self, logits: Tensor) -> Tensor:
        """Return the label of each pixel of a tile: uint8 (n, h, w)."""

    def scaled(self, x: Tensor, times: int, over: int) -> Tensor:
        """Return a map as it is in a tile that was resized by `times`/`over`."""

    def as_fine(self, logits: Tensor, tile: Tensor) -> Tensor:
        """Return logits at each pixel of a tile of another scale."""


class Corners:
    """Sides of 16 k + 1: the corners of all maps lie on the tile's, whatever their strides."""

    corners: ClassVar[bool] = True

    def __init__(self, stride: int) -> None:
        self._stride = stride  # pixels from one logit to the next

    def labels(self, logits: Tensor) -> Tensor:
        """See `Grid`."""
        return Labels(self._stride, name=LABELS)(logits)

    def scaled(self, x: Tensor, times: int, over: int) -> Tensor:
        """See `Grid`."""
        return Scaled(times, over)(x)

    def as_fine(self, logits: Tensor, tile: Tensor) -> Tensor:
        """See `Grid`."""
        return ResizeLike()([logits, tile])


class Pixels:
    """A logit a pixel: a tile that is resized has its borders, not its corners, where they were."""

    corners: ClassVar[bool] = False

    def labels(self, logits: Tensor) -> Tensor:
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
    grid = _grid(network)
    rgb = keras.Input((tile, tile, network.input.shape[-1]), dtype="uint8", name="rgb")
    if tuple(views) == AS_IT_IS:
        answers = _answers(network(rgb)[SEMANTIC_LOGITS], grid)
    else:
        answers = _votes(network, grid, rgb, views)
    return keras.Model(rgb, _asked(maps, answers), name="predictor")


def trimming_predictor(network: keras.Model, *, maps: Sequence[PredictedMap]) -> keras.Model:
    """Return what `predictor` does, but for a graph that answers the middle of its tiles.

    Beside tiles "rgb" it takes "trim", int32 (): the pixels at each side of a tile that need no
    answer, whole cells of the coarsest map. From the decoder on nothing is computed there; the
    decoder is what the layers are whose names begin with "decoder." or "logits".

    Raises:
        ConfigError: a map is unknown.
    """
    grid = _grid(network)
    inputs, outputs = trimmed(network, corners=grid.corners)
    answers = _answers(outputs[SEMANTIC_LOGITS], grid)
    return keras.Model(inputs, _asked(maps, answers), name="predictor")


def trimmed(network: keras.Model, *, corners: bool) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Return tiles and "trim" as `trimming_predictor` takes them, and what a network makes of them.

    Where `corners` is set the corners of all maps lie on each other, else their borders do.
    """
    rgb = keras.Input((None, None, network.input.shape[-1]), dtype="uint8", name="rgb")
    pixels = keras.Input(batch_shape=(), dtype="int32", name="trim")
    seen = _seen_by_decoder(network)
    middle = Trim(corners=corners, name="middle")
    whole = keras.Model(network.input, seen, name="encoder")(rgb)
    outputs = keras.Model(seen, network.output, name="decoder")(
        [middle([x, rgb, pixels]) for x in whole]
    )
    return [rgb, pixels], outputs


def _seen_by_decoder(network: keras.Model) -> list[Tensor]:
    """Return the maps of the encoder that the decoder takes in, each once."""
    decoder = [layer for layer in network.layers if layer.name.startswith(DECODER)]
    own = {id(layer.output) for layer in decoder}
    taken = (x for layer in decoder for x in keras.tree.flatten(layer.input) if id(x) not in own)
    return list({id(x): x for x in taken}.values())


def _asked(
    maps: Sequence[PredictedMap], answers: Mapping[PredictedMap, Tensor]
) -> dict[PredictedMap, Tensor]:
    if not maps or not set(maps) <= set(answers):
        raise ConfigError("maps", tuple(maps), "some of " + ", ".join(answers))
    return {name: answers[name] for name in maps}


def _grid(network: keras.Model) -> Grid:
    """Return how the logits of a network lie on its tiles, as they do on a small one."""
    if _logit_side(network, TRIAL) == TRIAL:
        return Pixels()
    return Corners(stride=TRIAL // (_logit_side(network, TRIAL + 1) - 1))


def _logit_side(network: keras.Model, side: int) -> int:
    tile = keras.KerasTensor((1, side, side, network.input.shape[-1]), "uint8")
    return int(network.compute_output_spec(tile)[SEMANTIC_LOGITS].shape[1])


def _answers(logits: Tensor, grid: Grid) -> dict[PredictedMap, Tensor]:
    """Return every map of a tile as it is."""
    probabilities = ops.softmax(logits)
    return {
        LABELS: grid.labels(logits),
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
