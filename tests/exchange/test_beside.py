"""The rule by which names say which file is about which slide."""

import pytest

from deeplab.exchange.beside import ANNOTATIONS, is_mask, names_beside, plain_name, split_name


@pytest.mark.parametrize(
    ("slide", "beside", "not_beside"),
    [
        ("a.svs", ["a.xml", "a.svs.xml", "a.mask.png", "a.svs.mask.tif"], ["a.b.xml", "b.xml"]),
        # Dots in names are part of them, whatever stands behind them.
        ("TCGA.01.2.svs", ["TCGA.01.2.xml", "TCGA.01.2.svs.xml"], ["TCGA.xml", "TCGA.01.xml"]),
        ("TCGA.01", ["TCGA.01.xml"], ["TCGA.xml"]),
        ("a.ome.tif", ["a.xml", "a.ome.xml", "a.ome.tif.xml", "a.mask.png"], ["a.ome"]),
        ("a.OME.TIFF", ["a.xml", "a.OME.xml"], []),
        ("Gefa\u0308\u00df.svs", ["Gef\u00e4\u00df.xml"], ["Gefa\u0308\u00df.xml"]),
        ("../../x.svs", ["../../x.xml"], ["x.xml"]),
        ("Größe, 🔬/1.SVS", ["Größe, 🔬/1.xml", "Größe, 🔬/1.SVS.xml"], ["1.xml"]),
    ],
)
def test_a_file_is_called_after_its_slide_with_or_without_its_suffix(slide, beside, not_beside):
    names = names_beside(slide, (".xml",))
    assert {*beside} <= {*names}
    assert not {*not_beside} & {*names}


def test_a_suffix_may_be_in_capitals_and_the_rest_may_not():
    assert plain_name("TCGA.01.XML") == "TCGA.01.xml"
    assert plain_name("a.b/c.PNG") == "a.b/c.png"
    assert split_name("a.b/c") == ("a.b/c", "")
    assert split_name(".xml") == (".xml", "")
    assert plain_name("Gefa\u0308\u00df.XML") == "Gef\u00e4\u00df.xml"


def test_a_packed_file_is_called_after_its_slide_and_what_is_in_it():
    assert split_name("a.b.XML.GZ") == ("a.b", ".xml.gz")
    assert split_name("a.zip") == ("a", ".zip")
    assert split_name("a.svs.gz") == ("a.svs", ".gz")
    names = names_beside("a.svs", ANNOTATIONS)
    assert {"a.geojson.gz", "a.svs.json.zip", "a.zip", "a.annotations", "a.svs.ndpa"} <= {*names}
    assert names.index("a.geojson") < names.index("a.geojson.gz") < names.index("a.zip")


def test_label_masks_are_told_by_their_names():
    assert is_mask("a.mask.png")
    assert is_mask("a.svs.mask.TIF")
    assert not any(map(is_mask, ("a.png", "mask.png", "a.mask", "a.mask.svs", "a.masked.png")))
