"""large_image's readers, each held to the one file and to what its directories claim."""

from __future__ import annotations

import logging
import threading
from typing import Any

from large_image_source_tiff import TiffFileTileSource, _cached_read_tiff
from large_image_source_tiff.exceptions import IOOpenTiffError, IOTiffError
from large_image_source_tiff.tiff_reader import TiledTiffDirectory
from large_image_source_tifffile import TifffileFileTileSource
from libtiff import libtiff_ctypes

from deeplab.slides.codestreams import claim_of, is_picture

READ = "rm"  # not mapped into memory: a file cut short while it is read would end the process

MOST_SAMPLES = 4  # of a pixel of a JPEG or JPEG 2000: only plain colours come to this reader

_opening = threading.Lock()

# What tifffile logs of damage would go to standard error; people get one sentence instead.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class _Directory(TiledTiffDirectory):  # type: ignore[misc]  # large_image has no types
    """A directory of a TIFF whose tiles are decoded when they are no larger than it says."""

    def _open(self, filePath: str, directoryNum: int, subDirectoryNum: int = 0) -> None:  # noqa: N803
        self._close()
        try:
            self._tiffFile = libtiff_ctypes.TIFF.open(filePath, READ)
        except TypeError as error:
            raise IOOpenTiffError(f"Could not open TIFF file: {filePath}") from error
        for name in self.CoreFunctions:  # pylibtiff and large_image write them in two ways
            if not hasattr(self._tiffFile, name) and hasattr(self._tiffFile, name.lower()):
                setattr(self._tiffFile, name, getattr(self._tiffFile, name.lower()))
        self._setDirectory(directoryNum, subDirectoryNum)

    def _getJpegTables(self) -> bytes:  # noqa: N802
        with self._tileLock:
            tables: bytes = super()._getJpegTables()
        return tables

    def _getJpegFrame(self, tileNum: int, entire: bool = False) -> bytes:  # noqa: N802, N803, FBT001, FBT002
        # libtiff seeks and then reads. large_image takes its lock only where libtiff decodes too:
        # without it a thread gets the tile of another one.
        with self._tileLock:
            frame: bytes = super()._getJpegFrame(tileNum, entire)
        if entire and not is_picture(frame):
            # large_image would hand it to Pillow, which runs Ghostscript on PostScript.
            raise IOTiffError(f"tile {tileNum} is no JPEG")
        claim = claim_of(frame if entire else b"\xff\xd8" + frame)
        if claim is None:
            raise IOTiffError(f"tile {tileNum} does not say how many pixels it holds")
        is_larger = claim.width > self._tileWidth or claim.height > self._tileHeight
        if is_larger or claim.samples > MOST_SAMPLES:
            raise IOTiffError(
                f"tile {tileNum} claims {claim.width} x {claim.height} pixels of "
                f"{claim.samples} samples"
            )
        return frame


class TiffSource(TiffFileTileSource):  # type: ignore[misc]  # large_image has no types
    """The tiff source, which decodes no tile that is larger than the file's directory says."""

    cacheName = "tilesource"  # noqa: N815  large_image asks for it

    def __init__(self, path: str, **options: Any) -> None:  # noqa: ANN401
        # large_image keeps the directories that it has read by the names of files: it would take
        # those of another file that had the name before. Its store is not safe for threads either.
        with _opening:
            _cached_read_tiff.cache_clear()
            super().__init__(path, **options)

    def getTiffDir(  # noqa: N802
        self,
        directoryNum: int,  # noqa: N803
        mustBeTiled: bool | None = True,  # noqa: N803, FBT001, FBT002
        subDirectoryNum: int = 0,  # noqa: N803
        validate: bool = True,  # noqa: FBT001, FBT002
    ) -> TiledTiffDirectory:
        """Return the reader of one directory."""
        return _Directory(
            filePath=self._largeImagePath,
            directoryNum=directoryNum,
            mustBeTiled=mustBeTiled,
            subDirectoryNum=subDirectoryNum,
            validate=validate,
        )


class TifffileSource(TifffileFileTileSource):  # type: ignore[misc]  # large_image has no types
    """The tifffile source, which opens further files only where it may `follow` their names."""

    cacheName = "tilesource"  # noqa: N815  large_image asks for it

    def __init__(self, path: str, *, follow: bool = False, **options: Any) -> None:  # noqa: ANN401
        self._follow = follow
        is_taken = False
        try:
            super().__init__(path, **options)
            is_taken = True
        finally:
            opened = getattr(self, "_tf", None)
            if opened is not None and not is_taken:
                opened.close()

    def _checkForOmeBinaryonly(self) -> None:  # noqa: N802  called before a name is followed
        self._tf._multifile = self._follow  # noqa: SLF001
