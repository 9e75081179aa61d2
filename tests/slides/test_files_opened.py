"""What readers open on the disk, native code too, as the kernel sees it: the slide's own files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tifffile
import zarr
from PIL import Image

from tests.containers_for_tests import write_dicom, write_zarr
from tests.slides.leica import Region, write_leica
from tests.slides.test_admission import OTHERS, OWN, ome, plane, write_plane
from tests.slides_for_tests import noise, tissue, write_svs, write_tiff

pytestmark = pytest.mark.slow

MARK = "/reading/"  # is not there; the child asks for it before each file
# Reads one file after the other: what a slide shows, or what is drawn in a file of annotations.
CHILD = f"""
import json, os, sys
from pathlib import Path
from deeplab.annotations.files import read_annotations
from deeplab.errors import DeeplabError
from deeplab.slides.slide import open_slide
outcomes = {{}}
for name, path in json.loads(Path(sys.argv[1]).read_text()).items():
    try:
        os.close(os.open("{MARK}" + name, os.O_RDONLY))
    except FileNotFoundError:
        pass
    try:
        if path.endswith((".xml", ".ndpa", ".geojson", ".mask.tif")):
            outcomes[name] = str(len(read_annotations(path).layers))
        else:
            with open_slide(path, mpp=0.5) as slide:
                outcomes[name] = str(slide.read(slide.frame(0.5), slide.frame(0.5).box).shape)
    except DeeplabError as error:
        outcomes[name] = f"{{type(error).__name__}}: {{error}}"
