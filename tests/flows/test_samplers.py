"""SURF's samplers from the front door: what they ask of slides is said before anything is trained."""

import numpy as np
import pytest
import shapely

from deeplab.annotations.formats.asap_xml import write_asap_xml
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab_cli.main import main
from tests.slides_for_tests import PINK, write_tiff


@pytest.fixture
def slides(tmp_path):
    """Two slides of 0.5 um with groups _0 and _2 of ASAP beside them."""
    folder = tmp_path / "slides"
    folder.mkdir()
    for name in ("a", "b"):
        rgb = np.full((600, 600, 3), PINK, np.uint8)
        write_tiff(folder / f"{name}.tif", rgb, mpp=0.5, levels=2)
        layers = (
            Layer("_0", (0, 255, 0), (Shape(shapely.box(10, 10, 200, 200)),)),
            Layer("_2", (255, 0, 0), (Shape(shapely.box(300, 300, 500, 500)),)),
        )
        write_asap_xml(folder / f"{name}.xml", Annotations(layers))
    return folder


def census(capsys, slides, *words):
    line = ["train", str(slides), str(slides.parent / "m.zip"), "--classes", "tumour"]
    code = main([*line, "--patch_size", "65", "--dry_run", "--label_map", *words])
    out, err = capsys.readouterr()
    return code, out + err


def test_a_label_map_makes_classes_and_background_of_groups(slides, capsys):
    code, said = census(capsys, slides, "_0:0 _2:1", "--data_sampler", "radboud")
    assert code == 0, said
    assert "tumour: 2 objects" in said
    assert "background: 2 objects" in said


def test_a_resolution_is_that_of_a_level(slides, capsys):
    assert census(capsys, slides, "_0:0,_2:1", "--resolution", "0.95")[0] == 0
    code, said = census(capsys, slides, "_0:0,_2:1", "--resolution", "0.7")
    assert code == 2
    assert "has no level within a tenth of 0.7 um per pixel (its levels have 0.5, 1)" in said
    (slides / "b.tif").unlink()
    code, said = census(capsys, slides, "_0:0,_2:1", "--resolution", "0.7")
    assert code == 2
    assert "error: a.tif has no level within a tenth" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["_0:0,_5:1"], "label_map names _5, and no slide has a layer or group of that name"),
        (["_0:0,_2:2"], "label_map must be labels of 0 to 1, the number of classes, but is '_2:2'"),
        (["_0,_2:1"], "label_map must be layer:label for each layer once, as _0:0 _2:1"),
        (
            ["_2:1", "--data_sampler", "radboud", "--bb_downsample", "6"],
            "bb_downsample must be left",
        ),
    ],
)
def test_one_sentence_on_what_the_samplers_cannot_take(slides, capsys, words, said):
    code, text = census(capsys, slides, *words)
    assert code == 2
    assert said in text


def test_annotations_of_another_slide_are_said_to_be(slides, capsys):
    away = Layer("_2", (255, 0, 0), (Shape(shapely.box(5000, 5000, 5100, 5100)),))
    for name in ("a", "b"):
        write_asap_xml(slides / f"{name}.xml", Annotations((away,)))
    code, said = census(capsys, slides, "_2:1")
    assert code == 2
    assert "all that was drawn lies beyond the slide; is it of another one?" in said
