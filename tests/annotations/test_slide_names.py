"""A slide is known by the names that other programs write for it."""

import unicodedata

import pytest

from deeplab.annotations.slide_names import SlideNames


@pytest.mark.parametrize(
    ("names", "slide", "places"),
    [
        (["a.svs", "A.svs"], "a.svs", [0]),
        (["x/a.svs", "C:\\x\\b.svs"], "b.svs", [1]),
        (["x/A.SVS"], "a.svs", [0]),
        (["a.png"], "A.svs", [0]),
        (["a"], "a.svs", [0]),
        (["x/a.svs", "y/a.svs"], "a.svs", [0, 1]),
        (["TCGA.01"], "TCGA.svs", []),
        (["TCGA.01.png"], "TCGA.02.svs", []),
        (["TCGA.01"], "TCGA.01.svs", [0]),
        (["Größe.svs"], unicodedata.normalize("NFD", "Größe.svs"), [0]),
        ([], "a.svs", []),
    ],
)
def test_names_are_the_same_to_the_letter_first_then_without_what_varies(names, slide, places):
    assert SlideNames(names).find(slide) == places
