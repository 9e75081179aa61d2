"""Public data sets of nuclei become folders that a training takes."""

import csv

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from deeplab.annotations.files import read_annotations
from deeplab.exchange.samples import find_samples
from deeplab_cli.main import main

SIDE = 64
RGB = np.full((SIDE, SIDE, 3), 200, np.uint8)
IDS = np.zeros((SIDE, SIDE), np.int64)
IDS[2:8, 2:8], IDS[2:8, 8:14], IDS[20:30, 20:30] = 1, 2, 3  # the first two touch
TYPES = np.where(IDS == 3, 2, IDS > 0)


def pannuke(folder, fold_count=3):
    for fold in range(1, fold_count + 1):
        images, masks = (folder / f"Fold {fold}/{kind}/fold{fold}" for kind in ("images", "masks"))
        for each in (images, masks):
            each.mkdir(parents=True)
        mask = np.zeros((2, SIDE, SIDE, 6))
        mask[1, :, :, 0], mask[1, :, :, 3] = IDS * (IDS < 3), IDS * (IDS == 3)
        np.save(images / "images.npy", np.stack([RGB, RGB]).astype(np.float64))
        np.save(images / "types.npy", np.array(["Breast", "Bile-duct"]))
        np.save(masks / "masks.npy", mask)


def conic(folder):
    np.save(folder / "images.npy", np.stack([RGB, RGB]))
    np.save(folder / "labels.npy", np.stack([np.dstack([IDS, TYPES])] * 2).astype(np.uint16))
    (folder / "patch_info.csv").write_text("patch_info\nconsep_1-0001\ndpath_7-0002\n")


def consep(folder):
    for part in ("Train", "Test"):
        for kind in ("Images", "Labels"):
            (folder / part / kind).mkdir(parents=True)
        name = f"{part.lower()}_1"
        Image.fromarray(RGB).save(folder / part / "Images" / f"{name}.png")
        savemat(
            folder / part / "Labels" / f"{name}.mat",
            {"inst_map": IDS.astype(float), "type_map": TYPES.astype(float)},
        )


def monuseg(folder):
    ring = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((1, 1), (9, 1), (9, 9), (1, 9)))
    region = "<Region><Vertices>" + ring + "</Vertices></Region>"
    for part, name in (("Train", "TCGA-18-5592-01Z"), ("Train", "b"), ("Test", "c")):
        (folder / part).mkdir(exist_ok=True)
        Image.fromarray(RGB).save(folder / part / f"{name}.tif")
        (folder / part / f"{name}.xml").write_text(
            '<Annotations><Annotation Id="1"><Regions>' + region * 2 + "</Regions></Annotation>"
            "</Annotations>"
        )


@pytest.fixture
def unpack(tmp_path, capsys):
    (tmp_path / "data").mkdir()

    def unpacked(layout, *words):
        if layout:
            layout(tmp_path / "data")
        code = main(["unpack", str(tmp_path / "data"), str(tmp_path / "out"), *words])
        said = capsys.readouterr()
        if code:
            return code, said.err
        with (tmp_path / "out/list.csv").open() as file:
            return list(csv.DictReader(file)), said.out

    return unpacked


def nuclei(folder, row):
    read = read_annotations(folder / row["annotation"])
    assert read.mpp is not None
    assert read.mpp.mean == pytest.approx(float(row["mpp"]), rel=1e-5)
    return {layer.name: len(layer.shapes) for layer in read.layers if layer.shapes}


def test_pannuke_has_a_channel_for_each_type_and_its_last_fold_held_out(unpack, tmp_path):
    rows, said = unpack(pannuke)
    assert [row["slide"] for row in rows[:2]] == [
        "fold1_00000_Breast.png",
        "fold1_00001_Bile-duct.png",
    ]
    assert [row["split"] for row in rows] == ["train"] * 4 + ["validation"] * 2
    assert nuclei(tmp_path / "out", rows[0]) == {}
    assert nuclei(tmp_path / "out", rows[1]) == {"neoplastic": 2, "dead": 1}
    assert (np.asarray(Image.open(tmp_path / "out" / rows[0]["slide"])) == RGB).all()
    assert "PanNuke: 6 pictures (4 train, 2 validation)" in said
    assert "dead: 3 nuclei" in said
    assert "all are taken for 0.25, as slide_mpp says" in said


