"""The formats of annotations, packed ones too, as each task reads them."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import shapely
import tifffile
from PIL import Image
from scipy.io import savemat

from deeplab.annotations.files import read_annotations
from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.table import FORMATS, named
from deeplab.annotations.shapes import Annotations, Layer, Mark, Shape
from deeplab.files import scratch_folder
from deeplab.geometry.frames import Mpp
from tests.annotations.ndpi import write_ndpi_head
from tests.fuzz.harness import Target

SIDE = 128  # of masks, pixels


def drawn() -> Annotations:
    """Two layers with a hole, a point, a line, numbers and words."""
    square, hole = shapely.box(10, 10, 110, 110), shapely.box(30, 30, 50, 60)
    shapes = (Shape(square - hole, {"area": 9400.5, "who": "me"}), Shape(shapely.box(0, 0, 9, 9)))
    marks = (Mark(shapely.Point(5, 5)), Mark(shapely.LineString([(0, 0), (9, 9)])))
    layers = (
        Layer("tumor", (200, 0, 9), shapes, "as drawn", marks),
        Layer("Gefäß", (0, 9, 200), (Shape(shapely.box(60.5, 60, 80, 90)),)),
    )
    return Annotations(layers, {}, Mpp.square(0.5))


def write_seeds(name: str, folder: Path) -> list[Path]:
    """Write what this product writes in a format, and what others do."""
    form = named(name)
    path = folder / f"a{form.suffixes[0]}"
    form.write(path, drawn(), Writing(width_level0=SIDE, height_level0=SIDE))
    return [path, *(OTHERS[name](folder) if name in OTHERS else ())]


def halo(folder: Path) -> list[Path]:
    """HALO's words, and names in the code page of Windows."""
    vertices = "".join(f'<V X="{x}" Y="{y}"/>' for x, y in ((1, 1), (99, 1), (99, 50)))
    regions = "".join(
        f'<Region Type="{kind}" NegativeROA="{negative}"><Vertices>{vertices}</Vertices></Region>'
        for kind, negative in (("Polygon", 0), ("Polygon", 1), ("Ellipse", 0), ("Ruler", 0))
    )
    text = (
        '<Annotations><Annotation LineColor="65535" Name="Gef\xe4\xdf"><Regions>'
        f"{regions}</Regions></Annotation></Annotations>"
    )
    (folder / "halo.annotations").write_bytes(text.encode("cp1252"))
    return [folder / "halo.annotations"]


def run_lengths(folder: Path) -> list[Path]:
    """COCO's run lengths, compressed or not, of two pictures."""
    found = [
        {"size": [20, 30], "counts": [30, 5, 565]},
        {"size": [20, 30], "counts": "n05Zj0"},
    ]
    document = {
        "images": [{"id": n, "file_name": f"{n}.tif"} for n in range(2)],
        "categories": [{"id": 0, "name": "tumor", "color": [1, 2, 3]}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 0, "segmentation": each, "score": 0.5}
            for n, each in enumerate(found)
        ],
    }
    (folder / "runs.json").write_text(json.dumps(document))
    return [folder / "runs.json"]


def pictures(folder: Path) -> list[Path]:
    """Masks of other programs: white, palette, colours, 16 bits, in strips and tiles."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[10:50, 20:60], labels[70:90, 70:90] = 1, 2
    grey = Image.fromarray(labels)
    palette = Image.fromarray(labels)
    palette.putpalette(range(30))
    kept = {
        "grey.png": grey,
        "palette.png": palette,
        "colours.png": grey.convert("RGBA"),
        "deep.png": Image.fromarray((labels > 0) * np.uint16(65535)),
        "bits.png": Image.fromarray(labels > 0),
    }
    for name, image in kept.items():
        image.save(folder / name)
    tifffile.imwrite(folder / "tiles.tif", labels, tile=(32, 32), compression="deflate")
    tifffile.imwrite(folder / "strips.tif", labels.astype(np.uint16), rowsperstrip=9)
    tifffile.imwrite(folder / "rgb.tif", np.dstack([labels] * 3), photometric="rgb")
    return [folder / name for name in (*kept, "tiles.tif", "strips.tif", "rgb.tif")]


def numbers(folder: Path) -> list[Path]:
    """Objects of 16 bits in a PNG, with their types beside it."""
    ids = np.zeros((SIDE, SIDE), np.uint16)
    ids[10:50, 20:60], ids[10:50, 60:90], ids[70:90, 70:90] = 1, 300, 1
    Image.fromarray(ids).save(folder / "b.instances.png")
    Image.fromarray((ids > 0).astype(np.uint8)).save(folder / "b.types.png")
    return [folder / "b.instances.png"]


def consep(folder: Path) -> list[Path]:
    """Nuclei with types by pixel and by row, under compression or not."""
    ids = np.zeros((SIDE, SIDE))
    ids[10:50, 20:60], ids[10:50, 60:90] = 1, 2
    arrays = {"inst_map": ids, "inst_type": np.array([[1], [2]])}
    savemat(folder / "rows.mat", arrays)
    savemat(folder / "both.mat", arrays | {"type_map": ids}, do_compression=True)
    savemat(folder / "old.mat", arrays, format="4")
    return [folder / name for name in ("rows.mat", "both.mat", "old.mat")]


def packed(folder: Path) -> list[Path]:
    """A zip of two files, and one under gzip."""
    plain = folder / "plain.geojson"
    named("geojson").write(plain, drawn(), Writing())
    (folder / "a.geojson.gz").write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.geojson", "b.geojson"):
            archive.writestr(zipfile.ZipInfo(name), plain.read_bytes())
    plain.unlink()
    return [folder / "a.geojson.gz", folder / "a.zip"]


def ndpa(folder: Path) -> list[Path]:
    """Drawings of NDP.view."""
    corners = "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x, y in ((1, 1), (9, 1), (9, 9)))
    view = (
        '<ndpviewstate id="1"><title>tumor</title><coordformat>nanometers</coordformat>'
        '<annotation type="{}" color="#ff0000">{}</annotation></ndpviewstate>'
    )
    drawings = view.format("freehand", f"<closed>1</closed><pointlist>{corners}</pointlist>")
    drawings += view.format("circle", "<x>5</x><y>5</y><radius>500</radius>")
    (folder / "a.ndpa").write_text(f"<annotations>{drawings}</annotations>")
    return [folder / "a.ndpa"]


OTHERS: dict[str, Callable[[Path], list[Path]]] = {
    "imagescope": halo,
    "coco": run_lengths,
    "mask": pictures,
    "instances": numbers,
    "mat": consep,
}


def parse(path: Path) -> object:
    """Read all shapes, which lie on disk meanwhile."""
    with scratch_folder() as spill:
        found = read_annotations(path, Reading(spill=spill, slide="1.tif"))
        return [list(layer.shapes) + list(layer.marks) for layer in found.layers]


def parse_ndpa(path: Path) -> object:
    """Read all drawings, with the slide at hand."""
    with scratch_folder() as folder:
        slide = write_ndpi_head(folder / "a.ndpi")
        found = read_annotations(path, Reading(slide_file=slide))
        return [list(layer.shapes) + list(layer.marks) for layer in found.layers]


TARGETS = (
    *(
        Target(name=form.name, seeds=partial(write_seeds, form.name), parse=parse)
        for form in FORMATS
        if form.name != "geojson"
    ),
    Target(name="packed", seeds=packed, parse=parse),
    Target(name="ndpa", seeds=ndpa, parse=parse_ndpa),
)
