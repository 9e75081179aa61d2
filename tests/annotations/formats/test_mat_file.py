"""MATLAB files of nuclei: CoNSeP's and HoVer-Net's forms, and what is neither."""

import tracemalloc

import numpy as np
import pytest
import shapely
from scipy.io import loadmat, savemat

from deeplab.annotations.files import read_file
from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.mat5 import read_arrays
from deeplab.annotations.formats.mat_file import write_mat
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.errors import AnnotationError

IDS = np.zeros((20, 30))
IDS[2:8, 2:8], IDS[2:8, 8:14], IDS[12:15, 2:5] = 3, 7, 8
TYPE_MAP = np.zeros((20, 30))
TYPE_MAP[2:8, 2:8], TYPE_MAP[2:8, 8:14] = 2, 2
UIDS, KINDS = np.array([[3], [7], [8]]), np.array([[2], [2], [1]])


def layers(path, **reading):
    read = read_file(path, Reading(**reading)).annotations
    return {layer.name: len(layer.shapes) for layer in read.layers}


def mat(folder, **arrays):
    savemat(folder / "a.mat", arrays)
    return folder / "a.mat"


def test_consep_has_its_types_by_pixel_and_by_row(tmp_path):
    centroids = np.array([[4.5, 4.5], [10.5, 4.5], [3, 13]])
    both = {"inst_map": IDS, "type_map": TYPE_MAP, "inst_type": KINDS, "inst_centroid": centroids}
    assert layers(mat(tmp_path, **both)) == {"type 2": 2, "nuclei": 1}
    del both["type_map"]
    path = mat(tmp_path, **both)
    assert layers(path) == {"type 2": 2, "type 1": 1}
    assert layers(path, classes=("epithelium", "stroma")) == {"epithelium": 1, "stroma": 2}
    (tmp_path / "type_info.json").write_text('{"2": ["stroma", [9, 8, 7]]}')
    assert layers(path) == {"stroma": 2, "type 1": 1}


def test_rows_of_hovernet_are_those_of_its_numbers(tmp_path):
    turned = {"inst_uid": UIDS[::-1], "inst_type": KINDS[::-1]}
    assert layers(mat(tmp_path, inst_map=IDS.astype(np.int32), **turned)) == {
        "type 2": 2,
        "type 1": 1,
    }


def test_nuclei_without_types_are_of_the_one_class_there_is(tmp_path):
    path = mat(tmp_path, inst_map=IDS)
    assert layers(path) == {"nuclei": 3}
    assert layers(path, classes=("nucleus",)) == {"nucleus": 3}
    assert layers(path, classes=("a", "b")) == {"a": 0, "b": 0, "nuclei": 3}


def test_what_is_written_is_what_hovernet_writes(tmp_path):
    squares = [Shape(shapely.box(x, 2, x + 4, 8)) for x in (2, 6, 20)]
    drawn = Annotations((Layer("a", (1, 2, 3), squares[:2]), Layer("b", (4, 5, 6), squares[2:])))
    write_mat(tmp_path / "a.mat", drawn, Writing(width_level0=40, height_level0=10))
    told = loadmat(tmp_path / "a.mat")
    assert told["inst_map"].shape == (10, 40)
    assert told["inst_map"].dtype == np.int32
    assert told["inst_map"][4, [2, 5, 6, 9, 20, 30]].tolist() == [1, 1, 2, 2, 3, 0]
    assert told["inst_uid"].tolist() == [[1], [2], [3]]
    assert told["inst_type"].tolist() == [[1], [1], [2]]
    # As their centres of mass, which count whole numbers as the middles of pixels.
    assert told["inst_centroid"].tolist() == [[3.5, 4.5], [7.5, 4.5], [21.5, 4.5]]
    read = read_file(tmp_path / "a.mat").annotations
    assert [(layer.name, layer.colour) for layer in read.layers] == [
        ("a", (1, 2, 3)),
        ("b", (4, 5, 6)),
    ]


