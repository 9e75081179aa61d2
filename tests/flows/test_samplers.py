"""SURF's samplers from the front door: what they ask of slides is said before anything is trained."""

import numpy as np
import pytest
import shapely

from deeplab.annotations.formats.asap_xml import write_asap_xml
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab_cli.main import main
from tests.slides_for_tests import PINK, write_tiff
from tests.small_runs import TRAINING

SMALL = {k: v for k, v in TRAINING.items() if k != "classes"} | {"steps": 4, "validate_every": 4}


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


def node(folder, patient, node=0):
    rgb = np.full((300, 300, 3), PINK, np.uint8)
    write_tiff(folder / f"patient_{patient:03}_node_{node}.tif", rgb, mpp=0.5)


def drawn_for(folder, patient, node=0):
    shape = Shape(shapely.box(30, 30, 200, 200))
    path = folder / f"patient_{patient:03}_node_{node}.xml"
    write_asap_xml(path, Annotations((Layer("metastases", (255, 0, 0), (shape,)),)))


@pytest.fixture
def published(tmp_path):
    """Slides and ASAP XML in folders of their own, of patients of three centres."""
    slides, labels = tmp_path / "images", tmp_path / "annotations"
    slides.mkdir()
    labels.mkdir()
    for patient in (4, 24, 44):
        node(slides, patient)
        drawn_for(labels, patient)
    return slides, labels


def train(capsys, *words):
    out = ("--classes", "metastases", "--patch_size", "65", "--dry_run")
    code = main(["train", *map(str, words), *out])
    out, err = capsys.readouterr()
    return code, out + err


def test_slides_and_labels_may_lie_apart_and_centres_say_the_sides(published, capsys):
    slides, labels = published
    words = ("--slide_path", slides, "--label_path", labels, "--output_model", slides / "m.zip")
    code, said = train(capsys, *words, "--train_centers", "0", "1", "--val_centers", "2")
    assert code == 0, said
    assert "2 slides to learn from, 1 held out, 0 left out" in said
    code, said = train(capsys, *words, "--train_centers", "0", "--val_centers", "4")
    assert code == 2
    assert (
        "val_centers 4 leaves no slide to validate on; there are slides of centre 0, 1, 2" in said
    )
    code, said = train(capsys, *words, "--train_centers", "3")
    assert code == 2
    assert (
        "train_centers 3 leaves no slide to learn from; there are slides of centre 0, 1, 2" in said
    )
    code, said = train(capsys, *words, "--train_centers", "-1", "--val_split", "0.4")
    assert code == 0, said
    assert "2 slides to learn from, 1 held out" in said


def test_held_out_slides_may_have_folders_of_their_own(published, tmp_path, capsys):
    slides, labels = published
    for name in ("valid", "valid_labels"):
        (tmp_path / name).mkdir()
    node(tmp_path / "valid", 60)
    drawn_for(tmp_path / "valid_labels", 60)
    valid = (
        "--valid_slide_path",
        tmp_path / "valid",
        "--valid_label_path",
        tmp_path / "valid_labels",
    )
    code, said = train(capsys, slides, tmp_path / "m.zip", "--label_path", labels, *valid)
    assert code == 0, said
    assert "3 slides to learn from, 1 held out, 0 left out" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--model", "effdetd0"],
            "--model has no counterpart: give --network, one of deeplabv3plus, ",
        ),
        (
            ["--name", "efficientdet-d0"],
            "--name has no counterpart: give --network, one of deeplabv3plus, ",
        ),
        (["--weights_path", "none.zip"], "none.zip"),
        (["--no_cuda"], "--no_cuda has no counterpart: give --GPU -1"),
        (["--horovod"], "--horovod has no counterpart: give --workers"),
        (
            ["--fp16_allreduce"],
            "--fp16_allreduce has no counterpart: give --reduce_precision float16",
        ),
        (["--slide_format", "tif"], "--slide_format has no counterpart: the format is told by"),
        (["--label_format", "xml"], "--label_format has no counterpart: the format is told by"),
        (["--sample_processes", "4"], "--sample_processes has no counterpart: threads read"),
        (["--log_every", "2"], "--log_every has no counterpart: each step is in the log"),
        (["--debug"], "--debug has no counterpart: what a run does is always logged"),
        (
            ["--pos_pixel_weight", "2"],
            "--pos_pixel_weight has no counterpart: give --class_weights",
        ),
        (
            ["--neg_pixel_weight", "2"],
            "--neg_pixel_weight has no counterpart: give --class_weights",
        ),
        (
            ["--hard_mining", "--seed", "1"],
            "--hard_mining needs a value (Share of the patches drawn",
        ),
        (
            ["--train_centers", "7"],
            "train_centers must be centres of CAMELYON17, 0 to 4, but is '7'",
        ),
        (
            ["--train_centers", "1", "--val_centers", "1"],
            "val_centers must be none of train_centers",
        ),
        (["--valid_label_path", "/"], "valid_label_path must be left away where there is no valid"),
    ],
)
def test_each_flag_of_the_original_is_taken_or_answered_by_what_to_give(
    published, capsys, words, said
):
    slides, labels = published
    code, text = train(capsys, slides, slides / "m.zip", "--label_path", labels, *words)
    assert code == 2
    assert said in text


def test_the_other_flags_of_the_original_are_taken(published, capsys):
    slides, labels = published
    flags = (
        "--batch_size 2 --num_steps 3 --val_split 0.3 --hard_mining 0.2 --bb_downsample 3"
        " --data_sampler surf --batch_tumor_ratio 0.25 --log_dir logs --validate_every 2 --img_size 65"
    )
    words = (slides, slides / "m.zip", "--label_path", labels, *flags.split())
    code, said = train(capsys, *words)
    assert code == 0, said
    words = ("--data_sampler", "radboud", "--resolution", "0.5", "--label_map", "metastases:1")
    assert train(capsys, slides, slides / "m.zip", "--label_path", labels, *words)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["--data_sampler", "surf", "--bb_downsample", "3", "--WSI_downsample", "1,2"],
        ["--data_sampler", "radboud", "--label_map", "_0:0", "_2:1", "--resolution", "0.5"],
    ],
    ids=["surf", "radboud"],
)
def test_a_network_learns_from_what_a_sampler_draws(slides, tmp_path, capsys, words):
    model = tmp_path / "m.zip"
    if words[1] == "surf":
        words = [*words, "--label_map", "_2:1"]
    small = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    code = main(["train", str(slides), str(model), "--classes", "tumour", *small, *words])
    assert code == 0, capsys.readouterr().err
    assert model.is_file()
