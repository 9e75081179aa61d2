"""Whether a picture of a camera or a program, a PNG or a JPEG, is what all programs show of it."""

from __future__ import annotations

from pathlib import Path

from PIL import ExifTags, Image

from deeplab.errors import UnreadableSlideError
from deeplab.slides.faults import READ_FAULTS

UPRIGHT = 1
PNG_DEPTH = 24  # where a PNG states the bits of a sample
DEEP = 8
NEARLY_BLACK = 63  # byte steps; the glass of a slide is far brighter


def raise_unless_upright(path: Path) -> None:
    """Refuse a picture that its camera says is to be turned.

    HistomicsUI shows it as it is stored, and so do ImageJ and QuPath, but viewers of pictures turn
    it: outlines that were drawn on the one lie in wrong places on the other.

    Raises:
        UnreadableSlideError: it is to be turned.
    """
    try:
        with Image.open(path) as picture:
            orientation = picture.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    except READ_FAULTS:
        return  # whether it can be read is said by its reader
    if orientation not in (0, UPRIGHT):
        raise UnreadableSlideError(
            path.name,
            f"is stored turned or mirrored (EXIF orientation {orientation}), which programs show "
            "differently; write it upright, as 'mogrify -auto-orient' does, and draw on that",
        )


def raise_if_dark(path: Path, brightest: int) -> None:
    """Refuse a picture of more than 8 bits that uses the lower ones only: it would be black.

    Args:
        path: of the picture.
        brightest: of its bytes.

    Raises:
        UnreadableSlideError: it does, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(PNG_DEPTH + 1)
    except OSError as error:
        raise UnreadableSlideError(path.name, f"cannot be read: {error.strerror}") from error
    deep = head.startswith(b"\x89PNG") and head[PNG_DEPTH] > DEEP
    if deep and brightest <= NEARLY_BLACK:
        raise UnreadableSlideError(
            path.name,
            "has 16-bit pixels that use the lower bits only, so that it is shown nearly black; "
            "write it anew with 8 bits, its brightness stretched",
        )
