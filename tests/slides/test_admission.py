"""A slide is read from its own files: whatever it names, and by whatever reader."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import EpsImagePlugin, Image

from deeplab.errors import SlideNotFoundError, UnreadableSlideError
from deeplab.geometry.frames import WorkBox
from deeplab.slides.admission import admit, part
from deeplab.slides.slide import open_slide
from tests.slides_for_tests import noise, write_svs, write_tiff

OWN, OTHERS = "urn:uuid:00000000-0000-4000-8000-00000000000a", "urn:uuid:" + 8 * "b"
SECRET = 77  # the one value of all pixels of another patient's slide
OUTSIDE = "outside of its folder"


def ome(inner: str, *, uuid: str = OWN, size: int = 300, planes: int = 2) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
        f'SizeX="{size}" SizeY="{size}" SizeC="{planes}" SizeZ="1" SizeT="1" '
        f'PhysicalSizeX="0.5" PhysicalSizeY="0.5">{inner}</Pixels></Image></OME>'
    )


def plane(channel: int, name: str, uuid: str) -> str:
    return (
        f'<Channel ID="Channel:0:{channel}" SamplesPerPixel="1"/>'
        f'<TiffData FirstC="{channel}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">{uuid}</UUID></TiffData>'
    )


def write_plane(path: Path, value: int, description: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.full((300, 300), value, np.uint8)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(grey, tile=(128, 128), description=description, metadata=None, software=False)
    return path


def read_all(path: Path) -> np.ndarray:
    with open_slide(path, mpp=0.5) as slide:
        return slide.read(slide.frame(0.5), WorkBox(0, 0, 300, 300))


@pytest.mark.parametrize(
    "name",
    [
        *("../private/patient.ome.tif", "{private}/patient.ome.tif", "link.tif"),
        *("below/../../private/patient.ome.tif", "..\\private\\patient.ome.tif"),
    ],
)
@pytest.mark.parametrize("uuid", [OWN + "0", OTHERS])
def test_an_ome_tiff_is_not_read_from_a_file_outside_of_its_folder(tmp_path, name, uuid):
    """OTHERS is what that file calls itself, as if the one who names it had guessed that."""
    secret = write_plane(
        tmp_path / "private/patient.ome.tif", SECRET, ome(plane(0, "x", OTHERS), uuid=OTHERS)
    )
    name = name.format(private=secret.parent)
    path = tmp_path / "up/crafted.ome.tif"
    write_plane(path, 200, ome(plane(0, name, uuid) + plane(1, name, uuid)))
    (path.parent / "link.tif").symlink_to(secret)
    with files_opened() as opened, pytest.raises(UnreadableSlideError, match=OUTSIDE):
        open_slide(path)
    assert path.resolve() in opened
    assert secret.resolve() not in opened


def test_an_ome_index_outside_of_the_folder_is_not_read(tmp_path):
    index = tmp_path / "private/patient.companion.ome"
    index.parent.mkdir()
    index.write_text(ome(plane(0, "patient.ome.tif", OTHERS), uuid=OTHERS))
    pointer = f'<BinaryOnly MetadataFile="../private/{index.name}" UUID="{OTHERS}"/>'
    xml = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{pointer}</OME>'
    path = write_plane(tmp_path / "up/a.ome.tif", 200, xml)
    with pytest.raises(UnreadableSlideError, match=OUTSIDE):
        open_slide(path)


def test_the_planes_of_an_ome_tiff_may_lie_in_files_beside_it_that_belong_to_it(tmp_path):
    planes = plane(0, "a.ome.tif", OWN) + plane(1, "b.ome.tif", OTHERS)
    path = write_plane(tmp_path / "a.ome.tif", 200, ome(planes))
    beside = write_plane(tmp_path / "b.ome.tif", 90, ome(planes, uuid=OTHERS))
    assert admit(path).parts == (beside,)


def test_a_slide_beside_it_that_does_not_say_that_it_belongs_is_not_read(tmp_path):
    planes = plane(0, "a.ome.tif", OWN) + plane(1, "patient.ome.tif", OTHERS)
    path = write_plane(tmp_path / "a.ome.tif", 200, ome(planes))
    secret = write_plane(tmp_path / "patient.ome.tif", SECRET, ome("", uuid=OWN + "1"))
    assert admit(path).parts == ()
    assert SECRET not in read_all(path)
    assert secret.exists()


def test_an_ome_tiff_that_was_renamed_is_itself(tmp_path):
    path = write_plane(tmp_path / "new.ome.tif", 200, ome(plane(0, "old.ome.tif", OWN), planes=1))
    assert np.all(read_all(path) == 200)


@pytest.mark.parametrize("key", ["INDEXFILE", "FILE_1", "  FILE_0 "])
@pytest.mark.parametrize("name", ["../../private/Data0000.dat", "/etc/passwd", "link.dat"])
def test_a_mirax_slide_names_files_of_its_folder_only(tmp_path, key, name):
    path = tmp_path / "up/a.mrxs"
    inner = path.with_suffix("")
    inner.mkdir(parents=True)
    path.write_bytes(b"\xff\xd8\xff\xe0 a small picture")
    (inner / "link.dat").symlink_to("/etc/passwd")
    (inner / "Slidedat.ini").write_text(f"\ufeff[DATAFILE]\nFILE_COUNT = 2\n{key}= {name}\r\n")
    with pytest.raises(UnreadableSlideError, match=OUTSIDE):
        open_slide(path)


def test_a_mirax_folder_may_not_lead_elsewhere(tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "private/Slidedat.ini").write_text("[DATAFILE]\n")
    path = tmp_path / "up/a.mrxs"
    path.parent.mkdir()
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UnreadableSlideError, match="needs its folder a beside it"):
        open_slide(path)
    path.with_suffix("").symlink_to(tmp_path / "private")
    with pytest.raises(UnreadableSlideError, match=OUTSIDE):
        open_slide(path)


def test_a_mirax_slide_given_by_links_is_its_own(tmp_path):
    store = tmp_path / "store/a"
    store.mkdir(parents=True)
    (store / "Slidedat.ini").write_text("INDEXFILE = Index.dat\n")
    store.with_suffix(".mrxs").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "mine").mkdir()
    for each in ("a", "a.mrxs"):
        (tmp_path / "mine" / each).symlink_to(store.parent / each)
    assert admit(tmp_path / "mine/a.mrxs").kind == "mirax"


@pytest.mark.parametrize(
    "head", ["[Virtual Microscope Specimen]", "[Uncompressed Virtual Microscope Specimen]"]
)
@pytest.mark.parametrize("key", ["ImageFile", "ImageFile(1,0)", "MapFile", "OptimisationFile"])
def test_a_hamamatsu_index_names_files_of_its_folder_only(tmp_path, head, key):
    path = tmp_path / "up/a.vms"
    path.parent.mkdir()
    path.write_text(f"{head}\nNoLayers=1\n{key}=../private/patient.jpg\n")
    with pytest.raises(UnreadableSlideError, match=OUTSIDE):
        open_slide(path)
    path.write_text(f"{head}\nNoLayers=1\n{key}=image.jpg\n")
    assert admit(path).parts == (path.parent / "image.jpg",)


def test_neighbours_of_a_dicom_slide_may_not_lead_elsewhere(tmp_path):
    dicom = b"\0" * 128 + b"DICM"
    for name in ("up/1.dcm", "up/2.dcm", "private/3.dcm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(dicom)
    (tmp_path / "up/list.txt").write_text("no DICOM")
    assert admit(tmp_path / "up/1.dcm").parts == (tmp_path / "up/2.dcm",)
    assert admit(tmp_path / "up").kind == "dicom"
    (tmp_path / "up/3.dcm").symlink_to(tmp_path / "private/3.dcm")
    for path in (tmp_path / "up/1.dcm", tmp_path / "up"):
        with pytest.raises(UnreadableSlideError, match=OUTSIDE):
            admit(path)


@pytest.mark.parametrize("place", ["0", "0/c/0/0/0"])
def test_a_zarr_holds_no_links_that_lead_out(tmp_path, place):
    path = tmp_path / "a.zarr"
    (path / "0/c/0/0").mkdir(parents=True)
    (path / "zarr.json").write_text("{}")
    assert admit(path).kind == "zarr"
    (tmp_path / "private").mkdir()
    if (path / place).is_dir():
        shutil.rmtree(path / place)
    (path / place).symlink_to(tmp_path / "private")
    with pytest.raises(UnreadableSlideError, match=OUTSIDE):
        admit(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(x) show\n"),
        ("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(x) show\n"),
        ("a.yaml", b"sources:\n  - path: ../private/patient.svs\n"),
        ("a.vrt", b'<VRTDataset rasterXSize="9"><SourceFilename>/etc/passwd'),
        ("a.svg", b'<svg><image href="file:///etc/passwd"/></svg>'),
        ("a.json", b'{"sources": [{"path": "https://example.org/a.tif"}]}'),
        ("a.wmf", b"\xd7\xcd\xc6\x9a" + b"\0" * 100),
    ],
)
def test_what_is_no_slide_reaches_no_reader(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableSlideError, match="is not an image that can be read here"):
        admit(path)


@pytest.mark.parametrize("compression", [1, 7, 8, 33003, 33005, 34712])
def test_a_tile_of_postscript_starts_no_ghostscript(tmp_path, monkeypatch, compression):
    """large_image hands to Pillow what it cannot decode, and Pillow runs programs for some kinds."""
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: started.append(1))
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 256 256\n%%EndComments\nshowpage\n%%EOF\n"
    path = write_tiff(tmp_path / "a.tif", noise(256, 256), compression="deflate")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tags, place = tiff.pages[0].tags, path.stat().st_size
        tags["TileOffsets"].overwrite(place)
        tags["TileByteCounts"].overwrite(len(page))
        tags["Compression"].overwrite(compression)
    path.write_bytes(path.read_bytes()[:place].ljust(place, b"\0") + page)
    with pytest.raises(UnreadableSlideError):
        open_slide(path)
    assert not started


@pytest.mark.parametrize("name", ["a.vsi", "a.VSI", "a.ndpis"])
def test_an_index_of_files_that_are_not_read_is_no_slide(tmp_path, name):
    with pytest.raises(UnreadableSlideError, match=r"index|list of NDPI"):
        admit(write_tiff(tmp_path / name, noise(300, 300)))


@pytest.mark.parametrize("source", ["https://example.org/a.svs", "large_image://dummy", "s3://b/a"])
def test_an_address_is_no_file(source):
    with pytest.raises(SlideNotFoundError):
        open_slide(source)


def test_what_is_neither_file_nor_folder_is_no_slide(tmp_path):
    os.mkfifo(tmp_path / "a.svs")
    with pytest.raises(UnreadableSlideError, match="neither a file nor a folder"):
        open_slide(tmp_path / "a.svs")


@pytest.mark.parametrize("name", ["a\0b", "../" * 3000])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, name):
    with pytest.raises(UnreadableSlideError):
        part(tmp_path / "a.mrxs", name)


def test_readers_open_the_slide_and_none_of_its_neighbours(tmp_path):
    secret = write_svs(tmp_path / "patient.svs", noise(300, 300))
    slides = [
        write_svs(tmp_path / "a.svs", noise(300, 300)),
        write_tiff(tmp_path / "b.tif", noise(300, 300)[..., 0], compression=None),
        tmp_path / "c.png",
    ]
    Image.fromarray(noise(300, 300)).save(slides[-1])
    for slide in slides:
        with files_opened() as opened:
            read_all(slide)
        assert slide.resolve() in opened
        assert secret.resolve() not in opened


_opened: list[set[Path]] = []


def _note(event: str, arguments: tuple) -> None:
    if _opened and event == "open" and isinstance(arguments[0], str | os.PathLike):
        _opened[-1].add(Path(arguments[0]).resolve())


sys.addaudithook(_note)


@contextmanager
def files_opened() -> Iterator[set[Path]]:
    """Collect the files that Python opens meanwhile."""
    _opened.append(set())
    try:
        yield _opened[-1]
    finally:
        _opened.pop()
