"""`deeplab patches` from the front door: slides in, patches with their labels out."""

import csv
from io import StringIO

import numpy as np
import pytest
import zarr
from PIL import Image

from deeplab_cli.main import main
from tests.slides_for_tests import PINK, PURPLE, write_tiff


@pytest.fixture
def slides(tmp_path):
    """A slide of 300 x 200 pixels at 0.5 um with a square, and its mask in a folder of masks."""
    folder, masks = tmp_path / "slides", tmp_path / "masks"
    folder.mkdir()
    masks.mkdir()
    rgb = np.full((200, 300, 3), PINK, np.uint8)
    labels = np.zeros((200, 300), np.uint8)
    square = np.s_[40:100, 90:170]
    rgb[square], labels[square] = PURPLE, 1
    write_tiff(folder / "patient_001_node_2.tif", rgb, compression="deflate")
    Image.fromarray(labels).save(masks / "patient_001_node_2_mask.tif")
    return folder, masks, rgb, labels


def run(capsys, *words):
    code = main(["patches", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out + err


def test_patches_cover_the_slide_with_its_pixels_and_labels(tmp_path, slides, capsys):
    folder, masks, rgb, labels = slides
    out = tmp_path / "out"
    words = ("--classes", "tumour", "--label_path", masks, "--patch_size", 128)
    code, said = run(capsys, folder, out, *words)
    assert code == 0, said
    rows = list(csv.DictReader(StringIO((out / "list.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 6  # three columns, of which the last is moved inwards, by two rows
    seen = np.zeros(labels.shape, bool)
    for row in rows:
        x, y = map(int, row["slide"].removesuffix(".png").split("_")[-2:])
        here = np.s_[y : y + 128, x : x + 128]
        assert np.array_equal(np.asarray(Image.open(out / row["slide"])), rgb[here])
        assert np.array_equal(np.asarray(Image.open(out / row["annotation"])), labels[here])
        assert (row["mpp"], row["patient"]) == ("0.5", "patient_001")
        seen[here] = True
    assert seen.all()
    assert "patches: 6, of 1 slide" in said
    # And it is a folder to train from.
    train = ["train", str(out / "list.csv"), str(tmp_path / "m.zip"), "--classes", "tumour"]
    assert main([*train, "--patch_size", "65", "--dry_run"]) == 0
    assert "6 slides to learn from" in capsys.readouterr().out


def test_arrays_have_a_chunk_a_patch_and_say_where_it_lies(tmp_path, slides, capsys):
    folder, masks, rgb, labels = slides
    out = tmp_path / "out.zarr"
    words = ("--classes", "tumour", "--label_path", masks, "--patch_size", 100)
    code, said = run(capsys, folder, out, "--format", "zarr", *words)
    assert code == 0, said
    group = zarr.open_group(out, mode="r")
    assert group["images"].shape == (6, 100, 100, 3)
    assert group.attrs["classes"] == ["background", "tumour"]
    for number, about in enumerate(group.attrs["patches"]):
        x, y = int(about["x_level0"]), int(about["y_level0"])
        here = np.s_[y : y + 100, x : x + 100]
        assert np.array_equal(group["images"][number], rgb[here])
        assert np.array_equal(group["labels"][number], labels[here])


def test_patches_at_another_scale_are_those_of_a_segmentation(tmp_path, slides, capsys):
    folder, masks, *_ = slides
    words = ("--classes", "tumour", "--label_path", masks, "--patch_size", 64)
    code, said = run(capsys, folder, tmp_path / "o", *words, "--work_mpp", 1.0)
    assert code == 0, said
    assert "patches: 6" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--patch_size", 256], "which is less than a patch of 256; choose a smaller patch_size"),
        (["--resolution", 0.7], "has no level within a tenth of 0.7 um per pixel"),
        (["--patch_size", 1], "patch_size must be from 16 to 8192"),
        (["--label_path", "none"], "there is no folder none of annotations"),
    ],
)
def test_one_sentence_on_what_cannot_be_cut(tmp_path, slides, capsys, words, said):
    folder, masks, *_ = slides
    out = tmp_path / "out"
    line = ("--classes", "tumour", "--label_path", masks, "--patch_size", 64, *words)
    code, text = run(capsys, folder, out, *line)
    assert (code, out.exists()) == (2, False)
    assert said in text


def test_a_folder_that_holds_something_is_left_alone(tmp_path, slides, capsys):
    code, text = run(capsys, slides[0], slides[1], "--classes", "tumour")
    assert code == 2
    assert "output must be a folder that is new or holds nothing" in text
