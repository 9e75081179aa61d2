"""Pixelmaps on a server become shapes: their label images lie there, too."""

import io

import numpy as np
import pytest
import shapely
import tifffile

from deeplab.errors import ServerError
from deeplab.exchange import label_images
from deeplab.exchange.label_images import LabelImages
from deeplab.server.session import Session
from tests.annotations.documents_for_tests import read_documents
from tests.girder_for_tests import FOLDER, ITEM, fake_girder


@pytest.fixture
def girder():
    regions = io.BytesIO()
    tifffile.imwrite(regions, np.eye(2, dtype=np.uint8).repeat(5, 0).repeat(5, 1))
    content = regions.getvalue()
    routes = {
        f"item/{ITEM}": {"_id": ITEM, "name": "../labels.tiff", "folderId": FOLDER},
        f"item/{ITEM}/files": [{"_id": ITEM, "name": "../labels.tiff", "size": len(content)}],
        f"file/{ITEM}/download": ("image/tiff", content),
    }
    with fake_girder(routes=routes) as girder:
        yield girder


def superpixels(girder_id=ITEM):
    categories = [{"label": "default", "fillColor": "transparent"}, {"label": "tubules"}]
    element = {"type": "pixelmap", "girderId": girder_id, "boundaries": False}
    return {"name": "a", "elements": [element | {"values": [0, 1], "categories": categories}]}


def read(girder, folder, *documents):
    with Session(girder.login) as session:
        return read_documents(list(documents), label_image=LabelImages(session, folder))


def test_a_label_image_is_fetched_once_and_drawn(girder, tmp_path):
    layer = read(girder, tmp_path, superpixels(), superpixels()).layer("tubules")
    assert [shape.polygon.equals(shapely.box(0, 0, 5, 5)) for shape in layer.shapes].count(
        True
    ) == 2
    assert [path for path, _ in girder.asked].count(f"file/{ITEM}/download") == 1
    assert [path.parent for path in tmp_path.rglob("*")] == [tmp_path], "names are not paths"


@pytest.mark.parametrize("status", [403, 404])
def test_one_that_is_gone_or_hidden_is_left_out_and_said(girder, tmp_path, status):
    girder.routes[f"item/{ITEM}"] = status
    found = read(girder, tmp_path, superpixels())
    assert found.shape_count == 0
    assert found.remarks[0].startswith(f"1 left out: pixelmap of the label image {ITEM}")


def test_what_is_no_id_is_not_asked_for(girder, tmp_path):
    assert read(girder, tmp_path, superpixels("../../user")).remarks
    assert girder.asked == []


def test_one_that_is_too_large_is_refused_before_it_is_fetched(girder, tmp_path, monkeypatch):
    monkeypatch.setattr(label_images, "MAX_BYTES", 10)
    with pytest.raises(ServerError, match="more than 10 bytes"):
        read(girder, tmp_path, superpixels())
    assert not any("download" in path for path, _ in girder.asked)
