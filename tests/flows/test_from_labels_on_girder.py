"""A training from labels as a Girder job runs it: regions, stages and checkpoints on the server."""

import logging

import large_image_source_tiff
import numpy as np
import pytest

from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab.bundles.weights import named_weights
from deeplab.config.from_labels_request import FromLabelsRequest
from deeplab.config.progress import silent
from deeplab.errors import AccessDeniedError, ConfigError
from deeplab.training.from_labels import train_from_labels
from deeplab.training.train import train_once
from tests.flows.test_from_labels import SHARED, UNET
from tests.flows.weak_labels_for_tests import CLASSES, SIDE, halves, paint
from tests.girder_for_tests import FOLDER, ITEM, TOKEN, Shelf, fake_girder, item_routes
from tests.slides_for_tests import write_tiff

SHELF = "7c" * 12
ACROSS = 4 * SIDE  # of the slide, one half of which is of each class
STEPS = ("steps=8", "validate_every=4")

pytestmark = pytest.mark.slow


class CancelledJob(BaseException):
    """What a task makes of the SIGTERM of a cancelled job."""


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slides") / "painted.tiff"
    return write_tiff(path, paint(halves(0, 1, side=ACROSS)), compression="deflate")


@pytest.fixture
def girder(slide):
    """A folder with the slide, on which a region of each class is drawn."""
    source = large_image_source_tiff.TiffFileTileSource
    routes = item_routes(lambda encoding, style: source(str(slide), encoding=encoding, style=style))
    layers = [
        {"_id": f"{at}f" * 12, "annotation": {"name": name, "elements": [half(at)]}}
        for at, name in enumerate(CLASSES)
    ]
    routes["item"] = [routes[f"item/{ITEM}"]]
    routes["annotation"] = layers
    routes[f"annotation/item/{ITEM}"] = layers
    routes |= {f"annotation/{layer['_id']}": layer for layer in layers}
    with fake_girder(routes=routes) as girder:
        yield girder


def half(at):
    middle = [ACROSS / 4 + at * ACROSS / 2, ACROSS / 2, 0]
    return {"type": "rectangle", "center": middle, "width": ACROSS / 2, "height": ACROSS}


def asked(girder, folder, **more):
    return FromLabelsRequest(
        **{
            "source": FOLDER,
            "output_model": folder / "model.zip",
            "classes": CLASSES,
            "patch_size": SIDE,
            "classifier": (*SHARED, *STEPS),
            "segmenter": (*UNET, *STEPS),
            "checkpoint_minutes": 0,
            "checkpoint_folder": SHELF,
            "api_url": girder.url,
            "token": TOKEN,
            "gpu": -1,
        }
        | more
    )


def train(request, cancelled=("", 0)):
    """Train, cancelled where a stage is at a step, and return what was told of the progress."""
    seen = []

    def progress(stage, done, total):
        seen.append((stage, done))
        if (stage, done) == cancelled:
            raise CancelledJob

    train_from_labels(request, progress, train_once)
    return seen


def weights(model):
    return {n: v.numpy() for n, v in named_weights(load_bundle(model).network).items()}


def test_a_cancelled_job_goes_on_in_another_from_what_went_up(girder, tmp_path, caplog):
    unbroken = asked(girder, tmp_path / "unbroken", checkpoint_folder="")
    train(unbroken)
    shelf = Shelf(girder, folder=SHELF)
    with pytest.raises(CancelledJob):
        train(asked(girder, tmp_path / "first"), ("stage 1, classifier: train", 6))
    (name,) = shelf.names()
    assert name.startswith("deeplab-checkpoint-")
    with pytest.raises(CancelledJob):
        train(asked(girder, tmp_path / "second"), ("stage 2, segmenter: train", 6))
    assert [name.rsplit("-", 2)[0] for name in shelf.names()] == [
        "deeplab-checkpoint",
        "deeplab-stage-classifier",
        "deeplab-stage-pseudo-masks",
    ]
    third = asked(girder, tmp_path / "third")
    with caplog.at_level(logging.INFO):
        seen = train(third)
    stages = {stage for stage, _ in seen}
    assert not {stage for stage in stages if stage.startswith(("stage 1", "pseudo masks"))}
    assert min(done for stage, done in seen if stage == "stage 2, segmenter: train") > 4
    one, other = weights(unbroken.output_model), weights(third.output_model)
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
    assert read_card(third.output_model).slides == (ITEM,), "its lineage is told on the server"
    assert shelf.names() == [], "the model is written: what led to it has served"
    assert TOKEN not in caplog.text


def test_a_damaged_stage_is_done_again(girder, tmp_path, caplog):
    shelf = Shelf(girder, folder=SHELF)
    with pytest.raises(CancelledJob):
        train(asked(girder, tmp_path / "first"), ("stage 2, segmenter: train", 1))
    ((number, (name, content)),) = (i for i in shelf.items.items() if "classifier" in i[1][0])
    del shelf.items[number]
    shelf.put(name, content[: len(content) // 2])
    seen = train(asked(girder, tmp_path / "second"))
    assert f"{name} cannot be gone on from" in caplog.text
    assert ("stage 1, classifier: train", 1) in seen
    # What the lost one led to stays: another bundle says when it was trained, and is another file.
    assert not [left for left in shelf.names() if "classifier" in left]


def test_a_server_that_takes_no_stage_does_not_stop_the_work(girder, tmp_path, caplog):
    Shelf(girder, folder=SHELF)
    girder.routes["file"] = 400
    request = asked(girder, tmp_path)
    train(request)
    assert request.output_model.exists()
    assert "did not go up to the server, the work goes on" in caplog.text
    assert TOKEN not in caplog.text


def test_a_folder_that_is_read_only_is_refused_before_regions_are_cut(girder, tmp_path):
    Shelf(girder, folder=SHELF, access=0)
    with pytest.raises(AccessDeniedError, match="ask its owner for write access"):
        train_from_labels(asked(girder, tmp_path), silent, train_once)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_no_server_is_refused(tmp_path, girder):
    with pytest.raises(ConfigError, match="checkpoint_folder must be left away where no server"):
        asked(girder, tmp_path, source=str(tmp_path), api_url="")
