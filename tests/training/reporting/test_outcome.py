"""What a training leaves behind when it is done."""

from dataclasses import replace

import pytest

from deeplab.annotations.formats.girder_json import read_girder_json
from deeplab.bundles.card import Card
from deeplab.config.channels import RGB
from deeplab.config.classes import ClassList
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.config.train_request import TrainRequest
from deeplab.data.census import Amount, Census, SlideCount
from deeplab.data.opening import OpenedSlides
from deeplab.exchange.samples import LeftOut
from deeplab.training.history import History
from deeplab.training.reporting.outcome import TrainingOutcome, facts_of, write_outcome
from tests.data.annotated_slides import annotated
from tests.girder_for_tests import FOLDER, ITEM, fake_girder
from tests.training.facts_for_tests import history
from tests.training.validations_for_tests import region, validation

CLASSES = ClassList.named(["class 1", "class 2"])


def count(name, side):
    return SlideCount(
        name=name, width_level0=600, height_level0=600, mpp=0.5, kind="", patient=f"of {name}",
        side=side, amounts={"class 1": Amount(3, 0.25), "class 2": Amount()},
    )  # fmt: skip


@pytest.fixture
def ended(tmp_path):
    held = replace(annotated([(1, 0, 0, 200)], name="held.svs"), source=ITEM)
    frame = held.slide.frame(0.5)
    census = Census(
        classes=CLASSES.names,
        slides=(count("t.svs", "train"), count("held.svs", "validation")),
        left_out=(LeftOut("bare.svs", "has no scale"),),
    )
    pieces = [region(i * 200, at=(i * 64, 0), slide="held.svs", frame=frame) for i in range(5)]
    return TrainingOutcome(
        request=TrainRequest(
            source=FOLDER,
            classes=CLASSES.names,
            output_model=tmp_path / "m.zip",
            output_report=tmp_path / "report.html",
        ),
        opened=OpenedSlides(
            learn=[], held_out=[held], classes=CLASSES, channels=RGB, census=census
        ),
        card=Card(
            config=DeepLabV3PlusConfig(label_count=3, crop_size=65),
            classes=CLASSES,
            work_mpp=0.5,
            mpp_range=(0.4, 0.6),
        ),
        history=history([1, 2]),
        kept_step=100,
        validation=validation(pieces),
        set_aside=("gone.svs",),
    )


def test_charts_layers_and_the_report_are_written(ended, tmp_path):
    write_outcome(ended, tmp_path / "work")
    written = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert written == [
        "report.html",
        "work/confusion.png",
        "work/curves.png",
        "work/examples.png",
        "work/worst regions/01 held.svs.anot",
    ]
    layer = read_girder_json(tmp_path / "work/worst regions/01 held.svs.anot")
    assert layer.shape_count == 4
    assert "bare.svs" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_report_is_told_what_the_census_counted(ended):
    facts = facts_of(ended)
    assert [(s.name, s.side, s.patient) for s in facts.slides] == [
        ("t.svs", "train", "of t.svs"),
        ("held.svs", "validation", "of held.svs"),
    ]
    assert facts.slides[0].objects == (3, 0)
    assert facts.slides[0].area_mm2 == (0.25, 0.0)
    assert facts.left_out == {"bare.svs": "has no scale"}
    assert list(facts.set_aside) == ["gone.svs"]
    assert facts.background_assumed
    assert {example.kind for example in facts.examples} <= {"best", "typical", "worst"}


def test_without_held_out_slides_there_are_curves_and_the_report_alone(ended, tmp_path):
    alone = replace(ended, validation=None, history=History(steps=ended.history.steps))
    write_outcome(alone, tmp_path / "work")
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["curves.png"]
    assert "No slide was held out" in (tmp_path / "report.html").read_text(encoding="utf-8")


def on_server(ended, girder, **settings):
    login = {"api_url": girder.url, "token": girder.login.token}
    return replace(ended, request=replace(ended.request, **login, **settings))


def test_the_worst_regions_go_to_the_item_of_their_slide_where_that_is_asked_for(ended, tmp_path):
    routes = {"annotation": [], f"annotation/item/{ITEM}": {}}
    with fake_girder(routes=routes) as girder:
        write_outcome(on_server(ended, girder), tmp_path / "work")
        assert girder.posted == []
        write_outcome(on_server(ended, girder, post_worst="auto"), tmp_path / "work")
        ((layer,),) = girder.posted
    assert len(layer["elements"]) == 4


def test_a_token_that_expired_during_the_training_costs_no_file(ended, tmp_path, caplog):
    with fake_girder(routes={"annotation": 401}) as girder:
        write_outcome(on_server(ended, girder, post_worst="auto"), tmp_path / "work")
    assert "not all worst regions are on the slides, but they are in" in caplog.text
    assert "the token has expired" in caplog.text
    assert girder.login.token not in caplog.text
    assert (tmp_path / "report.html").exists()
    assert list((tmp_path / "work" / "worst regions").iterdir())
