"""Label images of 16 and 32 bits, in any of the forms people have them, are learnt from to the pixel."""

import csv

import numpy as np
import pytest
import tifffile
from PIL import Image

from deeplab.bundles.read import read_card
from deeplab.config.progress import silent
from deeplab.config.train_request import TrainRequest
from deeplab.data.opening import open_slides
from deeplab.models.hovernet.targets import encode
from deeplab_cli.main import main
from tests.flows.nuclei_for_tests import TYPES, paint_nuclei, write_mat
from tests.models.hovernet_for_tests import NucleiConfig

SIDE = 128
RGB, IDS, KINDS = paint_nuclei(5, SIDE)
LARGE = np.where(IDS > 0, IDS + np.int64(70_000), 0)  # more than 16 bits have
TYPE_MAP = KINDS[IDS].astype(np.uint8)


def png_16(folder):
    Image.fromarray(IDS.astype(np.uint16)).save(folder / "a.instances.png")
    Image.fromarray(TYPE_MAP).save(folder / "a.types.png")


def tiff_16_in_strips(folder):
    tifffile.imwrite(folder / "a.instances.tif", IDS.astype(np.uint16), rowsperstrip=7)
    tifffile.imwrite(folder / "a.types.tif", TYPE_MAP)


def tiff_32_in_tiles(folder):
    options = {"tile": (64, 64), "compression": "deflate"}
    tifffile.imwrite(folder / "a.instances.tiff", LARGE.astype(np.uint32), **options)
    tifffile.imwrite(folder / "a.types.tif", TYPE_MAP.astype(np.uint32))


def tiff_32_of_the_other_order(folder):
    tifffile.imwrite(folder / "a.instances.tif", LARGE.astype(">i4"), byteorder=">")
    Image.fromarray(TYPE_MAP).save(folder / "a.types.png")


def tiff_of_imagej(folder):
    tifffile.imwrite(folder / "a.instances.tif", LARGE.astype(np.float32), imagej=True)
    Image.fromarray(TYPE_MAP).save(folder / "a.types.png")


def listed_without_a_name_that_tells(folder):
    (folder / "labels").mkdir()
    tifffile.imwrite(folder / "labels/a.tif", LARGE.astype(np.uint32))
    tifffile.imwrite(folder / "labels/a.types.tif", TYPE_MAP)
    with (folder / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("slide", "annotation"), ("a.png", "labels/a.tif")])


def converted(folder):
    write_mat(folder / "drawn.mat", IDS, KINDS)
    words = ("convert", folder / "drawn.mat", folder / "a.instances.tif")
    assert main([*map(str, words), "--classes", ",".join(TYPES)]) == 0
    (folder / "drawn.mat").unlink()


FORMS = (
    *(png_16, tiff_16_in_strips, tiff_32_in_tiles, tiff_32_of_the_other_order, tiff_of_imagej),
    *(listed_without_a_name_that_tells, converted),
)


def source(folder):
    listing = folder / "list.csv"
    return listing if listing.is_file() else folder


def filled(folder, form):
    Image.fromarray(RGB).save(folder / "a.png")
    form(folder)
    return source(folder)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_drawn_for_a_training_is_what_was_numbered(tmp_path, form):
    request = TrainRequest(
        source=str(filled(tmp_path, form)),
        output_model=tmp_path / "m.zip",
        classes=TYPES,
        network="hovernet",
        slide_mpp=0.5,
        patch_size=64,
        validation_fraction=0,
    )
    opened = open_slides(request, silent)
    try:
        (slide,) = opened.learn
        frame = slide.slide.frame(0.5)
        truth = slide.truth(frame, frame.box, {"instances", "labels"})
    finally:
        opened.close()
    np.testing.assert_array_equal(truth["labels"], TYPE_MAP)
    pairs = np.unique(np.stack([truth["instances"].ravel(), IDS.ravel()]), axis=1)
    assert pairs.shape[1] == IDS.max() + 1  # one number there for one number here
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
    maps = encode(NucleiConfig(type_count=2), truth)["hv"]
    np.testing.assert_array_equal(maps.any(axis=-1) & (IDS == 0), False)


@pytest.mark.slow  # of 16 bits: test_train_nuclei
def test_the_command_learns_from_32_bits(tmp_path, capsys):
    words = [
        "train",
        filled(tmp_path, tiff_32_in_tiles),
        tmp_path / "m.zip",
        "--network",
        "hovernet",
    ]
    words += ["--network_options", "decoder_width=8", "--depth_multiplier", 0.1, "--gpu", -1]
    words += ["--classes", ",".join(TYPES), "--slide_mpp", 0.5, "--patch_size", 48]
    words += ["--steps", 2, "--batch_size", 2, "--validation_fraction", 0]
    assert main([str(word) for word in words]) == 0
    said = capsys.readouterr().err
    for name, kind in zip(TYPES, (1, 2), strict=True):
        assert f"{name}: {(kind == KINDS).sum()} objects" in said
    card = read_card(tmp_path / "m.zip")
    assert (card.config.type_count, card.classes.names) == (2, TYPES)
    assert card.training["steps"] == 2
