"""The file formats of annotations: a row each, and the one a file is of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from deeplab.annotations.formats.aperio_xml import read_aperio_xml, write_aperio_xml
from deeplab.annotations.formats.asap_xml import read_asap_xml, write_asap_xml
from deeplab.annotations.formats.coco import read_coco, write_coco
from deeplab.annotations.formats.format import Format, Trait, Writing
from deeplab.annotations.formats.gather import check_is_file
from deeplab.annotations.formats.geojson import read_geojson, write_geojson
from deeplab.annotations.formats.girder_json import read_girder_json, write_girder_json
from deeplab.annotations.formats.hovernet_json import read_hovernet_json, write_hovernet_json
from deeplab.annotations.formats.instance_images import (
    NAMED,
    read_instances,
    says_instances,
    write_instances,
)
from deeplab.annotations.formats.json_stream import keys
from deeplab.annotations.formats.masks import read_mask, write_mask
from deeplab.annotations.formats.mat_file import read_mat, write_mat
from deeplab.annotations.formats.ndpa import read_ndpa, refuse_ndpa
from deeplab.annotations.formats.unpack import OTHERS
from deeplab.annotations.formats.xml_stream import root_of
from deeplab.annotations.shapes import Annotations
from deeplab.errors import AnnotationError, ConfigError

INSTANCES = "instances"


def _plain(write: Callable[[Path, Annotations], None]) -> Callable[..., None]:
    """Return a writer that needs to know nothing but the annotations."""

    def written(path: Path, annotations: Annotations, _writing: Writing) -> None:
        write(path, annotations)

    return written


FORMATS: tuple[Format, ...] = (
    Format(
        name="histomicsui",
        title="HistomicsUI",
        suffixes=(".anot", ".json"),
        read=read_girder_json,
        write=_plain(write_girder_json),
        carries=frozenset(Trait) - {Trait.PARTS},
        json_keys=frozenset({"annotation", "elements"}),
    ),
    Format(
        name="geojson",
        title="GeoJSON",
        suffixes=(".geojson", ".json"),
        read=read_geojson,
        write=write_geojson,
        carries=frozenset(Trait) - {Trait.DESCRIPTIONS, Trait.EMPTY_LAYERS, Trait.ATTRIBUTES},
        json_keys=frozenset({"features", "geometry", "coordinates", "geometries"}),
    ),
    Format(
        name="imagescope",
        title="ImageScope XML",
        suffixes=(".xml",),
        read=read_aperio_xml,
        write=_plain(write_aperio_xml),
        carries=frozenset(Trait) - {Trait.ATTRIBUTES, Trait.PARTS},
        xml_root="Annotations",
        read_only=(".annotations",),  # of HALO
    ),
    Format(
        name="asap",
        title="ASAP XML",
        suffixes=(".xml",),
        read=read_asap_xml,
        write=_plain(write_asap_xml),
        carries=frozenset(Trait) - {Trait.ATTRIBUTES, Trait.MPP, Trait.PROPERTIES, Trait.PARTS},
        xml_root="ASAP_Annotations",
    ),
    Format(
        name="mask",
        title="label mask",
        suffixes=(".tif", ".tiff", ".png"),
        read=read_mask,
        write=write_mask,
        carries=frozenset(Trait)
        - {Trait.MARKS, Trait.PROPERTIES, Trait.ATTRIBUTES, Trait.OVERLAPS, Trait.PARTS},
        infix=".mask",
    ),
    Format(
        name="coco",
        title="COCO JSON",
        suffixes=(".coco", ".json"),
        read=read_coco,
        write=write_coco,
        carries=frozenset(Trait) - {Trait.MARKS, Trait.ATTRIBUTES},
        json_keys=frozenset({"images", "categories", "annotations"}),
    ),
    Format(
        name="hovernet",
        title="HoVer-Net JSON",
        suffixes=(".hovernet", ".json"),
        read=read_hovernet_json,
        write=write_hovernet_json,
        carries=frozenset({Trait.COLOURS, Trait.EMPTY_LAYERS, Trait.MPP, Trait.OVERLAPS}),
        json_keys=frozenset({"nuc"}),
    ),
    Format(
        name=INSTANCES,
        title="instance label image",
        suffixes=(".tif", ".tiff"),
        read=read_instances,
        write=write_instances,
        carries=frozenset(Trait)
        - {Trait.MARKS, Trait.PROPERTIES, Trait.ATTRIBUTES, Trait.OVERLAPS},
        read_only=(".png",),
        infix=NAMED,
    ),
    Format(
        name="mat",
        title="HoVer-Net MAT",
        suffixes=(".mat",),
        read=read_mat,
        write=write_mat,
        carries=frozenset({Trait.COLOURS, Trait.EMPTY_LAYERS, Trait.HOLES, Trait.PARTS}),
    ),
)


NDPA = Format(
    name="ndpa",
    title="NDP.view",
    suffixes=(),
    read_only=(".ndpa",),
    read=read_ndpa,
    write=refuse_ndpa,
    carries=frozenset(),
    xml_root="annotations",
)
READABLE = (*FORMATS, NDPA)
WRITTEN_SUFFIXES = tuple(sorted({suffix for each in FORMATS for suffix in each.suffixes}))
READ_SUFFIXES: tuple[str, ...] = tuple(
    sorted({suffix for each in READABLE for suffix in (*each.suffixes, *each.read_only)})
)


def named(name: str) -> Format:
    """Return the format that people call so.

    Raises:
        ConfigError: there is none.
    """
    for each in FORMATS:
        if each.name == name:
            return each
    raise ConfigError("format", name, "one of " + ", ".join(each.name for each in FORMATS))


def format_to_write(path: Path) -> Format:
    """Return the usual format of files of this suffix.

    Raises:
        AnnotationError: there is none.
    """
    suffix = path.suffix.lower()
    written = [each for each in FORMATS if suffix in each.suffixes]
    if not written:
        known = WRITTEN_SUFFIXES
        raise AnnotationError(
            path,
            f"files of type {suffix or 'without suffix'} are not written as annotations;"
            f" give {', '.join(known[:-1])} or {known[-1]}",
        )
    return min(written, key=lambda each: (not each.is_named(path), each.suffixes.index(suffix)))


def format_of_result(name: str, path: Path | None, *others: str) -> Format:
    """Return the format of a result of a task, by its suffix; HistomicsUI's where it has none.

    Args:
        name: of the setting, for sentences.
        path: of the result; None: it is not asked for.
        others: suffixes that the task writes besides, as something that holds HistomicsUI's files.

    Raises:
        ConfigError: no format has such a suffix.
    """
    suffix = path.suffix.lower() if path else ""
    if path is None or suffix in ("", *others):
        return FORMATS[0]
    if suffix not in WRITTEN_SUFFIXES:
        known = (*WRITTEN_SUFFIXES, *others)
        raise ConfigError(name, path, f"a file of type {', '.join(known)}")
    return format_to_write(path)


def format_of(path: Path) -> Format:
    """Return the format a file is of, by its suffix and, where several have it, by its content.

    Raises:
        AnnotationError: the file is missing, empty, damaged or of no format that is known.
    """
    suffix = path.suffix.lower()
    found = [each for each in READABLE if each.has_suffix(suffix)]
    if not found:
        raise _unknown(path)
    check_is_file(path)
    if found[0].json_keys:
        return _of_json(path)
    if found[0].xml_root:
        return _of_xml(path, found)
    if found[-1].name == INSTANCES and says_instances(path):
        return found[-1]
    return found[0]


def _of_json(path: Path) -> Format:
    of_key = {key: each for each in FORMATS for key in each.json_keys}
    met = False
    for key in keys(path):
        met = True
        if key in of_key:
            return of_key[key]
    if met:
        raise AnnotationError(path, f"is JSON of no kind that is known: {_titles()}")
    return FORMATS[0]  # an empty list: HistomicsUI writes one where nothing is outlined


def _of_xml(path: Path, found: Sequence[Format]) -> Format:
    root = root_of(path)
    for each in found:
        if each.xml_root == root:
            return each
    titles = ", ".join(each.title for each in found)
    raise AnnotationError(
        path, f"is XML of no kind that is known ({titles}): it begins with <{root}>"
    )


def _unknown(path: Path) -> AnnotationError:
    kind = path.suffix.lower()
    if kind in OTHERS:
        return AnnotationError(path, f"files of type {kind} are not unpacked; give what is in it")
    return AnnotationError(
        path,
        f"files of type {kind or 'without suffix'} are not read as annotations;"
        f" give {', '.join(READ_SUFFIXES[:-1])} or {READ_SUFFIXES[-1]}",
    )


def _titles() -> str:
    return ", ".join(each.title for each in FORMATS if each.json_keys)
