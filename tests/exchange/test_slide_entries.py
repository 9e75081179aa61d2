"""Slides that are folders or several files are found in a folder, each once."""

from __future__ import annotations

import json
import shutil

import pytest

from deeplab.exchange.samples import find_samples
from tests.containers_for_tests import write_dicom, write_zarr
from tests.slides_for_tests import tissue

RGB, _ = tissue(300, 200)
ONE = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]},
            "properties": {"classification": {"name": "tumor"}},
        }
    ],
}


def draw(path):
    path.write_text(json.dumps(ONE))


def found(source):
    samples = find_samples(str(source))
    return [sample.name for sample in samples.samples], [left.name for left in samples.left_out]


def test_folders_that_are_slides_have_annotations_beside_them(tmp_path):
    write_zarr(tmp_path / "a.zarr", RGB)
    write_dicom(tmp_path / "b", RGB)
    write_zarr(tmp_path / "c.zarr", RGB)
    (tmp_path / "other").mkdir()
    draw(tmp_path / "a.geojson")
    draw(tmp_path / "b.geojson")
    assert found(tmp_path) == (["a.zarr", "b"], ["c.zarr"])
    assert found(tmp_path / "a.zarr") == (["a.zarr"], [])
    assert found(tmp_path / "b") == (["b"], [])


@pytest.mark.parametrize("name", ["a.zarr.zip", "a.ome.zarr.zip", "a.ome.ZARR.zip"])
@pytest.mark.parametrize("drawn", ["a.geojson", "{}.geojson"])
def test_a_zipped_zarr_is_found_among_slides(tmp_path, name, drawn):
    whole = write_zarr(tmp_path / "whole", RGB)
    (tmp_path / "in").mkdir()
    shutil.move(shutil.make_archive(str(tmp_path / "b"), "zip", whole), tmp_path / "in" / name)
    draw(tmp_path / "in" / drawn.format(name))
    assert found(tmp_path / "in") == ([name], [])
    assert found(tmp_path / "in" / name) == ([name], [])


def test_a_zip_of_annotations_is_no_slide(tmp_path):
    write_zarr(tmp_path / "a.zarr", RGB)
    draw(tmp_path / "a.geojson")
    (tmp_path / "other.zip").write_bytes(b"PK")
    assert found(tmp_path) == (["a.zarr"], [])


@pytest.mark.parametrize("drawn", ["level0.geojson", "level1.geojson", "level1.dcm.geojson"])
def test_a_series_among_other_files_is_one_slide(tmp_path, drawn):
    write_dicom(tmp_path, RGB, levels=3)
    draw(tmp_path / drawn)
    assert found(tmp_path) == ([drawn.removesuffix(".geojson").removesuffix(".dcm") + ".dcm"], [])


def test_a_file_of_a_series_may_be_asked_for(tmp_path):
    write_dicom(tmp_path, RGB, levels=3)
    draw(tmp_path / "level0.geojson")
    draw(tmp_path / "level2.geojson")
    assert found(tmp_path / "level2.dcm") == (["level2.dcm"], [])
    assert found(tmp_path) == (["level0.dcm"], [])


def test_a_list_may_name_folders(tmp_path):
    write_zarr(tmp_path / "a.zarr", RGB)
    draw(tmp_path / "x.geojson")
    (tmp_path / "list.csv").write_text("slide,annotation\na.zarr,x.geojson\n")
    assert found(tmp_path / "list.csv") == (["a.zarr"], [])
