"""Annotations from a file of any format that is read here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deeplab.annotations.aperio_xml import read_aperio_xml
from deeplab.annotations.gather import parse_json, read_limited
from deeplab.annotations.geojson import features_of, is_geojson
from deeplab.annotations.girder_json import annotations_of
from deeplab.annotations.label_mask import IGNORE_LAYER, annotations_of_mask, read_label_mask
from deeplab.annotations.shapes import Annotations
from deeplab.errors import AnnotationError


def read_annotations(
    path: Path, *, classes: Sequence[str] = (), ignore: str = IGNORE_LAYER
) -> Annotations:
    """The annotations in a file: HistomicsUI JSON, GeoJSON, ImageScope XML or a label mask.

    Args:
        path: .json and .anot are of HistomicsUI or GeoJSON, as their content says; .geojson; .xml;
            .png is a label mask of the slide's level 0.
        classes: names of the values 1, 2, ... of a label mask.
        ignore: name of the layer of its value 255.

    Raises:
        AnnotationError: the file is missing, of another kind, damaged or not what it claims to be.
    """
    match path.suffix.lower():
        case ".json" | ".anot" | ".geojson":
            document = parse_json(read_limited(path), path)
            if is_geojson(document):
                return features_of(document, path)
            return annotations_of(document, path)
        case ".xml":
            return read_aperio_xml(path)
        case ".png":
            return annotations_of_mask(read_label_mask(path), classes, ignore)
        case other:
            raise AnnotationError(
                path,
                f"files of type {other or 'without suffix'} are not read as annotations;"
                " give .json, .anot, .geojson, .xml or .png",
            )
