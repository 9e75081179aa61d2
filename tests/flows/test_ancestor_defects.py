"""Defects of the ancestor's whole flow, each with a test that would catch it here.

Those of single rooms are tested there: docs/explanation/defects-of-the-ancestor.md names them all.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import shapely

from deeplab.annotations.trace.outlines import TracedShape, trace
from deeplab.annotations.trace.simplify import simplify
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.config.train_request import TrainRequest
from deeplab.geometry.frames import Mpp, WorkFrame
from deeplab.geometry.grid import TilePlan
from deeplab.inference.plan import Area
from deeplab.models.outputs import SEMANTIC_LOGITS
from deeplab.models.registry import family_of
from deeplab.postprocess.regions import drop_small


@pytest.mark.slow
def test_defect_5_image_pooling_reaches_as_far_in_a_slide_as_in_a_training_crop():
    config = DeepLabV3PlusConfig(
        label_count=2,
        depth_multiplier=0.1,
        atrous_rates=(),
        crop_size=65,
        aspp_filters=8,
        decoder_filters=8,
        decoder_output_stride=None,
    )
    network = family_of(config).build(config)
    rgb = np.random.default_rng(0).integers(0, 255, (1, 65, 801, 3)).astype(np.uint8)
    far = rgb.copy()
    far[:, :, 640:] = 255  # farther from the left edge than crop and convolutions look
    logits, changed = (np.asarray(network(x)[SEMANTIC_LOGITS]) for x in (rgb, far))
    assert np.array_equal(logits[:, :, :2], changed[:, :, :2])
    assert not np.allclose(logits[:, :, -2:], changed[:, :, -2:])


@pytest.mark.parametrize("tile", [65, 129])
def test_defect_6_no_pixel_of_a_slide_is_passed_over_at_its_rim_or_between_tiles(tile):
    frame = WorkFrame.over(333, 201, Mpp.square(0.5), 0.5)
    area = Area.of((), frame)
    tiling = DeepLabV3PlusConfig(label_count=2).tiling
    plan = TilePlan(area=area.box, tile=tile, halo=16, tiling=tiling)
    written = np.zeros((frame.height, frame.width), int)
    for slot in plan:
        written[slot.write.within(frame.box)] += 1
    assert (written == 1).all()


@pytest.mark.parametrize("downsample", [1, 2, 4])
def test_defect_7_the_least_area_is_the_same_at_every_scale(downsample):
    mpp, side_um = 0.25, 16.0
    frame = WorkFrame.over(256, 256, Mpp.square(mpp), mpp * downsample)
    labels = np.zeros((frame.height, frame.width), np.uint8)
    side = round(side_um / mpp / downsample)
    labels[4 : 4 + side, 4 : 4 + side] = 1
    shapes = trace(labels, frame)
    assert list(drop_small(shapes, side_um**2 - 1, frame))
    assert not list(drop_small(shapes, side_um**2 + 1, frame))


def test_defect_7_outlines_run_along_the_edges_of_pixels_so_that_areas_are_exact():
    frame = WorkFrame.over(64, 64, Mpp.square(0.5), 0.5)
    labels = np.zeros((64, 64), np.uint8)
    labels[8:24, 8:40] = 1
    (shape,) = trace(labels, frame)
    assert shape.polygon.area == 16 * 32


@pytest.mark.parametrize("radius_um", [10, 1000])
def test_defect_7_an_outline_moves_no_farther_because_its_object_is_large(radius_um):
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    circle = shapely.Polygon(
        np.column_stack([np.cos(angles), np.sin(angles)]) * radius_um + 2 * radius_um
    )
    shape = TracedShape(label=1, polygon=circle, area_px_work=1, confidence=None)
    (simpler,) = simplify([shape], 0.25, Mpp.square(1.0))
    assert simpler.polygon.hausdorff_distance(circle) <= 0.26


def test_defect_7_there_may_be_more_than_five_classes():
    labels = np.arange(1, 41, dtype=np.uint8).reshape(5, 8).repeat(8, axis=0).repeat(8, axis=1)
    frame = WorkFrame.over(64, 40, Mpp.square(0.5), 0.5)
    assert sorted(shape.label for shape in trace(labels, frame)) == list(range(1, 41))


@pytest.mark.slow
def test_defect_9_a_job_that_failed_says_so_and_nothing_of_a_name_is_run(tmp_path: Path):
    slide = tmp_path / "a; touch pwned; $(touch pwned).svs"
    slide.write_bytes(b"no slide")
    model = tmp_path / "m.zip"
    with zipfile.ZipFile(model, "w") as archive:
        archive.writestr("../pwned", "escaped")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "deeplab_cli.entry", "segment", str(slide)),
            *("--model", str(model), "--annotation", str(tmp_path / "out.anot")),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: model ")
    assert {path.name for path in tmp_path.iterdir()} == {slide.name, model.name}
    assert not (tmp_path.parent / "pwned").exists()


def test_defect_11_slides_are_held_out_by_default_and_everything_drawn_has_a_seed():
    request = TrainRequest(source="slides", output_model=Path("m.zip"), classes=("a",))
    assert request.validation_fraction > 0
    assert request.keep == "best"
    assert request.seed == 0