def test_of_a_nucleus_under_another_there_is_no_row(tmp_path):
    twice = [Shape(shapely.box(0, 0, 4, 4))] * 2
    write_mat(tmp_path / "a.mat", Annotations((Layer("a", (1, 2, 3), twice),)), Writing())
    told = loadmat(tmp_path / "a.mat")
    assert told["inst_uid"].tolist() == [[2]]
    assert told["inst_type"].tolist() == [[1]]


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"other": IDS, "more": 1}, r"has no inst_map, so it holds no nuclei \(there are: other"),
        ({"inst_map": IDS + 0.5}, "inst_map holds fractions"),
        ({"inst_map": IDS - 1}, "inst_map holds -1"),
        ({"inst_map": IDS * np.nan}, "inst_map holds nan"),
        ({"inst_map": "words"}, "inst_map is of the kind text"),
        ({"inst_map": np.zeros((4, 4, 4))}, r"inst_map has the shape \(4, 4, 4\)"),
        ({"inst_map": np.zeros((0, 3))}, r"inst_map has the shape \(0, 3\)"),
        ({"inst_map": IDS, "type_map": TYPE_MAP[:9]}, r"type_map has the shape \(9, 30\)"),
        ({"inst_map": IDS, "inst_type": KINDS[:2]}, "inst_type has 2 rows for 3 nuclei"),
        ({"inst_map": IDS, "inst_type": KINDS * 200}, "inst_type holds the type 400"),
        ({"inst_map": {"a": IDS}}, "inst_map is of the kind struct"),
        ({"inst_map": IDS + 1j}, "inst_map is of the kind complex"),
        ({"inst_map": IDS, "type_info": 3}, "type_info is of the kind numbers"),
    ],
)
def test_what_holds_no_nuclei_is_refused_in_one_sentence(tmp_path, arrays, sentence):
    with pytest.raises(AnnotationError, match=sentence) as caught:
        read_file(mat(tmp_path, **arrays))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["<u2", ">i4", "<f4", "u1", "<i8", "?"])
def test_arrays_are_what_scipy_wrote_in_each_kind(tmp_path, kind, packed):
    random = np.random.default_rng(0)
    arrays = {
        "skipped": random.random((30, 40)),
        "inst_map": random.integers(0, 2, (7, 500)).astype(kind),
        "small": np.ones((1, 1), np.uint8),
        "cells": np.array([["a", IDS]], object),
        "type_info": "words, Gef\xe4\xdf",
    }
    savemat(tmp_path / "a.mat", arrays, do_compression=packed)
    wanted = dict.fromkeys(("inst_map", "small", "type_info"), 5000)
    found, names = read_arrays(tmp_path / "a.mat", wanted)
    assert names == list(arrays)
    np.testing.assert_array_equal(found["inst_map"], arrays["inst_map"])
    assert found["small"].tolist() == [[1]]
    assert found["type_info"] == arrays["type_info"]


def test_what_unpacks_to_more_than_it_says_is_not_unpacked(tmp_path):
    savemat(tmp_path / "a.mat", {"inst_map": np.zeros((4000, 5000))}, do_compression=True)
    tracemalloc.start()
    with pytest.raises(AnnotationError, match="inst_map has 20000000 entries"):
        read_arrays(tmp_path / "a.mat", {"inst_map": 1000})
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_matlab_7_3_and_damage_are_refused(tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512, b" "))
    with pytest.raises(AnnotationError, match="which is HDF5 and not read here; save it with -v7"):
        read_file(path)
    path.write_bytes(b"\x89PNG nothing of the kind" * 30)
    with pytest.raises(AnnotationError, match="not a MATLAB file of version 5; save it with -v7"):
        read_file(path)
    whole = mat(tmp_path, inst_map=IDS).read_bytes()
    for size in (len(whole) - 400, 200, 130, 60):
        path.write_bytes(whole[:size])
        with pytest.raises(AnnotationError):
            read_file(path)


def test_more_pixels_than_are_held_are_refused_before_they_are_read(tmp_path, monkeypatch):
    path = mat(tmp_path, inst_map=IDS)
    monkeypatch.setattr("deeplab.annotations.formats.mat_file.MAX_PIXELS", 500)
    with pytest.raises(AnnotationError, match="inst_map has 600 entries, more than 500"):
        read_file(path)
    with pytest.raises(AnnotationError, match=r"write an instance label image"):
        write_mat(tmp_path / "b.mat", Annotations(()), Writing(width_level0=99, height_level0=99))
