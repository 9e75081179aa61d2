"""Defects of the ancestor, DeepLab-WSI, that must not come back where annotations are read.

The numbers are those of its list of defects.
"""

from collections import Counter

import numpy as np
import pytest

import deeplab.data.truth
import deeplab.exchange.samples
from deeplab.config.classes import IGNORE
from deeplab.config.progress import silent
from deeplab.data.opening import open_slides
from deeplab.slides.large_image_slide import LargeImageTiles
from tests.data.folders import document, request, square, write_slide
from tests.girder_for_tests import FOLDER, fake_girder


@pytest.fixture
def opened():
    made = []

    def use(request):
        made.append(open_slides(request, silent))
        return made[-1].learn

    yield use
    for each in made:
        each.close()


def labels_of(slide):
    frame = slide.slide.frame(0.5)
    return slide.labels(frame, frame.box)


def test_defect_4_ignored_rectangles_stay_rectangles(tmp_path, opened):
    # Two corners of a rectangle were drawn as a line from one to the other.
    box = {"type": "rectangle", "center": [60, 40, 0], "width": 40, "height": 20, "rotation": 0}
    write_slide(tmp_path / "a.tiff", lesion=[square(0, 0, 10)], ignore=[box])
    write_slide(tmp_path / "b.tiff").with_suffix(".xml").write_text(
        '<Annotations><Annotation Name="lesion"><Regions/></Annotation><Annotation Name="ignore">'
        '<Regions><Region Type="1"><Vertices><Vertex X="40" Y="30" Z="0"/>'
        '<Vertex X="80" Y="50" Z="0"/></Vertices></Region></Regions></Annotation></Annotations>'
    )
    for slide in opened(request(tmp_path, "lesion")):
        labels = labels_of(slide)
        assert (labels[30:50, 40:80] == IGNORE).all()
        assert (labels == IGNORE).sum() == 20 * 40


def test_defect_4_elements_that_are_no_polygons_work_or_are_passed_over(tmp_path, opened):
    # Anything without points ended the ancestor's run.
    circle = {"type": "circle", "center": [64, 64, 0], "radius": 20}
    ellipse = {"type": "ellipse", "center": [20, 20, 0], "width": 20, "height": 10, "rotation": 0}
    others = [{"type": "point", "center": [5, 5, 0]}]
    others += [{"type": "arrow", "points": [[0, 0, 0], [9, 9, 0]]}]
    write_slide(tmp_path / "a.tiff", lesion=[circle, ellipse, *others])
    (slide,) = opened(request(tmp_path, "lesion"))
    assert len(slide.shapes_of(1)) == 2
    wanted = np.pi * (20**2 + 10 * 5)
    assert (labels_of(slide) == 1).sum() == pytest.approx(wanted, rel=0.03)


def test_defect_4_holes_are_kept(tmp_path, opened):
    hole = [[20, 20, 0], [40, 20, 0], [40, 40, 0], [20, 40, 0]]
    write_slide(tmp_path / "a.tiff", lesion=[square(10, 10, 60, holes=[hole])])
    (slide,) = opened(request(tmp_path, "lesion"))
    labels = labels_of(slide)
    assert (labels[20:40, 20:40] == 0).all()
    assert (labels == 1).sum() == 60 * 60 - 20 * 20


def test_defect_8_dotted_names_find_their_own_annotation(tmp_path, opened):
    # Whatever stood after the first dot was cut off: all of these were one slide.
    sides = {"TCGA-A1.01.1": 10, "TCGA-A1.01.2": 20, "TCGA-A1": 30, "TCGA-A1.01": 40}
    for name, side in sides.items():
        write_slide(tmp_path / f"{name}.tiff")
        (tmp_path / f"{name}.json").write_text(document(lesion=[square(5, 5, side)]))
    found = {
        slide.name: slide.shapes_of(1)[0].area for slide in opened(request(tmp_path, "lesion"))
    }
    assert found == {f"{name}.tiff": side**2 for name, side in sides.items()}


def test_defect_10_annotations_are_parsed_once_and_slides_opened_once(
    tmp_path, opened, monkeypatch
):
    # The ancestor read its XML several times for each patch, and opened the slide for each tile.
    count = Counter()

    def counted(room, name):
        inner = getattr(room, name)

        def call(*args, **more):
            count[name] += 1
            return inner(*args, **more)

        monkeypatch.setattr(room, name, call)

    for n in range(3):
        write_slide(tmp_path / f"{n}.tiff", lesion=[square(10 * n, 10, 20)])
    counted(deeplab.exchange.samples, "read_annotations")
    counted(deeplab.data.truth, "open_slide")
    slides = opened(request(tmp_path, "lesion"))
    read = LargeImageTiles.read
    monkeypatch.setattr(LargeImageTiles, "read", lambda *args: count.update(tiles=1) or read(*args))
    for _ in range(5):
        for slide in slides:
            frame = slide.slide.frame(0.5)
            slide.read(frame, frame.box)
            slide.labels(frame, frame.box)
    assert count["read_annotations"] == count["open_slide"] == len(slides) == 3
    assert count["tiles"] <= 3


def test_defect_10_nothing_of_a_girder_folder_is_downloaded():
    # The ancestor fetched the whole folder. Slides are read tile by tile; files are not asked for.
    item = {"_id": "0a" * 12, "name": "a.svs", "folderId": FOLDER, "size": 10**12}
    item["largeImage"] = {"fileId": "0b" * 12}
    tiles = {"sizeX": 100, "sizeY": 100, "tileWidth": 128, "tileHeight": 128, "levels": 1}
    routes = {
        "item": [item],
        f"item/{item['_id']}": item,
        "annotation": [{"_id": "7b" * 12, "annotation": {"name": "lesion"}}],
        f"annotation/item/{item['_id']}": [{"annotation": {"name": "lesion", "elements": []}}],
        f"item/{item['_id']}/tiles": tiles,
        f"item/{item['_id']}/tiles/internal_metadata": {"openslide": {}},
    }
    with fake_girder(routes=routes) as girder:
        asked = request(FOLDER, "lesion", api_url=girder.url, token=girder.login.token)
        with pytest.raises(Exception, match="does not state its microns per pixel"):
            open_slides(asked, silent)
    assert not [path for path, _ in girder.asked if "download" in path]
