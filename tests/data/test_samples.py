"""Finding slides and annotations, and splitting them by patient."""

import json

import numpy as np
import pytest
from PIL import Image

from deeplab.data.labelling import Labelling
from deeplab.data.samples import find_samples
from deeplab.errors import ConfigError, TrainingError

SQUARE = {
    "name": "glomerulus",
    "elements": [
        {
            "type": "polyline",
            "closed": True,
            "points": [[1, 1, 0], [9, 1, 0], [9, 9, 0], [1, 9, 0]],
        }
    ],
}


def picture(path):
    Image.fromarray(np.full((20, 20, 3), 200, np.uint8)).save(path)


def test_slides_are_found_with_the_annotation_beside_them(tmp_path):
    picture(tmp_path / "TCGA-A1.01.2.png")  # dots in a name are part of it
    (tmp_path / "TCGA-A1.01.2.json").write_text(json.dumps([SQUARE]))
    picture(tmp_path / "alone.png")
    (tmp_path / "notes.txt").write_text("not a slide")
    (sample,) = find_samples(str(tmp_path), Labelling(classes=("glomerulus",)), None).samples
    assert sample.name == "TCGA-A1.01.2.png"
    assert sample.load().layer("glomerulus").shapes[0].polygon.area == 64


def test_a_mask_beside_a_picture_is_its_annotation_and_no_slide(tmp_path):
    picture(tmp_path / "a.png")
    mask = np.zeros((20, 20), np.uint8)
    mask[2:5, 2:6], mask[10:12, 10:12] = 1, 255
    Image.fromarray(mask).save(tmp_path / "a.mask.png")
    (sample,) = find_samples(str(tmp_path), Labelling(classes=("nuclei",)), None).samples
    annotations = sample.load()
    assert annotations.layer("nuclei").shapes[0].polygon.area == 12
    assert annotations.layer("ignore").shapes[0].polygon.area == 4


def test_a_list_names_slide_annotation_scale_patient_and_side(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "a.xml.json").write_text(json.dumps([SQUARE]))
    (tmp_path / "list.csv").write_text(
        "slide,annotation,mpp,patient,split\na.png,a.xml.json,0.25,P1,validation\n"
    )
    (sample,) = find_samples(
        str(tmp_path / "list.csv"), Labelling(classes=("glomerulus",)), None
    ).samples
    assert (sample.mpp, sample.patient, sample.split) == (0.25, "P1", "validation")


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        ("slide,label\n", ConfigError, "must be slide, annotation and"),
        ("slide,annotation\nno.png,no.json\n", TrainingError, "line 2: there is no file"),
        ("slide,annotation,split\na.png,a.json,test\n", ConfigError, "must be train, validation"),
        ("slide,annotation,mpp\na.png,a.json,fine\n", ConfigError, "must be a number"),
        ("slide,annotation\n", TrainingError, "holds no slide; files"),
    ],
)
def test_a_bad_list_is_one_clear_sentence(tmp_path, text, error, sentence):
    picture(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps([SQUARE]))
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(error, match=sentence):
        find_samples(str(tmp_path / "list.csv"), Labelling(classes=("glomerulus",)), None)


def test_a_missing_source_is_one_clear_sentence(tmp_path):
    with pytest.raises(TrainingError, match="there is no folder or list file"):
        find_samples(str(tmp_path / "none"), Labelling(classes=("glomerulus",)), None)


def test_a_folder_without_annotated_slides_is_one_clear_sentence(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(TrainingError, match="holds no slide with annotations beside it"):
        find_samples(str(tmp_path), Labelling(classes=("glomerulus",)), None)
