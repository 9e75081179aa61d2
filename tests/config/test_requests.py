"""What can be refused of a request is refused when it is made."""

from pathlib import Path

import pytest

from deeplab.config.checks import check_kind_of_file
from deeplab.config.evaluate_request import EvaluateRequest
from deeplab.config.features_request import FeaturesRequest
from deeplab.config.import_request import ImportRequest
from deeplab.config.requests import AverageRequest, SegmentRequest
from deeplab.config.train_request import TrainRequest
from deeplab.errors import ConfigError

SEGMENT = {"slide": "s.svs", "model": Path("m.zip"), "output_annotation": Path("a.anot")}
TRAIN = {"source": "slides", "output_model": Path("m.zip"), "classes": ("nuclei",)}
ITEM = "5f" * 12
GIRDER = {"slide": ITEM, "api_url": "http://girder.example/api/v1", "token": "secret"}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"slide_mpp": -1.0}, "slide_mpp must be at least 0"),
        ({"slide_mpp": float("nan")}, "slide_mpp must be at least 0"),
        ({"tile_size": 10}, "tile_size must be at least 65"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"tissue": "maybe"}, "tissue must be one of auto, off"),
        ({"regions": (((0, 0), (1, 1)),)}, "region must be a rectangle or a polygon"),
        ({"work_mpp": 0.5, "wsi_downsample": 2.0}, "wsi_downsample must be 0 where work_mpp"),
        ({"output_annotation": None}, "at least one file to write"),
        ({"output_overlay": Path("a.JPG")}, "output_overlay must be a file of type .png"),
        ({"output_table": Path("a.xlsx")}, "output_table must be a file of type .csv"),
        ({"object_type": "nucleus"}, "object_type must be one of auto, annotation, detection"),
        ({"object_type": "cell"}, "object_type must be auto where no GeoJSON is written"),
    ],
)
def test_an_impossible_segmentation_is_refused(changed, sentence):
    with pytest.raises(ConfigError, match=sentence):
        SegmentRequest(**SEGMENT | changed)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"classes": ()}, "classes must be at least one name"),
        ({"learning_rate": 0.0}, "learning_rate must be at least"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": 9, "global_step": 2, "decay_steps": 10}, "decay_steps must be at least 11"),
        ({"augment": 2.0}, "augment must be from 0 to 1"),
        ({"validation_fraction": 1.0}, "validation_fraction must be below 1"),
        ({"optimizer": "sgd"}, "optimizer must be one of adamw, momentum"),
        ({"wsi_downsample": (1.0, 0.5)}, "wsi_downsample must be at least 1"),
        ({"output_stride": 12}, "output_stride must be one of 8, 16"),
        ({"class_shares": (1, 1, 1)}, r"class_shares must be 2 numbers, the background's first"),
        ({"output_model": Path("m.keras")}, "output_model must be a file of type .zip"),
        ({"output_report": Path("m.pdf")}, "output_report must be a file of type .html or .htm"),
        ({"class_weights": (1,)}, r"class_weights must be 2 numbers, the background's first"),
    ],
)
def test_an_impossible_training_is_refused(changed, sentence):
    with pytest.raises(ConfigError, match=sentence):
        TrainRequest(**TRAIN | changed)


def test_a_slide_on_a_server_needs_no_file_to_write():
    request = SegmentRequest(model=Path("m.zip"), **GIRDER)
    assert request.post_annotation == "auto"


def test_a_path_is_no_item_of_a_server():
    with pytest.raises(ConfigError, match="must be the id of"):
        SegmentRequest(**SEGMENT | GIRDER | {"slide": "../s.svs"})


@pytest.mark.parametrize("word", ["a b", "a/b", "ä", "a\n", "x" * 65])
def test_a_servers_word_is_a_plain_one(word):
    with pytest.raises(ConfigError, match="result_id must be at most 64 letters, digits, _ and -"):
        SegmentRequest(model=Path("m.zip"), result_id=word, **GIRDER)


def test_a_token_shows_in_no_text():
    assert "secret" not in repr(SegmentRequest(model=Path("m.zip"), **GIRDER))


@pytest.mark.parametrize("name", ["a", "a.CSV", "a.v2", "2026.11.29", "a.txt"])
def test_a_suffix_that_stands_for_no_other_kind_is_part_of_a_name(name):
    check_kind_of_file("output_table", Path(name), ".csv")


@pytest.mark.parametrize(
    ("request_of", "given"),
    [
        (FeaturesRequest, {"source": "s", "output_workbook": Path("a.xls")}),
        (FeaturesRequest, {"source": "s", "output_table": Path("a.tsv")}),
        (FeaturesRequest, {"source": "s", "output_report": Path("a.pdf")}),
        (EvaluateRequest, {"reference": "s", "output_table": Path("a.xlsx")}),
        (EvaluateRequest, {"reference": "s", "output_report": Path("a.docx")}),
        (AverageRequest, {"source": "s", "output_model": Path("a.h5")}),
        (ImportRequest, {"source": Path("s"), "output": Path("a.onnx")}),
    ],
)
def test_the_suffix_of_a_result_says_what_it_is(request_of, given):
    with pytest.raises(ConfigError, match=r"must be a file of type \.\w+"):
        request_of(**given)
