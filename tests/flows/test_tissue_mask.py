"""`deeplab segment` where somebody else says where the tissue is, as run_infer.py's users do."""

import json
import shutil
from importlib.resources import files

import cv2
import numpy as np
import pytest
from PIL import Image

from deeplab.annotations.files import read_annotations
from deeplab.inference import segment
from deeplab.inference.predictor import Predictor
from deeplab.models.answers import ObjectAnswer
from deeplab_cli.main import main
from tests.slides_for_tests import write_tiff

MODEL = str(files("deeplab") / "demonstration/nuclei.zip")
WIDTH, HEIGHT, PITCH, MPP = 1300, 900, 50, 0.4
PLACES = [(x, y) for y in range(PITCH // 2, HEIGHT, PITCH) for x in range(PITCH // 2, WIDTH, PITCH)]
TILE = 257
LEFT = WIDTH // 4  # of the tissue by the masks, level-0 pixels
SHARE = LEFT / WIDTH


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Two slides that are tissue everywhere, with nuclei everywhere."""
    rgb = np.full((HEIGHT, WIDTH, 3), (230, 190, 210), np.uint8)
    for place in PLACES:
        cv2.circle(rgb, place, 12, (70, 40, 120), -1)
    folder = tmp_path_factory.mktemp("slides")
    write_tiff(folder / "a.tiff", rgb, mpp=MPP, compression="deflate")
    shutil.copy(folder / "a.tiff", folder / "b c.tiff")
    return folder


@pytest.fixture
def masks(tmp_path):
    """Their tissue in the left quarter, a fifth as large as they are."""
    there = np.zeros((HEIGHT // 5, WIDTH // 5), np.uint8)
    there[:, : LEFT // 5] = 1
    folder = tmp_path / "masks"
    folder.mkdir()
    for name in ("a", "b c"):
        Image.fromarray(there).save(folder / f"{name}.png")
    return folder


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """A network that finds what is dark."""

    def decode(maps):
        dark = (maps["rgb"][..., 1] < 120).astype(np.uint8)
        count, instances = cv2.connectedComponents(dark, connectivity=4)
        of_each = np.ones(count - 1)
        return ObjectAnswer(
            instances=instances,
            labels=of_each.astype(np.uint8),
            confidence=of_each.astype(np.float32),
            label_probability=of_each.astype(np.float32),
        )

    def predictor(_self, _request, _card, plan):
        answered = slice(plan.trim, plan.tile - plan.trim)
        show = lambda tiles: {"rgb": tiles[:, answered, answered]}  # noqa: E731
        return Predictor("a fake", show, decode, "objects")

    monkeypatch.setattr(segment.Predictors, "of", predictor)


def run(source, tmp_path, *words):
    named = [
        "--annotation",
        f"{tmp_path}/{{slide}}.anot",
        "--timings",
        f"{tmp_path}/{{slide}}.json",
    ]
    tile = ["--patch_size", str(TILE), "--remove_border", "48"]
    asked = ["--input_dir", str(source), "--model_path", MODEL]
    return main(["segment", *asked, *named, *tile, *words])


def centres(path):
    shapes = [shape for layer in read_annotations(path).layers for shape in layer.shapes]
    return {(round(s.polygon.centroid.x), round(s.polygon.centroid.y)) for s in shapes}


def near(found, place):
    return any(abs(found_x - place[0]) + abs(found_y - place[1]) < 6 for found_x, found_y in found)


@pytest.mark.parametrize("flag", ["--input_mask_dir", "--tissue_mask"])
def test_tiles_are_looked_at_where_the_masks_of_a_folder_have_tissue(slides, masks, tmp_path, flag):
    assert run(slides, tmp_path, flag, str(masks)) == 0
    for name in ("a", "b c"):
        found = centres(tmp_path / f"{name}.anot")
        assert all(near(found, place) for place in PLACES if place[0] < LEFT)
        assert max(x for x, _ in found) < LEFT + TILE
        told = json.loads((tmp_path / f"{name}.json").read_text())
        assert told["tissue_pixels"] == pytest.approx(SHARE * WIDTH * HEIGHT, rel=0.02)


def test_without_a_mask_all_of_such_a_slide_is_looked_at(slides, tmp_path):
    assert run(slides / "a.tiff", tmp_path) == 0
    assert len(centres(tmp_path / "a.anot")) == len(PLACES)


def test_one_slide_takes_one_mask_or_finds_its_own_in_a_folder(slides, masks, tmp_path):
    found = []
    for mask in (masks / "b c.png", masks):
        assert run(slides / "a.tiff", tmp_path, "--tissue_mask", str(mask)) == 0
        found.append(centres(tmp_path / "a.anot"))
    assert found[0] == found[1]
    assert len(found[0]) < len(PLACES)


def test_a_slide_without_a_mask_is_named_and_the_others_are_done(slides, masks, tmp_path, capsys):
    (masks / "a.png").unlink()
    assert run(slides, tmp_path, "--input_mask_dir", str(masks)) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert f"a.tiff: has no tissue mask in {masks}; call it a.png" in last
    assert last.startswith("error: 1 of 2 slides could not be segmented: ")
    assert [path.name for path in tmp_path.glob("*.anot")] == ["b c.anot"]


@pytest.mark.parametrize(
    ("source", "words", "sentence"),
    [
        ("", ("--tissue_mask", "masks/a.png"), "a folder of masks, called as the slides"),
        (
            "a.tiff",
            ("--tissue_mask", "masks/a.png", "--tissue", "off"),
            "tissue must be auto where",
        ),
        ("a.tiff", ("--tissue_mask", "nowhere"), "tissue_mask must be a file that exists"),
        ("a.tiff", ("--tissue_mask", "square.png"), "has 100 x 100 pixels, which is not the shape"),
        (
            "a.tiff",
            ("--tissue_mask", "masks", "--overlay", "masks/{slide}.png"),
            "it is read for the result; name another file",
        ),
    ],
)
def test_a_mask_that_does_not_serve_is_one_sentence(
    slides, masks, tmp_path, monkeypatch, capsys, source, words, sentence
):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.ones((100, 100), np.uint8)).save("square.png")
    assert run(slides / source, tmp_path, *words) == 2
    (last,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert sentence in last
    assert not list(tmp_path.glob("*.anot"))


@pytest.mark.parametrize(
    ("flag", "instead"),
    [
        ("--nr_types=6", "import-checkpoint checks it"),
        ("--type_info_path=types.json", "give it to import-checkpoint"),
        ("--output_dir=out", "--annotation 'DIR/{slide}.mat', --overlay 'DIR/{slide}.png'"),
        ("--save_qupath", "give --geojson 'DIR/{slide}.geojson'"),
        ("--proc_mag=40", "give --work_mpp in um per pixel: 0.25 for 40"),
    ],
)
def test_what_run_infer_was_told_otherwise_is_answered(slides, tmp_path, capsys, flag, instead):
    assert run(slides, tmp_path, flag) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {flag.partition('=')[0]} has no counterpart: ")
    assert instead in said


def test_dots_are_drawn_as_run_infer_was_told(slides, masks, tmp_path):
    words = ("--input_mask_dir", str(masks), "--draw_dot", "--overlay", f"{tmp_path}/{{slide}}.png")
    assert run(slides, tmp_path, *words) == 0
    assert (tmp_path / "a.png").stat().st_size