print(json.dumps(outcomes))
"""
OPENED = re.compile(r"\bopen(?:at|at2)?\b.* = \d+<([^>]*)>$")
CALLS = "trace=open,openat,openat2,creat,execve,execveat,connect"


@dataclass(frozen=True, slots=True)
class Case:
    """A file that is read, what may be opened for it besides, and how that ends."""

    path: Path
    own: tuple[Path, ...] = ()
    refused: str = ""
    opens: Path | None = field(default=None)  # of `own`: is opened for certain


Build = Callable[[Path, Path, Path], Case]  # of the item's folder, another patient's, its slide
CASES: dict[str, Build] = {}


def case(build: Build) -> Build:
    CASES[build.__name__.strip("_")] = build
    return build


def _xml(path: Path, description: str, name: str = "s.tif") -> Path:
    options = {"photometric": "rgb", "metadata": None, "software": False, "tile": (128, 128)}
    tifffile.imwrite(path / name, noise(300, 300), description=description, **options)
    return path / name


def _outside(secret: Path) -> str:
    return (
        f'<!DOCTYPE a SYSTEM "file://{secret.parent}/a.dtd" [<!ENTITY % b SYSTEM '
        f'"file://{secret.parent}/b.dtd"> %b; <!ENTITY c SYSTEM "file://{secret}">]>'
    )


@case
def _one_file_among_others(up: Path, _private: Path, _secret: Path) -> Case:
    write_svs(up / "other.svs", noise(300, 300))
    return Case(write_svs(up / "s.svs", noise(300, 300), levels=2))


@case
def _a_picture(up: Path, _private: Path, _secret: Path) -> Case:
    Image.fromarray(noise(300, 300)).save(up / "s.png")
    return Case(up / "s.png")


@case
def _a_link_to_the_slide(up: Path, private: Path, _secret: Path) -> Case:
    real = write_tiff(private / "mine.tif", noise(300, 300), levels=2)
    (up / "s.tif").symlink_to(real)
    return Case(up / "s.tif", (real,), opens=real)


@case
def _ome_of_another_folder(up: Path, private: Path, _secret: Path) -> Case:
    secret = write_plane(private / "p.ome.tif", 77, ome(plane(0, "x", OTHERS), uuid=OTHERS))
    planes = plane(0, f"../{private.name}/{secret.name}", OTHERS)
    return Case(write_plane(up / "s.ome.tif", 200, ome(planes)), refused="outside of its folder")


@case
def _ome_whose_index_is_in_another_folder(up: Path, private: Path, _secret: Path) -> Case:
    (private / "p.companion.ome").write_text(ome(plane(0, "s.ome.tif", OTHERS), uuid=OTHERS))
    pointer = f'<BinaryOnly MetadataFile="{private}/p.companion.ome" UUID="{OTHERS}"/>'
    xml = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{pointer}</OME>'
    return Case(write_plane(up / "s.ome.tif", 200, xml), refused="outside of its folder")


@case
def _ome_of_two_files(up: Path, _private: Path, _secret: Path) -> Case:
    planes = plane(0, "s.ome.tif", OWN) + plane(1, "t.ome.tif", OTHERS)
    other = write_plane(up / "t.ome.tif", 90, ome(planes, uuid=OTHERS))
    write_plane(up / "u.ome.tif", 77, ome("", uuid=OWN + "1"))  # is not named
    return Case(write_plane(up / "s.ome.tif", 200, ome(planes)), (other,), opens=other)


@case
def _ome_with_entities(up: Path, _private: Path, secret: Path) -> Case:
    head, body = ome(plane(0, "&c;", OWN), planes=1).split("?>")
    return Case(write_plane(up / "s.ome.tif", 200, f"{head}?>{_outside(secret)}{body}"))


@case
def _tiff_whose_page_is_in_another_file(up: Path, _private: Path, secret: Path) -> Case:
    # DocumentName, PageName, ImageID (of OPI, the path of the picture that this one stands for).
    names = [(tag, "s", 0, str(secret), True) for tag in (269, 285, 32781)]
    path = up / "s.tif"
    options = {"photometric": "rgb", "metadata": None, "tile": (128, 128)}
    tifffile.imwrite(
        path, noise(300, 300), description=f"ImageJ=1\nfile={secret}", extratags=names, **options
    )
    return Case(path)


@case
def _leica_with_entities(up: Path, _private: Path, secret: Path) -> Case:
    regions = [Region(noise(300, 300))]
    return Case(write_leica(up / "s.scn", regions, doctype=_outside(secret)))


@case
def _ventana_with_entities(up: Path, _private: Path, secret: Path) -> Case:
    inner = '<iScan Magnification="20" ScanRes="0.5">&c;</iScan>'
    return Case(_xml(up, f"{_outside(secret)}{inner}", "s.bif"))


@case
def _philips_with_links(up: Path, _private: Path, secret: Path) -> Case:
    include = f'<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="file://{secret}"/>'
    xml = f'<?xml version="1.0"?><DataObject ObjectType="DPUfsImport">{include}</DataObject>'
    return Case(_xml(up, xml, "s.tiff"))


@case
def _dicom_beside_another_patients(up: Path, private: Path, _secret: Path) -> Case:
    own = write_dicom(up, tissue(300, 300)[0])
    others = write_dicom(private, tissue(300, 300, seed=1)[0])
    beside = [up / f"other-{path.name}" for path in others]
    for path, to in zip(others, beside, strict=True):
        shutil.copy(path, to)
    return Case(own[0], (*own, *beside), opens=own[1])


@case
def _dicom_beside_a_link_to_another_patients(up: Path, private: Path, _secret: Path) -> Case:
    own = write_dicom(up, tissue(300, 300)[0])
    (up / "a.dcm").symlink_to(write_dicom(private, tissue(300, 300)[0])[0])
    return Case(own[0], tuple(own), refused="outside of its folder")


@case
def _dicom_beside_a_link_to_something_else(up: Path, _private: Path, secret: Path) -> Case:
    own = write_dicom(up, tissue(300, 300)[0])
    (up / "a.txt").symlink_to(secret)
    return Case(own[0], tuple(own), refused="outside of its folder")


@case
def _a_folder_of_dicom_with_a_link(up: Path, private: Path, _secret: Path) -> Case:
    own = write_dicom(up, tissue(300, 300)[0])
    (up / "a.dcm").symlink_to(write_dicom(private, tissue(300, 300)[0])[0])
    return Case(up, tuple(own), refused="outside of its folder")


@case
def _an_index_of_olympus(up: Path, private: Path, _secret: Path) -> Case:
    (up / "_s_").symlink_to(private)
    return Case(_xml(up, "Olympus", "s.vsi"), refused="an Olympus index")


@case
def _mirax_of_another_folder(up: Path, _private: Path, secret: Path) -> Case:
    (up / "s").mkdir()
    (up / "s/Slidedat.ini").write_text(f"[DATAFILE]\nFILE_COUNT = 1\nFILE_0 = {secret}\n")
    (up / "s.mrxs").write_bytes(b"\xff\xd8\xff")
    return Case(up / "s.mrxs", (up / "s/Slidedat.ini",), refused="outside of its folder")


@case
def _mirax_whose_data_is_a_link(up: Path, _private: Path, secret: Path) -> Case:
    (up / "s").mkdir()
    (up / "s/Data.dat").symlink_to(secret)
    (up / "s/Slidedat.ini").write_text("[DATAFILE]\nFILE_COUNT = 1\nFILE_0 = Data.dat\n")
    (up / "s.mrxs").write_bytes(b"\xff\xd8\xff")
    return Case(up / "s.mrxs", (up / "s/Slidedat.ini",), refused="outside of its folder")


@case
def _mirax_whose_folder_is_a_link(up: Path, private: Path, _secret: Path) -> Case:
    (private / "Slidedat.ini").write_text("[DATAFILE]\nFILE_COUNT = 0\n")
    (up / "s").symlink_to(private)
    (up / "s.mrxs").write_bytes(b"\xff\xd8\xff")
    return Case(up / "s.mrxs", refused="outside of its folder")


@case
def _an_index_of_hamamatsu(up: Path, _private: Path, secret: Path) -> Case:
    head = "[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\n"
    (up / "s.vms").write_text(f"{head}ImageFile=../private/{secret.name}\n")
    return Case(up / "s.vms", refused="outside of its folder")


@case
def _a_list_of_ndpi(up: Path, _private: Path, secret: Path) -> Case:
    (up / "s.ndpis").write_text(f"[NanoZoomer Digital Pathology Image Set]\nImage0={secret}\n")
    return Case(up / "s.ndpis", refused="a list of NDPI files")


@case
def _zarr(up: Path, private: Path, _secret: Path) -> Case:
    write_zarr(private / "p.zarr", noise(300, 300))
    path = write_zarr(up / "s.zarr", noise(300, 300))
    return Case(path, (path,), opens=path)


@case
def _zarr_with_a_link(up: Path, private: Path, _secret: Path) -> Case:
    path = write_zarr(up / "s.zarr", noise(300, 300))
    shutil.rmtree(path / "0")
    (path / "0").symlink_to(write_zarr(private / "p.zarr", noise(300, 300)) / "0")
    return Case(path, (path,), refused="outside of its folder")


@case
def _zarr_that_names_another(up: Path, private: Path, _secret: Path) -> Case:
    write_zarr(private / "p.zarr", noise(300, 300))
    path = write_zarr(up / "s.zarr", noise(300, 300))
    group = zarr.open_group(path, mode="r+", zarr_format=2)
    scales = list(group.attrs["multiscales"])
    for dataset in scales[0]["datasets"]:
        dataset["path"] = f"../../{private.name}/p.zarr/{dataset['path']}"
    group.attrs["multiscales"] = scales
    return Case(path, (path,), refused="UnreadableSlideError")


@case
def _a_list_of_other_slides(up: Path, _private: Path, secret: Path) -> Case:
    (up / "s.yaml").write_text(f"sources:\n  - path: {secret}\n")
    return Case(up / "s.yaml", refused="is not an image")


@case
def _annotations_with_entities(up: Path, _private: Path, secret: Path) -> Case:
    (up / "s.xml").write_text(
        f'<?xml version="1.0"?>{_outside(secret)}<Annotations><Annotation Name="&c;">'
        '<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="'
        f'{secret}" parse="text"/></Annotation></Annotations>'
    )
    return Case(up / "s.xml", refused="declares a document type or entities")


@case
def _a_mask_that_names_another(up: Path, _private: Path, _secret: Path) -> Case:
    planes = plane(0, "t.ome.tif", OTHERS) + plane(1, "t.ome.tif", OTHERS)
    write_plane(up / "t.ome.tif", 90, ome(planes, uuid=OTHERS))
    return Case(write_plane(up / "s.mask.tif", 1, ome(planes)))


def strace() -> list[str]:
    """The words that start a command under strace, which tells the real path of what is opened."""
    words = ["strace", "-f", "-qq", "-y", "-s", "4096", "-e", "signal=none", "-e", CALLS]
    works = (
        shutil.which("strace")
        and not subprocess.run([*words, "true"], check=False, capture_output=True).returncode
    )
    if not works:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "strace is not installed here, or may not trace"
        )
    return words


@dataclass(frozen=True, slots=True)
class Traced:
    """How reading a file ended, and what was opened, started and called meanwhile."""

    outcome: str
    opened: frozenset[Path]
    others: tuple[str, ...]


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> dict[str, Case]:
    built = {}
    for number, (name, build) in enumerate(CASES.items()):
        folder = tmp_path_factory.mktemp(f"case{number}")
        up, private = folder / "up", folder / "private"
        up.mkdir()
        private.mkdir()
        secret = write_tiff(private / "secret.tif", noise(300, 300))
        built[name] = build(up, private, secret)
    return built


@pytest.fixture(scope="module")
def traced(cases, tmp_path_factory) -> dict[str, Traced]:
    folder = tmp_path_factory.mktemp("traced")
    (folder / "files.json").write_text(json.dumps({n: str(c.path) for n, c in cases.items()}))
    done = subprocess.run(
        [*strace(), "-o", folder / "trace", sys.executable, "-c", CHILD, folder / "files.json"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout.splitlines()[-1])
    _, *parts = re.split(rf'"{MARK}(\w+)".*ENOENT.*\n', (folder / "trace").read_text())
    found = {}
    for name, calls in zip(parts[::2], parts[1::2], strict=True):
        lines = calls.splitlines()
        opened = {Path(m[1]) for m in map(OPENED.search, lines) if m}
        others = tuple(each for each in lines if re.match(r"\d+ +(exec|connect)", each))
        found[name] = Traced(outcomes[name], frozenset(opened), others)
    return found


@pytest.mark.parametrize("name", CASES)
def test_no_file_is_opened_but_the_slides_own(cases, traced, name, tmp_path_factory):
    asked, seen = cases[name], traced[name]
    own = [each.resolve() for each in (asked.path, *asked.own)]
    of_slides = tmp_path_factory.getbasetemp().resolve()
    there = {path for path in seen.opened if path.is_relative_to(of_slides)}
    folders = {asked.path.parent.resolve()}  # is listed, for DICOM
    assert {p for p in there - folders if not any(p.is_relative_to(o) for o in own)} == set()
    # The rest is the program itself: its code, and what the system tells of the machine.
    code = [Path(each) for each in (sys.prefix, sys.base_prefix, "/usr", "/lib", "/proc", "/sys")]
    code += [
        Path("/dev"),
        Path("/etc"),
        Path(__file__).parents[2],
        of_slides,
        Path(tempfile.gettempdir()),
    ]
    assert {p for p in seen.opened if not any(p.is_relative_to(c) for c in code)} == set()
    assert seen.others == ()  # no program, no call
    assert asked.refused in seen.outcome if asked.refused else "Error" not in seen.outcome
    if asked.opens:
        assert any(path.is_relative_to(asked.opens.resolve()) for path in there)
