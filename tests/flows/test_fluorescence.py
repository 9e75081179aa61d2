"""Multi-channel slides from the front door: a model of channels by name, trained and applied."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import tifffile
from large_image_source_tiff import TiffFileTileSource
from PIL import Image

from deeplab.annotations.formats.girder_json import read_girder_json
from deeplab.annotations.raster.rasterize import draw
from deeplab.bundles.read import read_card
from deeplab.config.progress import silent
from deeplab.config.requests import SegmentRequest
from deeplab.config.train_request import TrainRequest
from deeplab.errors import ChannelError
from deeplab.geometry.frames import Mpp, WorkFrame
from deeplab.inference.segment import segment_slide
from deeplab.training.train import train
from tests.flows.training_command import start_training
from tests.fluorescent_slides import DAPI_OF_STUDY, paint_cells, write_ome, write_pages
from tests.girder_for_tests import ITEM, fake_girder, item_routes

PAGE = Path(__file__).parents[2] / "docs/how-to/fluorescent-slides.md"
COMMAND_OF_STUDY = re.compile(r"^deeplab (train list\.csv .*)$", re.MULTILINE)
SIDE = 384
SMALL = {
    "classes": ("nucleus",),
    "depth_multiplier": 0.25,
    "atrous_rates": (1, 2),
    "aspp_filters": 16,
    "decoder_filters": 16,
    "network_options": ("decoder_output_stride=4",),
    "patch_size": 65,
    "batch_size": 6,
    "work_mpp": 0.5,
    "steps": 200,
    "slow_start_step": 5,
    "learning_policy": "poly",
    "learning_rate": 1e-2,
    "ema_decay": 0.95,
    "augment": 0.1,
    "validate_every": 200,
    "gpu": -1,
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Six slides of two channels with label masks: OME-TIFFs and page sets."""
    folder = tmp_path_factory.mktemp("fluorescent")
    for seed in range(6):
        channels, labels = paint_cells(SIDE, SIDE, seed=seed)
        if seed % 2:
            write_pages(folder / f"P{seed}.tif", channels, ("CD3", "DAPI"))
        else:
            write_ome(folder / f"P{seed}.ome.tif", channels, levels=2)
        name = f"P{seed}.mask.png" if seed % 2 else f"P{seed}.ome.mask.png"
        Image.fromarray(labels).save(folder / name)
    return folder


def train_on(slides, out, **settings):
    request = TrainRequest(source=str(slides), output_model=out, **SMALL | settings)
    return train(request, silent)


