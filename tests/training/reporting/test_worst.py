"""The layer of the worst regions: what is in it, its files, and its place on a server."""

import dataclasses

import pytest
import shapely

from deeplab.annotations.formats.girder_json import read_girder_json
from deeplab.config.classes import ClassList
from deeplab.errors import AccessDeniedError
from deeplab.evaluation.object_tally import ObjectTally
from deeplab.geometry.frames import Mpp, WorkFrame
from deeplab.server.session import Session
from deeplab.training.reporting.worst import LAYER, MOST, post_worst, worst_layers, write_worst
from deeplab.training.validation.results import Validation
from tests.girder_for_tests import ITEM, fake_girder
from tests.training.validations_for_tests import SIDE, region, validation

CLASSES = ClassList.named(["tumour", "stroma"])
OLD, THEIRS, OTHER = "1a" * 12, "2b" * 12, "3c" * 12


@pytest.fixture
def layers():
    at_1_um = WorkFrame.over(4096, 4096, Mpp.square(0.5), 1.0)
    planted = [region(i * 100, at=(i * SIDE, 0), frame=at_1_um) for i in range(15)]
    return worst_layers(validation([*planted, region(0, slide="b/c.svs")]), CLASSES, "m.zip")


def test_the_layer_has_the_worst_regions_first_with_their_share_and_what_was_mistaken(layers):
    elements = layers["a"]["elements"]
    assert len(elements) == MOST
    shares = [each["user"]["error_share"] for each in elements]
    assert shares == [pytest.approx(i * 100 / SIDE**2, abs=1e-4) for i in range(14, 4, -1)]
    assert elements[0]["label"]["value"] == "34% wrong, most: tumour taken for stroma"
    assert elements[0]["user"]["drawn"] == "tumour"
    assert elements[0]["user"]["predicted"] == "stroma"


def test_a_slide_without_errors_has_an_empty_layer(layers):
    assert layers["b/c.svs"]["elements"] == []


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        ([[0, 0, 0], [3, 9, 1], [0, 0, 9]], ", most: tumour not found as an object of its own"),
        ([[0, 0, 4], [3, 9, 1], [0, 0, 9]], ", most: stroma found where none was drawn"),
        ([[0, 0, 0], [3, 9, 4], [0, 0, 9]], ", most: tumour taken for stroma"),
        ([[0, 0, 0], [0, 9, 0], [0, 0, 9]], ""),
    ],
)
def test_of_objects_it_is_said_what_was_missed_and_what_is_none(matrix, said):
    counts = ObjectTally.empty(2).counts
    counts[:, -3:] = matrix
    counts[:, :4] = 10, 10, 9, 8.1  # of each class: drawn, predicted, matched, IoU of these
    piece = dataclasses.replace(region(0), tally=ObjectTally.of(counts))
    score = dataclasses.replace(validation([region(0)]).slides[0], tally=piece.tally)
    of_objects = Validation(step=1, nothing=ObjectTally.empty(2), slides=(score,), regions=(piece,))
    (element,) = worst_layers(of_objects, CLASSES, "m.zip")["a"]["elements"]
    assert element["label"]["value"] == f"PQ 0.810{said}"


def test_the_files_can_be_opened_and_lie_on_the_slide_in_level_0_pixels(layers, tmp_path):
    first, second = write_worst(tmp_path / "worst", layers)
    shapes = read_girder_json(first).layer(LAYER).shapes
    side = 2 * SIDE  # at 1 um per pixel on a slide of 0.5
    assert shapes[0].polygon.equals(shapely.box(14 * side, 0, 15 * side, side))
    assert second.name == "02 b_c.svs.anot"
    assert list(tmp_path.rglob("*.anot")) == [first, second]


def of(annotation_id, name, **attributes):
    return {
        "_id": annotation_id,
        "annotation": {"name": name, "attributes": attributes, "elements": []},
    }


@pytest.fixture
def routes():
    """An item with a layer of an earlier training, one of that name by a person, and another."""
    stored = [of(OLD, LAYER, cli="TrainNetwork"), of(THEIRS, LAYER), of(OTHER, "tumour")]
    found = {f"annotation/{each['_id']}": each for each in stored}
    return {**found, "annotation": stored, f"annotation/item/{ITEM}": {}}


def test_the_layer_of_an_earlier_training_is_replaced_and_those_of_others_stay(layers, routes):
    with fake_girder(routes=routes) as girder, Session(girder.login) as session:
        post_worst(session, layers["a"], ITEM)
        assert girder.posted == [[layers["a"]]]
        assert girder.deleted == [f"annotation/{OLD}"]


def test_where_the_server_refuses_the_new_layer_the_old_one_stays(layers, routes):
    routes[f"annotation/item/{ITEM}"] = 403
    with fake_girder(routes=routes) as girder, Session(girder.login) as session:
        with pytest.raises(AccessDeniedError):
            post_worst(session, layers["a"], ITEM)
        assert girder.deleted == []
