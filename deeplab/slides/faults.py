"""Everything that a reader of slides may raise on a file that is not what it claims to be."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib

import tifffile
from large_image.exceptions import TileGeneralError
from openslide import OpenSlideError
from PIL import Image

# Readers have their own notions of a fault: SyntaxError is the word of Pillow for a broken PNG and
# of lxml for broken XML; NameError and AssertionError are slips of theirs that damage brings out.
READ_FAULTS: tuple[type[Exception], ...] = (
    *(TileGeneralError, OpenSlideError, tifffile.TiffFileError, Image.DecompressionBombError),
    *(
        struct.error,
        zlib.error,
        lzma.LZMAError,
        zipfile.BadZipFile,
        OSError,
        EOFError,
        MemoryError,
        BufferError,
        ImportError,
    ),
    *(ValueError, TypeError, LookupError, RuntimeError, ArithmeticError, AttributeError),
    *(AssertionError, SyntaxError, NameError, StopIteration, SystemError),
)
