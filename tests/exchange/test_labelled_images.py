"""Images are labelled by a table, by folders or by their names, and what is wrong is said."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import ConfigError, SourceError
from deeplab.exchange.labelled_images import find_labelled_images

CLASSES = ("tumour", "stroma")


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((30, 40, 3), 200, np.uint8)).save(path)
    return path


def found(source: Path, labels: str, *, exclusive: bool = False) -> dict[str, list[str]]:
    """The labels of each image, and that they cover it."""
    samples = find_labelled_images(
        str(source), labels=labels, classes=CLASSES, exclusive=exclusive
    ).samples
    drawn = {}
    for sample in samples:
        layers = sample.load().layers
        for layer in layers:
            assert all(shape.polygon.bounds == (0, 0, 40, 30) for shape in layer.shapes)
        drawn[sample.name] = [layer.name for layer in layers if layer.shapes]
    return drawn


def table(folder: Path, text: str) -> Path:
    for name in "abc":
        image(folder / f"{name}.png")
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_names_one_label_several_or_none(tmp_path: Path):
    text = "file,label,patient,split\na.png,tumour,p1,train\nb.png,tumour; stroma,,\nc.png,,,\n"
    source = table(tmp_path, text)
    assert found(source, "table") == {
        "a.png": ["tumour"],
        "b.png": ["tumour", "stroma"],
        "c.png": [],
    }
    first = find_labelled_images(str(source), labels="table", classes=CLASSES, exclusive=False)
    assert (first.samples[0].patient, first.samples[0].split) == ("p1", "train")
    # Somebody has looked at it and found none of the classes.
    assert first.samples[2].load().names == ("tumour",)


def test_a_table_has_a_column_for_each_class(tmp_path: Path):
    text = "file;Tumour;Stroma;mpp\na.png;1;0;0.5\nb.png;1;1;\nc.png;0;;\n"
    assert found(table(tmp_path, text), "table") == {
        "a.png": ["tumour"],
        "b.png": ["tumour", "stroma"],
        "c.png": [],
    }


def test_folders_and_names_say_labels(tmp_path: Path):
    image(tmp_path / "folders/tumour/a.png")
    image(tmp_path / "folders/stroma/a.png")
    assert found(tmp_path / "folders", "folders") == {
        "stroma/a.png": ["stroma"],
        "tumour/a.png": ["tumour"],
    }
    image(tmp_path / "names/x [1 0].png")
    image(tmp_path / "names/y_[0,1].png")
    image(tmp_path / "names/z [0 0].png")
    image(tmp_path / "names/patient+10+20[11].png")
    assert found(tmp_path / "names", "names") == {
        "x [1 0].png": ["tumour"],
        "y_[0,1].png": ["stroma"],
        "z [0 0].png": [],
        "patient+10+20[11].png": ["tumour", "stroma"],
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,label\nnone.png,tumour\n", "line 2: there is no file .*none.png"),
        (
            "file,label\na.png,tumour\nb.png,stroma\n./a.png,stroma\n",
            "line 4: ./a.png is there already, as a.png .*line 2.; give all labels of an image at",
        ),
        ("file,label\na.png,tumour,x\n", "line 2: there are more cells than columns"),
        ("image,label\na.png,tumour\n", "columns of .* must be file and label, or file and tumour"),
        ("file,tumour\na.png,1\n", "columns of .* must be file and label, or file and tumour"),
        ("file,tumour,stroma\na.png,1,maybe\n", "stroma in .* line 2 must be 0 or 1"),
        ("file,label,split\na.png,tumour,test\n", "split in .* must be train, validation or empty"),
        ("file,label,mpp\na.png,tumour,fine\n", "mpp in .* must be a number"),
        ("file,label\n", "holds no labelled image"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(tmp_path: Path, text: str, sentence: str):
    with pytest.raises((SourceError, ConfigError), match=sentence):
        found(table(tmp_path, text), "table")


@pytest.mark.parametrize(
    ("label", "told"), [("tumour;stroma", "the labels tumour, stroma"), ("", "no label")]
)
def test_classes_that_exclude_each_other_need_one_label(tmp_path: Path, label: str, told: str):
    source = table(tmp_path, f"file,label\na.png,{label}\n")
    with pytest.raises(SourceError, match=f"line 2: a.png has {told}.*problem=multi_label"):
        found(source, "table", exclusive=True)


def test_a_name_needs_a_number_for_each_class(tmp_path: Path):
    image(tmp_path / "a [1 0 1].png")
    with pytest.raises(SourceError, match="must have 2 numbers in its name.*it has 3 numbers"):
        found(tmp_path, "names")
    image(tmp_path / "A.png")
    with pytest.raises(SourceError, match="A.png must have 2 .* it has none"):
        found(tmp_path, "names")


def test_what_is_no_source_is_said(tmp_path: Path):
    with pytest.raises(SourceError, match="there is no folder"):
        found(tmp_path / "none", "folders")
    with pytest.raises(SourceError, match="is not a table that can be read"):
        found(tmp_path, "table")
