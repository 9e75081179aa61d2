"""A training as a Girder job runs it: its slides and its checkpoints are on the server."""

import logging
from dataclasses import replace

import large_image_source_tiff
import numpy as np
import pytest

from deeplab.bundles.read import read_card
from deeplab.config.progress import silent
from deeplab.config.train_request import TrainRequest
from deeplab.errors import AccessDeniedError
from deeplab.files import file_digest
from deeplab.training.train import train
from tests.girder_for_tests import FOLDER, ITEM, TOKEN, Shelf, fake_girder, item_routes, raw
from tests.slides_for_tests import PINK, PURPLE, write_tiff

LAYER = "1a" * 12
SHELF = "7c" * 12
SIDE, LEFT, TOP, ACROSS = 320, 60, 80, 90

pytestmark = pytest.mark.slow


class CancelledJob(BaseException):
    """What a task makes of the SIGTERM of a cancelled job."""


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """Pink tissue with one purple square."""
    rgb = np.full((SIDE, SIDE, 3), PINK, np.uint8)
    rgb[TOP : TOP + ACROSS, LEFT : LEFT + ACROSS] = PURPLE
    path = tmp_path_factory.mktemp("slides") / "painted.tiff"
    return write_tiff(path, rgb, compression="deflate")


@pytest.fixture
def girder(slide):
    """A folder with the slide, and the square drawn on it as a layer."""
    source = large_image_source_tiff.TiffFileTileSource
    routes = item_routes(lambda encoding, style: source(str(slide), encoding=encoding, style=style))
    middle = [LEFT + ACROSS / 2, TOP + ACROSS / 2, 0]
    drawn = {"type": "rectangle", "center": middle, "width": ACROSS, "height": ACROSS}
    layers = [
        {"_id": id_, "annotation": {"name": name, "elements": [drawn]}}
        for id_, name in ((LAYER, "lesion"), (ITEM, "what nobody asks for"))
    ]
    routes["item"] = [routes[f"item/{ITEM}"]]
    routes["annotation"] = layers
    routes[f"annotation/item/{ITEM}"] = layers
    with fake_girder(routes=routes) as girder:
        yield girder


def request_for(girder, folder):
    return TrainRequest(
        source=FOLDER,
        classes=("lesion",),
        output_model=folder / "model.zip",
        checkpoint_folder=SHELF,
        api_url=girder.url,
        token=TOKEN,
        steps=6,
        batch_size=2,
        patch_size=40,
        network="unet",
        depth_multiplier=0.1,
        network_options=("depth=3", "decoder_channels=4 4 4"),
        slow_start_step=1,
        validate_every=3,
        gpu=-1,
    )


def cancelled_after(steps):
    def progress(stage, done, total):
        if (stage, done) == ("train", steps):
            raise CancelledJob

    return progress


def test_a_cancelled_job_goes_on_in_another_from_what_went_up(girder, tmp_path, caplog):
    shelf = Shelf(girder, folder=SHELF)
    with pytest.raises(CancelledJob):
        train(request_for(girder, tmp_path / "first"), cancelled_after(3))
    (name,) = shelf.names()
    assert name.endswith("-000000003.zip")
    seen = []
    with caplog.at_level(logging.INFO):
        result = train(request_for(girder, tmp_path / "second"), lambda *told: seen.append(told))
    assert f"going on from {name} of the server" in caplog.text
    assert min(done for stage, done, _ in seen if stage == "train") == 4
    card = read_card(result.model)
    assert (card.classes.names, card.slides) == (("lesion",), (ITEM,))
    assert shelf.names() == [], "the model is written: its checkpoints have served"


def test_a_model_names_its_slides_its_layers_and_the_model_that_it_began_with(girder, tmp_path):
    short = {"checkpoint_folder": "", "steps": 1}
    first = replace(request_for(girder, tmp_path / "first"), **short)
    train(first, silent)
    second = replace(
        request_for(girder, tmp_path / "second"), initial_model=first.output_model, **short
    )
    card = read_card(train(second, silent).model)
    assert (card.slides, card.models) == ((ITEM,), (file_digest(first.output_model),))
    assert card.training["layers"] == LAYER


def test_another_training_starts_anew_and_leaves_the_checkpoint(girder, tmp_path):
    shelf = Shelf(girder, folder=SHELF)
    with pytest.raises(CancelledJob):
        train(request_for(girder, tmp_path / "first"), cancelled_after(3))
    seen = []
    other = replace(request_for(girder, tmp_path / "second"), seed=5, steps=2)
    train(other, lambda *told: seen.append(told))
    assert min(done for stage, done, _ in seen if stage == "train") == 1
    assert len(shelf.names()) == 1


def test_a_server_that_takes_no_checkpoint_does_not_stop_a_training(girder, tmp_path, caplog):
    Shelf(girder, folder=SHELF)
    girder.routes["file"] = 400
    result = train(request_for(girder, tmp_path), silent)
    assert result.model.exists()
    assert "did not go up to the server, training goes on" in caplog.text
    assert TOKEN not in caplog.text


def test_a_token_that_expires_says_how_the_training_goes_on(girder, tmp_path):
    Shelf(girder, folder=SHELF)
    expired = raw(b"{}", status=401)
    girder.change = lambda path, reply: expired if "/zxy/" in path else reply
    with pytest.raises(AccessDeniedError) as caught:
        train(request_for(girder, tmp_path), silent)
    said = str(caught.value)
    assert "start this again with the new token" in said
    assert "goes on from its last checkpoint when it is started again" in said
    assert TOKEN not in said


def test_a_folder_for_checkpoints_that_is_read_only_is_refused_before_slides_are_read(
    girder, tmp_path
):
    Shelf(girder, folder=SHELF, access=0)
    with pytest.raises(AccessDeniedError, match="ask its owner for write access"):
        train(request_for(girder, tmp_path), silent)
    assert not list(tmp_path.iterdir())
    assert not [path for path, _ in girder.asked if path.startswith("item")]
