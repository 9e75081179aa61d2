"""What there is to learn from, as a table and as remarks."""

from dataclasses import replace

import numpy as np
import shapely

from deeplab.data.census import take_census
from deeplab.exchange.labelling import Labelling
from deeplab.exchange.samples import LeftOut
from tests.data.annotated_slides import labelled

RULES = Labelling(classes=("tumour", "vessel"), aliases={"Krebs": "tumour"})
RGB = np.full((1000, 2000, 3), 200, np.uint8)
NOTES = (
    "layer 'notes' (1 object on 1 slide) is not learnt from: what it alone outlines counts as "
    'background; if that is wrong, add it to classes, or set aliases to "notes=ignore"'
)


def boxes(count, side):
    return [shapely.box(30 * i, 5, 30 * i + side, 5 + side) for i in range(count)]


def census(**changes):
    one = labelled(RGB, {"tumour": boxes(3, 20), "Krebs": boxes(1, 10)}, RULES, name="b.svs")
    two = labelled(
        RGB, {"Tumour ": boxes(2, 20), "vesel": boxes(4, 9), "notes": boxes(1, 9)}, RULES, name="a"
    )
    left_out = [LeftOut("c.svs", "is cut short"), LeftOut("d.svs", "has none", {"vesel": 2})]
    slides = [(replace(one, patient="P1"), "train"), (two, "validation")]
    return take_census(RULES, slides, left_out, **changes)


def test_objects_and_areas_are_those_that_were_drawn():
    taken = census()
    # Pixels of 0.5 um: four to a square um.
    assert taken.total("tumour").objects == 6
    assert np.isclose(taken.total("tumour").area_mm2, (5 * 400 + 100) / 4 / 1e6)
    assert taken.total("tumour", "train").objects == 4
    assert taken.total("vessel").objects == 0
    assert taken.undrawn == ("vessel",)
    assert [slide.name for slide in taken.on("validation")] == ["a"]


def test_names_are_taken_suggested_or_named():
    told = {odd.drawn: odd for odd in census().odd_names}
    assert (told["Tumour "].taken_for, told["Krebs"].taken_for) == ("tumour", "tumour")
    assert (told["vesel"].near, told["vesel"].slides, told["vesel"].objects) == ("vessel", 2, 6)
    assert told["notes"].sentence() == NOTES
    assert next(iter(told)) == "vesel", "what may be a mistake comes first"


def odd_sentence(rules):
    slide = labelled(RGB, {"notes": boxes(1, 9)}, rules)
    (odd,) = take_census(rules, [(slide, "train")], []).odd_names
    return odd.sentence()


def test_a_layer_may_be_the_only_class_and_counts_as_nothing_where_tissue_is_ignored():
    said = odd_sentence(Labelling(classes=("nucleus",)))
    assert said.endswith('set aliases to "notes=nucleus" or "notes=ignore"')
    said = odd_sentence(Labelling(classes=("nucleus",), unannotated="ignore"))
    assert said == "layer 'notes' (1 object on 1 slide) is not learnt from"


def test_the_table_stands_in_columns_and_the_remarks_below():
    assert census(smaller_than_patch=["a"]).text().splitlines() == [
        "slide         pixels   um/px  patient  side        tumour n  tumour mm2",
        "b.svs  2,000 x 1,000  0.5000  P1       train              4      0.0003",
        "a      2,000 x 1,000  0.5000           validation         2      0.0002",
        "total                                                     6      0.0005",
        "",
        "1 slide to learn from, 1 held out, 2 left out",
        "tumour: 6 objects, 0.000525 mm2 on 2 slides",
        "vessel: 0 objects, 0 mm2 on 0 slides",
        "left out: c.svs is cut short",
        "left out: d.svs has none",
        "a is smaller than a patch",
        "layer 'vesel' (6 objects on 2 slides) is not learnt from; if it is vessel, "
        'set aliases to "vesel=vessel"',
        "layer 'Krebs' (1 object on 1 slide) is taken for tumour",
        "layer 'Tumour ' (2 objects on 1 slide) is taken for tumour",
        NOTES,
        "nobody drew vessel; did you mean vesel?",
    ]


def test_a_census_of_folds_says_who_is_held_out_in_which():
    slides = [
        (
            replace(labelled(RGB, {"tumour": boxes(n, 20)}, RULES, name=f"s{n}"), patient=who),
            "train",
        )
        for n, who in ((1, "P1"), (2, "P2"), (3, "P1"), (4, ""))
    ]
    told = take_census(RULES, slides, [], folds=[2, 1, 2, 1])
    lines = told.text().splitlines()
    assert [line.split()[0] for line in lines[:6]] == ["slide", "s2", "s4", "s1", "s3", "total"]
    assert lines[0].split()[-5:] == ["fold", "tumour", "n", "tumour", "mm2"]
    assert lines[3].split()[-4:-2] == ["P1", "2"]
    assert told.summary()[:3] == [
        "4 slides in 2 folds, 0 left out",
        "fold 1 holds out 2 slides of 2 patients (tumour 6 objects, vessel 0 objects) and learns "
        "from 2",
        "fold 2 holds out 2 slides of 1 patient (tumour 4 objects, vessel 0 objects) and learns "
        "from 2",
    ]


def test_what_is_remarked_of_many_slides_is_said_once():
    slides = [
        (
            replace(labelled(RGB, {"tumour": boxes(1, 9)}, RULES, name=f"s{n}"), remarks=said),
            "train",
        )
        for n, said in enumerate([("mended", "odd")] + [("mended",)] * 4)
    ]
    remarks = take_census(RULES, slides, []).remarks()
    assert remarks[:2] == ["s0, s1, s2 and 2 others: mended", "s0: odd"]