@pytest.fixture(scope="module")
def model(slides, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "nuclei.zip"
    train_on(slides, out, channels=("DAPI",))
    return out


@pytest.fixture
def unseen(tmp_path):
    channels, labels = paint_cells(SIDE, SIDE, seed=99)
    return write_ome(tmp_path / "unseen.ome.tif", channels, levels=2), channels, labels


def segment(slide, model, out, **settings):
    request = SegmentRequest(
        slide=str(slide), model=model, output_annotation=out, gpu=-1, runtime="tensorflow",
        min_hole_um2=20.0, **settings,
    )  # fmt: skip
    segment_slide(request, silent)
    return read_girder_json(out)


def iou(annotations, labels):
    frame = WorkFrame.over(SIDE, SIDE, Mpp.square(0.5), 0.5)
    found = draw(annotations, {"nucleus": 1}, frame.box, frame) == 1
    return (found & (labels == 1)).sum() / (found | (labels == 1)).sum()


def test_a_model_learns_from_the_channel_that_it_is_shown(model, unseen, tmp_path):
    slide, _, labels = unseen
    assert iou(segment(slide, model, tmp_path / "found.anot"), labels) >= 0.9


def test_a_model_of_the_nuisance_channel_finds_no_nuclei(slides, unseen, tmp_path):
    train_on(slides, tmp_path / "wrong.zip", channels=("CD3",), steps=40, validate_every=40)
    slide, _, labels = unseen
    assert iou(segment(slide, tmp_path / "wrong.zip", tmp_path / "found.anot"), labels) < 0.4


def test_the_card_names_the_channels_and_their_window(model):
    channels = read_card(model).config.channels
    assert channels.names == ("DAPI",)
    assert [str(window) for window in channels.windows] == ["0.5%:99.8%"]


def test_a_slide_without_the_channel_is_refused_and_told_how_to_map_it(model, unseen, tmp_path):
    _, channels, labels = unseen
    slide = write_ome(tmp_path / "other.ome.tif", channels, ("CD3", "Hoechst"))
    with pytest.raises(ChannelError) as refused:
        segment(slide, model, tmp_path / "found.anot")
    assert str(refused.value) == (
        "other.ome.tif has no channel DAPI: it has CD3, Hoechst; if one of them is it under "
        "another name, say so, as --channels DAPI=CD3"
    )
    mapped = segment(slide, model, tmp_path / "found.anot", channels=("DAPI=Hoechst",))
    assert iou(mapped, labels) >= 0.9
    by_number = segment(slide, model, tmp_path / "found.anot", channels=("1",))
    assert iou(by_number, labels) == iou(mapped, labels)


def test_the_window_is_kept_with_the_layers_and_can_be_repeated(model, unseen, tmp_path):
    slide, _, _ = unseen
    first = segment(slide, model, tmp_path / "first.anot")
    (kept,) = first.attributes["slide"]["channels"]
    assert (kept["name"], kept["on_slide"], kept["index"]) == ("DAPI", "DAPI", 1)
    again = segment(
        slide, model, tmp_path / "again.anot", intensity_window=(f"DAPI={kept['window']}",)
    )
    assert again.attributes["slide"]["channels"] == [kept]
    shapes = [[s.polygon.wkb for s in each.layers[0].shapes] for each in (first, again)]
    assert shapes[0] == shapes[1]


def test_a_window_of_16_bits_over_12_bits_is_refused(model, unseen, tmp_path):
    slide, channels, _ = unseen
    with pytest.raises(ChannelError) as refused:
        segment(slide, model, tmp_path / "found.anot", intensity_window=("0:65535",))
    most = channels[1].max()
    assert str(refused.value) == (
        f"unseen.ome.tif holds 12-bit values in 16-bit pixels of channel DAPI (at most {most}), "
        "of which the intensity window 0:65535 leaves nearly nothing; give 0:4095, or percentiles "
        "such as 0.5%:99.8%"
    )


def test_a_streamed_frame_gives_the_layers_of_the_local_file(model, unseen, tmp_path):
    slide, _, _ = unseen
    routes = item_routes(
        lambda encoding, style: TiffFileTileSource(str(slide), encoding=encoding, style=style),
        name=slide.name,
    )
    local = segment(slide, model, tmp_path / "local.anot")
    with fake_girder(routes=routes) as girder:
        streamed = segment(
            ITEM, model, tmp_path / "streamed.anot", channels=("DAPI=1",), slide_mpp=0.5,
            api_url=girder.url, token=girder.login.token, post_annotation="off",
        )  # fmt: skip
    shapes = [[s.polygon.wkb for s in each.layers[0].shapes] for each in (local, streamed)]
    assert shapes[0] == shapes[1]
    (kept,) = streamed.attributes["slide"]["channels"]
    assert (kept["on_slide"], kept["index"]) == ("", 1)


def test_every_word_works_from_the_command_line(slides, unseen, tmp_path):
    slide, _, _ = unseen
    options = {
        "classes": "nucleus",
        "channels": "0,nuclei=DAPI",
        "intensity_window": "nuclei=0%:100%",
        "gpu": -1,
        "validate_every": 2,
        "steps": 2,
        "batch_size": 2,
        "patch_size": 40,
        "network": "unet",
        "depth_multiplier": 0.1,
        "network_options": "depth=3,decoder_channels=4 4 4",
    }
    trained = start_training(slides, tmp_path / "m.zip", options)
    _, told = trained.communicate(timeout=600)
    assert trained.returncode == 0, told
    channels = read_card(tmp_path / "m.zip").config.channels
    assert channels.names == ("CD3", "nuclei")
    assert [str(window) for window in channels.windows] == ["0.5%:99.8%", "0%:100%"]
    words = ("segment", slide, "--model", tmp_path / "m.zip", "--gpu", "-1")
    done = subprocess.run(
        [sys.executable, "-m", "deeplab_cli.entry", *words, "--annotation", tmp_path / "s.anot"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(
        "unseen.ome.tif has no channel nuclei: it has CD3, DAPI; if one of them is it under another "
        "name, say so, as --channels nuclei=CD3"
    )


@pytest.fixture
def study(tmp_path):
    """Three slides as those of the DEDL study, two of one patient: a page of DAPI, no scale."""
    rows = ["slide,annotation,patient"]
    for name, patient in (("a", "P1"), ("b", "P2"), ("c", "P1")):
        (_, dapi), labels = paint_cells(*DAPI_OF_STUDY, seed=ord(name), cells=60)
        tifffile.imwrite(tmp_path / f"{name}.tif", dapi, photometric="minisblack")
        Image.fromarray(labels).save(tmp_path / f"{name}.mask.png")
        rows.append(f"{name}.tif,{name}.mask.png,{patient}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    return tmp_path


def train_as_the_page_says(study, *more):
    (words,) = COMMAND_OF_STUDY.findall(PAGE.read_text(encoding="utf-8"))
    done = subprocess.run(
        [sys.executable, "-m", "deeplab_cli.entry", *shlex.split(words), *more],
        cwd=study, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_patients_of_the_study_are_on_one_side_only(study):
    said = train_as_the_page_says(study, "--validation_fraction", "0.5", "--dry_run")
    height, width = DAPI_OF_STUDY
    rows = [line.split() for line in said.splitlines() if f"{width:,} x {height:,}" in line]
    assert [row[0] for row in rows] == ["a.tif", "b.tif", "c.tif"], said
    sides = [row[-3] for row in rows]
    assert sides == ["train", "validation", "train"], said


def test_the_command_of_the_study_trains_a_model_of_dapi_on_patches_of_480(study):
    small = {
        "network": "unet",
        "network_options": "depth=3,decoder_channels=4 4 4",
        "depth_multiplier": 0.1,
        "steps": 2,
        "batch_size": 1,
        "validate_every": 2,
        "validation_fraction": 0.5,
        "gpu": -1,
    }
    train_as_the_page_says(study, *(str(w) for k, v in small.items() for w in (f"--{k}", v)))
    card = read_card(study / "dapi.zip")
    assert (card.config.channels.names, card.config.crop_size) == (("DAPI",), 480)
