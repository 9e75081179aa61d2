"""Masks of tissue: read at any size, found by the names of slides."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from deeplab.errors import SlideError
from deeplab.exchange import tissue_masks
from deeplab.exchange.tissue_masks import find_tissue_mask, read_tissue_mask
from deeplab.geometry.frames import Mpp, WorkBox
from deeplab.slides.array_slide import ArraySlide

WIDTH, HEIGHT = 400, 300


@pytest.fixture
def slide():
    return ArraySlide(np.zeros((HEIGHT, WIDTH, 3), np.uint8), Mpp.square(0.5))


def save(path, values):
    if path.suffix == ".png":
        Image.fromarray(values).save(path)
    else:
        tifffile.imwrite(path, values, compression="deflate", tile=(16, 16))
    return path


def right_half(kind, *, value=1, by=1):
    values = np.zeros((HEIGHT // by, WIDTH // by), kind)
    values[:, WIDTH // by // 2 :] = value
    return values


@pytest.mark.parametrize("by", [1, 2, 10])
@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("a.png", np.uint8, 1),
        ("a.png", np.uint8, 255),
        ("a.png", np.uint16, 1),
        ("a.tif", np.uint16, 3),
        ("a.tiff", np.float32, 0.1),
    ],
)
def test_what_is_not_0_is_tissue_at_any_size(slide, tmp_path, name, kind, value, by):
    path = save(tmp_path / name, right_half(kind, value=value, by=by))
    tissue = read_tissue_mask(path, slide)
    frame = slide.frame(0.5)
    assert tissue.fraction == 0.5
    assert not tissue.touches(frame, WorkBox(0, 0, WIDTH // 2, HEIGHT))
    assert tissue.touches(frame, WorkBox(WIDTH // 2, HEIGHT - 1, 1, 1))


def test_colours_are_tissue_unless_they_are_transparent(slide, tmp_path):
    rgba = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[:, : WIDTH // 2, 2] = 9  # dark blue, beside black
    rgba[: HEIGHT // 2, :, 3] = 0
    tissue = read_tissue_mask(save(tmp_path / "a.png", rgba), slide)
    assert tissue.fraction == 0.25
    assert tissue.mask[HEIGHT // 2 :, : WIDTH // 2].all()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_mask_of_many_pixels_is_made_coarser_and_loses_no_tissue(
    slide, tmp_path, monkeypatch, name
):
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[HEIGHT - 1, WIDTH - 1] = values[17, 33] = 1
    monkeypatch.setattr(tissue_masks, "THUMBNAIL_PIXELS", 2000)
    tissue = read_tissue_mask(save(tmp_path / name, values), slide)
    assert tissue.mask.shape == (38, 50)
    assert tissue.mask.sum() == 2
    for x, y in ((WIDTH - 1, HEIGHT - 1), (33, 17)):
        assert tissue.touches(slide.frame(0.5), WorkBox(x, y, 1, 1))


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("a.png", (300, 300), "has 300 x 300 pixels, .* shape of the slide of 400 x 300"),
        ("a.tif", (900, 1200), "has 1200 x 900 pixels, many more than the slide of 400 x 300"),
    ],
)
def test_a_mask_of_another_shape_is_one_sentence_with_both_sizes(
    slide, tmp_path, name, shape, sentence
):
    path = save(tmp_path / name, np.ones(shape, np.uint8))
    with pytest.raises(SlideError, match=rf"has a tissue mask that does not serve: .*{sentence}"):
        read_tissue_mask(path, slide)


def test_what_is_no_mask_is_one_sentence(slide, tmp_path):
    Image.fromarray(right_half(np.uint8)).save(tmp_path / "a.jpg")
    with pytest.raises(SlideError, match=r"does not serve: .*a\.jpg: is none of \.png, \.tif"):
        read_tissue_mask(tmp_path / "a.jpg", slide)


@pytest.mark.parametrize("name", ["a b.png", "a b.TIF", "a b.svs.png", "a b.mask.tiff"])
def test_a_mask_is_found_by_the_name_of_its_slide(tmp_path, name):
    for each in (name, "a.png", "b.tif"):
        (tmp_path / each).touch()
    assert find_tissue_mask(tmp_path, "a b.svs", "slides/a b.svs") == tmp_path / name


def test_a_mask_of_labels_stands_behind_one_of_the_slides_name_alone(tmp_path):
    for name in ("a.png", "a.mask.png", "a.instances.tif"):
        (tmp_path / name).touch()
    assert find_tissue_mask(tmp_path, "a.svs", "a.svs") == tmp_path / "a.png"


def test_a_slide_is_not_its_own_mask(tmp_path):
    slide = tmp_path / "a.tif"
    slide.touch()
    with pytest.raises(SlideError, match=r"a\.tif has no tissue mask in .*; call it a\.png"):
        find_tissue_mask(tmp_path, "a.tif", str(slide))
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.tif").touch()
    masks = tmp_path / "masks"
    assert find_tissue_mask(masks, "a.tif", str(slide)) == masks / "a.tif"
