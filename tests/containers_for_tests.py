"""Slides that are several files: DICOM series and OME-Zarrs, painted in code."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import zarr
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import JPEGBaseline8Bit, generate_uid

from tests.slides_for_tests import Rgb, halved

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
TILE = 128


def write_dicom(folder: Path, rgb: Rgb, *, mpp: float = 0.5, levels: int = 2) -> list[Path]:
    """A whole-slide series in a folder, a file for each level."""
    folder.mkdir(parents=True, exist_ok=True)
    # The same bytes every time, and another series in another folder.
    ids = {
        what: generate_uid(entropy_srcs=[folder.name, what])
        for what in ("study", "series", "frame", *map(str, range(levels)))
    }
    paths = []
    for level in range(levels):
        path = folder / f"level{level}.dcm"
        dataset = _volume(rgb, mpp * 2**level, ids, level)
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
        rgb = halved(rgb)
    return paths


def _frames(rgb: Rgb) -> list[bytes]:
    height, width = rgb.shape[:2]
    frames = []
    for y in range(0, height, TILE):
        for x in range(0, width, TILE):
            tile = np.full((TILE, TILE, 3), 255, np.uint8)
            part = rgb[y : y + TILE, x : x + TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            packed = io.BytesIO()
            Image.fromarray(tile).save(packed, "jpeg", quality=95, subsampling=0)
            frames.append(packed.getvalue())
    return frames


def _of(**values) -> Dataset:
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def _volume(rgb: Rgb, mpp: float, ids: dict, level: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = WHOLE_SLIDE, JPEGBaseline8Bit
    meta.MediaStorageSOPInstanceUID = ids[str(level)]
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    height, width = rgb.shape[:2]
    frames = _frames(rgb)
    measures = _of(PixelSpacing=[mpp / 1000, mpp / 1000], SliceThickness=0.001)
    values = {
        "SOPClassUID": WHOLE_SLIDE,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": ids["study"],
        "SeriesInstanceUID": ids["series"],
        "FrameOfReferenceUID": ids["frame"],
        "Modality": "SM",
        "PatientID": "x",
        "PatientName": "x",
        "InstanceNumber": level + 1,
        "ImageType": [
            "DERIVED" if level else "ORIGINAL",
            "PRIMARY",
            "VOLUME",
            "RESAMPLED" if level else "NONE",
        ],
        "Rows": TILE,
        "Columns": TILE,
        "TotalPixelMatrixColumns": width,
        "TotalPixelMatrixRows": height,
        "TotalPixelMatrixFocalPlanes": 1,
        "NumberOfFrames": len(frames),
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "YBR_FULL_422",
        "PlanarConfiguration": 0,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "DimensionOrganizationType": "TILED_FULL",
        "ImageOrientationSlide": [0, 1, 0, 1, 0, 0],
        "NumberOfOpticalPaths": 1,
        "OpticalPathSequence": Sequence([_of(OpticalPathIdentifier="0", ObjectiveLensPower=20)]),
        "SharedFunctionalGroupsSequence": Sequence([_of(PixelMeasuresSequence=[measures])]),
        "PixelData": encapsulate(frames),
    }
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset["PixelData"].is_undefined_length = True
    return dataset


def write_zarr(
    path: Path,
    rgb: np.ndarray,
    *,
    mpp: float | None = 0.5,
    levels: int = 2,
    axes: str = "cyx",
    version: int = 2,
    unit: str = "micrometer",
    **options,
) -> Path:
    """An OME-Zarr of `rgb` (height, width, 3); of NGFF 0.4 in Zarr 2 or of 0.5 in Zarr 3."""
    group = zarr.open_group(path, mode="w", zarr_format=version)
    write_picture(group, rgb, mpp=mpp, levels=levels, axes=axes, unit=unit, **options)
    return path


def write_picture(group, rgb, *, mpp=0.5, levels=2, axes="cyx", unit="micrometer", **options):
    """The picture of a group, with its levels."""
    datasets = []
    for level in range(levels):
        placed = rgb.transpose(["yxc".index(axis) for axis in axes if axis in "yxc"])
        placed = np.expand_dims(placed, [i for i, axis in enumerate(axes) if axis in "tz"])
        chunks = tuple({"x": 128, "y": 128, "c": 1}.get(axis, 1) for axis in axes)
        data = np.ascontiguousarray(placed)
        group.create_array(str(level), data=data, chunks=chunks, **options)
        by = (mpp or 1.0) * 2**level
        scale = [by if axis in "xy" else 1.0 for axis in axes]
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [{"type": "scale", "scale": scale}],
            }
        )
        rgb = halved(rgb) if rgb.dtype == np.uint8 else rgb[::2, ::2]
    named = [
        {"name": axis, "type": "space", **({"unit": unit} if mpp and axis in "xy" else {})}
        for axis in axes
    ]
    scales = [{"version": "0.4", "axes": named, "datasets": datasets}]
    if group.metadata.zarr_format == 2:
        group.attrs["multiscales"] = scales
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": scales}


def set_in(path: Path, **values) -> None:
    """Change what a DICOM file states."""
    dataset = pydicom.dcmread(path)
    for name, value in values.items():
        if name == "TransferSyntaxUID":
            dataset.file_meta.TransferSyntaxUID = value
        else:
            setattr(dataset, name, value)
    dataset.save_as(path)
