"""Answers depend on the slide and the model, not on how the slide is cut into tiles."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
import tensorflow as tf
import tifffile

import deeplab
from deeplab.bundles.read import read_card
from deeplab.config.progress import silent
from deeplab.config.requests import SegmentRequest
from deeplab.inference import segment, tensorflow_runtime
from deeplab.inference.segment import segment_slide
from deeplab.slides.slide import open_slide
from deeplab.slides.tissue import tissue_mask
from tests.slides_for_tests import tissue, write_tiff

MODELS = Path(deeplab.__file__).parent / "demonstration"
MODEL, OF_NUCLEI = MODELS / "nuclei.zip", MODELS / "nuclei_instances.zip"
REAL_SLIDE = Path(__file__).parents[2].parent / "shared/data/slides/CMU-1-Small-Region.svs"
ENOUGH = 0.995  # of the pixels of tissue, and of nuclei

pytestmark = pytest.mark.slow


def painted(folder):
    return write_tiff(folder / "painted.tiff", tissue(1500, 1300, seed=3)[0])


def real(_folder):
    if not REAL_SLIDE.exists():
        pytest.skip("the real slide is absent")
    return REAL_SLIDE


@pytest.fixture(scope="module", params=[painted, real])
def slide(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("slide"))


@pytest.fixture(scope="module")
def at_1024(slide, tmp_path_factory):
    return labels(slide, tmp_path_factory.mktemp("1024"), tile_size=1024)


def labels(slide, folder, **settings):
    """The label canvas, and where the slide has tissue."""
    mask = folder / "mask.tiff"
    request = SegmentRequest(slide=str(slide), model=MODEL, output_mask=mask, **settings)
    segment_slide(request, silent)
    return tifffile.imread(mask)


def on_tissue(slide, canvas):
    with open_slide(slide) as opened:
        found = tissue_mask(opened, margin_um=0)
        frame = opened.frame(read_card(MODEL).work_mpp)
    rows = (np.arange(canvas.shape[0]) * frame.scale_y / found.frame.scale_y).astype(int)
    columns = (np.arange(canvas.shape[1]) * frame.scale_x / found.frame.scale_x).astype(int)
    return found.mask[np.ix_(rows, columns)]


@pytest.mark.parametrize("tile_size", [512, 2048])
def test_the_tile_size_does_not_matter(slide, at_1024, tmp_path, tile_size):
    other = labels(slide, tmp_path, tile_size=tile_size)
    tissue_pixels = on_tissue(slide, at_1024)
    assert at_1024[tissue_pixels].any()
    assert np.mean(other[tissue_pixels] == at_1024[tissue_pixels]) >= ENOUGH


@pytest.fixture
def scarce_memory(monkeypatch):
    """Gives TensorFlow memory for tiles of 700 pixels and no more."""

    def function(graph, **options):
        compiled = tf.function(graph, **options)

        def call(told):
            rgb = told[0] if isinstance(told, list) else told
            if rgb.shape[1] > 700:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
            return compiled(told)

        return call

    # Keras itself also has functions of TensorFlow, which are left as they are.
    scarce = SimpleNamespace(function=function, constant=tf.constant, errors=tf.errors)
    monkeypatch.setattr(tensorflow_runtime, "tf", scarce)


@pytest.mark.usefixtures("scarce_memory")
def test_too_little_memory_does_not_matter(slide, at_1024, tmp_path, caplog):
    other = labels(slide, tmp_path, tile_size=1024, runtime="tensorflow", batch_size=2)
    tissue_pixels = on_tissue(slide, at_1024)
    assert np.mean(other[tissue_pixels] == at_1024[tissue_pixels]) >= ENOUGH
    assert caplog.text.count("in parts of") == 1


@pytest.fixture
def shifted(monkeypatch):
    """Moves the grid of tiles."""
    plan = segment.tile_plan

    def shift(by):
        monkeypatch.setattr(
            segment, "tile_plan", lambda *asked: dataclasses.replace(plan(*asked), shift=by)
        )

    return shift


@pytest.mark.parametrize("shift", [16, 200])
def test_the_place_of_the_grid_does_not_matter(slide, at_1024, tmp_path, shifted, shift):
    shifted(shift)
    other = labels(slide, tmp_path, tile_size=1024)
    tissue_pixels = on_tissue(slide, at_1024)
    assert np.mean(other[tissue_pixels] == at_1024[tissue_pixels]) >= ENOUGH


def test_the_tile_size_does_not_matter_to_a_second_look_either(tmp_path):
    slide = write_tiff(tmp_path / "small.tiff", tissue(800, 500, seed=3)[0])
    looks = {"eval_scales": (0.75,), "runtime": "tensorflow"}
    small, large = (
        labels(slide, tmp_path / str(side), tile_size=side, **looks) for side in (449, 1217)
    )
    once = labels(slide, tmp_path / "once", runtime="tensorflow")
    assert np.mean(small == large) >= ENOUGH
    assert 0.001 < np.mean(once != large) < 0.2


def test_the_mirror_image_of_a_slide_gets_the_mirror_image_of_its_labels(tmp_path):
    # 16 k + 1 pixels of the model's own scale: the network's cells lie on the same pixels from
    # either side.
    rgb = tissue(769, 513, seed=3)[0]
    looks = {"runtime": "tensorflow", "tissue": "off"}
    for name, more, least, most in (
        ("both", {"add_flipped_images": True}, 0.9995, 1),
        ("one", {}, 0.9, 0.995),
    ):
        canvas, mirrored = (
            labels(
                write_tiff(
                    tmp_path / f"{name}{way}.tiff",
                    rgb[:, ::way],
                    mpp=read_card(MODEL).work_mpp,
                    compression="deflate",
                ),
                tmp_path / f"{name}{way}",
                **looks,
                **more,
            )
            for way in (1, -1)
        )
        assert canvas.any()
        assert least <= np.mean(canvas[:, ::-1] == mirrored) <= most


def nuclei(slide, folder, **settings):
    """The outlines of all nuclei."""
    request = SegmentRequest(
        slide=str(slide), model=OF_NUCLEI, output_annotation=folder / "nuclei.anot", **settings
    )
    (layer,) = segment_slide(request, silent).annotations.layers
    return [shape.polygon for shape in layer.shapes]


@pytest.fixture(scope="module")
def usual_nuclei(slide, tmp_path_factory):
    return nuclei(slide, tmp_path_factory.mktemp("usual"))


def share_found_again(polygons, others):
    """Return the share of polygons of which there is another with an IoU of at least 0.9."""
    tree = shapely.STRtree(others)
    found = 0
    for polygon in polygons:
        near = tree.geometries[tree.query(polygon)]
        shared, whole = shapely.intersection(polygon, near), shapely.union(polygon, near)
        found += bool((shapely.area(shared) >= 0.9 * shapely.area(whole)).any())
    return found / len(polygons)


@pytest.mark.parametrize(("tile_size", "shift"), [(1024, 0), (1536, 0), (0, 208)])
def test_nuclei_are_the_same_in_other_tiles(
    slide, usual_nuclei, tmp_path, shifted, tile_size, shift
):
    shifted(shift)
    others = nuclei(slide, tmp_path, tile_size=tile_size)
    assert len(usual_nuclei) > 100
    assert share_found_again(usual_nuclei, others) >= ENOUGH
    assert share_found_again(others, usual_nuclei) >= ENOUGH