def test_what_is_unpacked_is_what_a_training_takes(unpack, tmp_path):
    unpack(pannuke, "--validation", "1", "--classes", "a,b,c,d,e", "--slide_mpp", "0.5")
    found = find_samples(str(tmp_path / "out/list.csv"))
    assert not found.left_out
    assert [sample.split for sample in found.samples] == ["validation"] * 2 + ["train"] * 4
    assert {sample.mpp for sample in found.samples} == {0.5}
    assert found.samples[1].load().names == ("a", "b", "c", "d", "e")
    # In a folder without the list pictures and nuclei find each other by their names.
    beside = find_samples(str(tmp_path / "out"))
    assert [sample.name for sample in beside.samples] == [sample.name for sample in found.samples]


def test_conic_keeps_patches_of_one_picture_together(unpack, tmp_path):
    rows, _ = unpack(conic)
    assert [(row["patient"], row["split"]) for row in rows] == [("consep_1", ""), ("dpath_7", "")]
    assert nuclei(tmp_path / "out", rows[0]) == {"neutrophil": 2, "epithelial": 1}


def test_consep_is_split_as_its_authors_did(unpack, tmp_path):
    rows, _ = unpack(consep)
    assert {row["slide"]: row["split"] for row in rows} == {
        "test_1.png": "validation",
        "train_1.png": "train",
    }
    assert nuclei(tmp_path / "out", rows[0]) == {"other": 2, "inflammatory": 1}


def test_monuseg_keeps_outlines_that_overlap_and_its_patients(unpack, tmp_path):
    rows, _ = unpack(monuseg)
    told = {row["slide"]: (row["patient"], row["split"]) for row in rows}
    assert told == {
        "TCGA-18-5592-01Z.tif": ("TCGA-18-5592", "train"),
        "b.tif": ("", "train"),
        "c.tif": ("", "validation"),
    }
    assert nuclei(tmp_path / "out", rows[0]) == {"nucleus": 2}


def nothing(_folder):
    pass


def pickled(folder):
    conic(folder)
    np.save(folder / "labels.npy", np.array([{"a": 1}], object), allow_pickle=True)


def of_other_size(folder):
    conic(folder)
    np.save(folder / "images.npy", np.stack([RGB[:9]] * 2))


def of_other_types(folder):
    conic(folder)
    np.save(folder / "labels.npy", np.full((2, SIDE, SIDE, 2), 9, np.uint16))


def cut_short(folder):
    conic(folder)
    whole = (folder / "labels.npy").read_bytes()
    (folder / "labels.npy").write_bytes(whole[:-100])


@pytest.mark.parametrize(
    ("layout", "words", "sentence"),
    [
        (nothing, [], "is laid out as none of PanNuke (images.npy, masks.npy)"),
        (pickled, [], "labels.npy is not an array of NumPy that can be read"),
        (cut_short, [], "labels.npy is not an array of NumPy that can be read"),
        (of_other_size, [], "has the shape (2, 64, 64, 2), but its pictures (2, 9, 64, 3)"),
        (of_other_types, [], "picture 0 holds the type 9"),
        (conic, ["--classes", "a,b"], "must be a name for each of the 6 types of CoNIC"),
        (pannuke, ["--validation", "9"], "must be a part of PanNuke (1, 2, 3)"),
        (conic, ["--slide_mpp", "0"], "slide_mpp must be"),
    ],
)
def test_what_is_no_such_data_set_is_one_sentence(unpack, tmp_path, layout, words, sentence):
    code, said = unpack(layout, *words)
    assert [each.name for each in tmp_path.iterdir()] == ["data"]
    assert (code, said.count("\n")) == (2, 1)
    assert sentence in said


def test_of_a_data_set_that_is_damaged_further_on_nothing_is_left(unpack, tmp_path):
    def with_a_bad_picture(folder):
        conic(folder)
        pictures = np.stack([RGB, RGB]).astype(float)
        pictures[1] = np.nan
        np.save(folder / "images.npy", pictures)

    (tmp_path / "out").mkdir()  # which may be there, with nothing in it
    code, said = unpack(with_a_bad_picture)
    assert (code, "picture 1 has values that are not from 0 to 255" in said) == (2, True)
    assert not list((tmp_path / "out").iterdir())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data", "out"]
    assert len(unpack(conic)[0]) == 2  # whole, the next time


def test_a_folder_that_holds_something_is_left_alone(unpack, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("x")
    code, said = unpack(conic)
    assert (code, "a folder that is new or holds nothing" in said) == (2, True)
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["mine.txt"]
