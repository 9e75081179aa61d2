"""A DICOM series is one slide, by its folder or by any of its files."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from deeplab.errors import UnreadableSlideError
from deeplab.geometry.frames import Mpp
from deeplab.slides.slide import open_slide
from tests.containers_for_tests import set_in, write_dicom
from tests.slides_for_tests import tissue

RGB, _ = tissue(500, 400)


@pytest.mark.parametrize("given", ["", "level0.dcm", "level1.dcm"])
def test_a_series_is_one_slide_by_its_folder_and_by_each_file(tmp_path, given):
    write_dicom(tmp_path / "s1", RGB)
    with open_slide(tmp_path / "s1" / given) as slide:
        assert (slide.width_level0, slide.height_level0, slide.mpp) == (500, 400, Mpp.square(0.5))
        difference = np.abs(slide.read(slide.frame(0.5), slide.frame(0.5).box).astype(int) - RGB)
    assert difference.mean() < 4  # grain, at a JPEG quality of 95


def test_a_folder_of_two_series_asks_for_one(tmp_path):
    write_dicom(tmp_path / "a", RGB)
    write_dicom(tmp_path / "b", RGB)
    for path in (tmp_path / "b").iterdir():
        shutil.copy(path, tmp_path / "a" / f"other-{path.name}")
    with pytest.raises(UnreadableSlideError, match=r"holds 2 DICOM series; give a file of one, as"):
        open_slide(tmp_path / "a")


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"TransferSyntaxUID": "1.2.840.10008.1.2.4.80"}, "compressed by JPEG-LS.*write it anew"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "no slide: CT Image"),
    ],
)
def test_what_is_not_read_is_named_and_no_damage(tmp_path, stated, words):
    (path,) = write_dicom(tmp_path / "s", RGB, levels=1)
    set_in(path, **stated)
    if "SOPClassUID" in stated:
        set_in(path, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    with pytest.raises(UnreadableSlideError, match=words) as caught:
        open_slide(path)
    assert "damaged" not in str(caught.value)
