"""Several views of a tile vote: scales and mirror images, with corners on corners."""

import keras
import numpy as np
import pytest

from deeplab.config.views import views_of
from deeplab.errors import ConfigError
from deeplab.models.dense.decode import predictor
from deeplab.models.outputs import SEMANTIC_LOGITS
from tests.bundles.tiny_models import noise_tile, tiny_network
from tests.openvino_for_tests import openvino_predict

ALL = ("labels", "confidence", "probabilities")
SIDE = 129  # two cells of 64 pixels


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return tiny_network()


def resized(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear with corners on corners, (h, w, c), written without the network's layers."""
    rows, columns = np.linspace(0, x.shape[0] - 1, height), np.linspace(0, x.shape[1] - 1, width)
    down = np.stack(
        [
            [np.interp(rows, np.arange(len(line)), line) for line in plane]
            for plane in x.transpose(2, 1, 0)
        ]
    )  # (c, w, height)
    both = np.stack(
        [
            [np.interp(columns, np.arange(len(line)), line) for line in plane]
            for plane in down.transpose(0, 2, 1)
        ]
    )  # (c, height, width)
    return both.transpose(1, 2, 0)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.slow
def test_probabilities_are_the_mean_over_scales_and_mirror_images_as_computed_by_hand(network):
    tile = noise_tile(SIDE)[0]
    unscaled = keras.Model(network.get_layer("normalisation").output, network.output)
    normalise = network.get_layer("normalisation")
    fine, coarse = [], []
    for side in (97, 129, 161):  # 0.75, 1, 1.25 times 128 pixels, and one
        for way in (1, -1):
            seen = resized(tile[:, ::way].astype(np.float64), side, side)
            logits = unscaled(normalise(seen[None].astype(np.float32)))[SEMANTIC_LOGITS][0]
            fine.append(softmax(resized(np.asarray(logits), SIDE, SIDE))[:, ::way])
            coarse.append(softmax(resized(np.asarray(logits), 33, 33))[:, ::way])
    views = views_of((0.75, 1, 1.25), mirrored=(False, True))
    maps = predictor(network, maps=ALL, views=views)(tile[None])
    np.testing.assert_allclose(maps["probabilities"][0], np.mean(coarse, axis=0), atol=1e-4)
    np.testing.assert_allclose(maps["confidence"][0], np.mean(coarse, axis=0).max(-1), atol=1e-4)
    mean = np.mean(fine, axis=0)
    sure = np.diff(np.sort(mean, axis=-1)[..., -2:])[..., 0] > 1e-3
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(maps["labels"][0][sure], mean.argmax(axis=-1)[sure])
    # The claim is not empty: one look gives something else.
    once = predictor(network, maps=ALL)(tile[None])
    assert np.abs(once["probabilities"] - maps["probabilities"]).max() > 0.01


@pytest.mark.slow
def test_the_mirror_image_gets_the_mirror_image_of_the_answer_to_the_last_bit(network):
    tiles = noise_tile(SIDE)
    graph = predictor(network, maps=ALL, views=views_of((0.75, 1), mirrored=(False, True)))
    maps, mirrored = graph(tiles), graph(tiles[:, :, ::-1])
    for name in ALL:
        np.testing.assert_array_equal(
            np.asarray(mirrored[name]), np.asarray(maps[name])[:, :, ::-1]
        )
    # The network itself does not know mirrors.
    alone = predictor(network, maps=("confidence",))
    straight, way_back = (alone(x)["confidence"] for x in (tiles, tiles[:, :, ::-1]))
    assert np.abs(np.asarray(straight)[:, :, ::-1] - way_back).max() > 0.01


@pytest.mark.slow
def test_openvino_takes_the_votes_and_gives_their_labels(network):
    graph = predictor(network, maps=ALL, views=views_of((1.25,), mirrored=(False, True)))
    tiles = noise_tile(SIDE)
    answers = openvino_predict(graph, SIDE)(tiles)
    expected = graph(tiles)
    assert np.mean(answers["labels"] == expected["labels"]) > 0.999
    np.testing.assert_allclose(answers["probabilities"], expected["probabilities"], atol=2e-3)


def test_several_views_have_no_logits(network):
    views = views_of((1,), mirrored=(False, True))
    with pytest.raises(ConfigError, match="maps must be some of labels, confidence, probabilities"):
        predictor(network, maps=("logits",), views=views)
