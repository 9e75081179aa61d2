"""A model becomes a default where it is known to be better than the one before, else it is said."""

import io

import numpy as np
import pytest

pytest.importorskip("girder")

from girder.constants import AccessType
from girder.models.folder import Folder
from girder.models.item import Item
from girder.models.upload import Upload
from models_for_tests import CARD, packed, table, told, upload
from pytest_girder.assertions import assertStatus

from girder_deeplab import tables
from girder_deeplab.evaluations import EVALUATION_KEY
from girder_deeplab.models import DEFAULT_KEY, MODEL_KEY
from girder_deeplab.paired import difference

SLIDES = [f"{number:024x}" for number in range(1, 13)]
OLD = dict(
    zip(SLIDES, np.random.default_rng(0).uniform(0.3, 0.8, len(SLIDES)).tolist(), strict=True)
)
NOISE = np.random.default_rng(1).normal(0, 0.02, len(SLIDES)).tolist()
pytestmark = pytest.mark.plugin("deeplab")


def shifted(by):
    return {
        slide: value + by + noise for (slide, value), noise in zip(OLD.items(), NOISE, strict=True)
    }


@pytest.fixture
def models(admin, folder, fsAssetstore):  # noqa: N803  pytest-girder calls it so
    """Two models that everyone may read."""
    return [
        upload(packed(CARD | {"trained_on": name}), folder, admin, f"{name}.zip")
        for name in ("old", "new")
    ]


@pytest.fixture
def evaluated(admin, folder, models):
    """Has the tables of evaluations of both models arrive."""

    def arrive(old, new, **more):
        for model, values in zip(models, (old, new), strict=True):
            upload(table(model, values, **more), folder, admin, f"{model['name']}.csv")

    return arrive


@pytest.fixture
def choose(server, user, folder, models):
    """Makes the second model the default where the first one is, or a model where none is."""

    def ask(model=None, where=folder, who=user, **params):
        if model is None:
            model = models[1]
            ask(models[0], evenIfNotBetter=True)
        params |= {"folderId": str(where["_id"]), "modelId": str(model["_id"])}
        return server.request("/deeplab/default", method="PUT", user=who, params=params)

    return ask


def refused(answer, *sentences):
    assertStatus(answer, 400)
    for sentence in sentences:
        assert sentence in answer.json["message"]
    assert answer.json["message"].endswith(
        "; evenIfNotBetter=true makes it the default all the same."
    )


def default_of(folder):
    return Folder().load(folder["_id"], force=True)["meta"][DEFAULT_KEY]["SegmentWSI"]


def test_a_better_model_becomes_the_default_and_it_is_said_by_how_much(
    folder, models, evaluated, choose
):
    new = shifted(0.1)
    evaluated(OLD, new)
    answer = choose()
    assertStatus(answer, 200)
    assert default_of(folder) == answer.json["model"]["_id"] == str(models[1]["_id"])
    found = answer.json["comparison"]
    changes = [new[slide] - OLD[slide] for slide in SLIDES]
    assert (found["modelId"], found["modelName"]) == (str(models[0]["_id"]), "old.zip")
    assert (found["figure"], found["slides"], found["verdict"]) == ("dice", 12, "better")
    assert found["difference"] == pytest.approx(np.mean(changes))
    of_engine = difference(list(OLD.values()), list(new.values()))  # as another test has it
    assert found["low"] == pytest.approx(of_engine.low)
    assert found["high"] == pytest.approx(of_engine.high)
    (of_class,) = found["classes"]
    assert (of_class["name"], of_class["difference"]) == ("gland", found["difference"])


@pytest.mark.parametrize(
    ("new", "verdict", "sentence"),
    [
        (shifted(0), "no difference that", "new.zip is not shown to be better than old.zip, the"),
        (shifted(-0.1), "worse", "new.zip is worse than old.zip, the default now: Dice 0."),
        (OLD, "no difference that", "a difference of +0.000 (+0.000 to +0.000, 95 %) on 12 slides"),
        (
            {SLIDES[0]: OLD[SLIDES[0]] + 0.1},
            "too few slides",
            "new.zip was compared on too few slides to be called better than old.zip, the default "
            f"now: Dice {OLD[SLIDES[0]] + 0.1:.3f} after {OLD[SLIDES[0]]:.3f}, a difference of "
            "+0.100 on 1 slide held out",
        ),
    ],
)
def test_a_model_that_is_not_better_becomes_the_default_only_where_that_is_asked_for(
    folder, models, evaluated, choose, new, verdict, sentence
):
    evaluated(OLD, new)
    refused(choose(), sentence)
    assert default_of(folder) == str(models[0]["_id"])
    answer = choose(evenIfNotBetter=True)
    assertStatus(answer, 200)
    assert answer.json["comparison"]["verdict"].startswith(verdict)
    assert default_of(folder) == str(models[1]["_id"])


def test_a_model_that_was_never_compared_is_not_promoted_without_a_word(
    folder, admin, models, choose
):
    sentences = (
        "Whether new.zip is better than old.zip, the default now, is not known: no evaluation",
        "run POST deeplab/comparison on slides that neither learnt from",
    )
    refused(choose(), *sentences)
    upload(table(models[1], OLD), folder, admin, "new.csv")
    refused(choose(), *sentences)
    upload(table(models[0], {"f" * 24: 0.5}), folder, admin, "other slides.csv")
    upload(table(models[0], OLD, reference="cd" * 8), folder, admin, "other reference.csv")
    upload(table(models[0], OLD, metric="pq"), folder, admin, "other figure.csv")
    refused(choose(), *sentences)
    answer = choose(evenIfNotBetter=True)
    assertStatus(answer, 200)
    assert answer.json["comparison"]["slides"] == 0
    assert default_of(folder) == str(models[1]["_id"])


def test_a_first_default_and_the_same_one_again_are_compared_with_nothing(folder, models, choose):
    for _ in range(2):
        answer = choose(models[0])
        assertStatus(answer, 200)
        assert answer.json["comparison"] is None


def test_the_default_of_a_folder_around_is_what_a_model_must_be_better_than(
    admin, folder, models, evaluated, choose
):
    within = Folder().createFolder(folder, "batch 1", creator=admin, public=True)
    assertStatus(choose(models[0]), 200)
    refused(choose(models[1], where=within, who=admin), "is not known")
    evaluated(OLD, shifted(0.1))
    assertStatus(choose(models[1], where=within, who=admin), 200)
    assert default_of(within) == str(models[1]["_id"])


def test_slides_that_a_model_learnt_from_do_not_count_and_that_is_said(
    admin, folder, models, evaluated, choose
):
    for model, slides in zip(models, (SLIDES[:1], SLIDES[1:3]), strict=True):
        facts = CARD | {"training": {"slides": " ".join((*slides, "no_id"))}}
        (file,) = Item().childFiles(model)
        content = packed(facts)
        new = Upload().createUploadToFile(file, user=admin, size=len(content))
        Upload().handleChunk(new, io.BytesIO(content), user=admin)
        model["meta"] = Item().load(model["_id"], force=True)["meta"]
        assert model["meta"][MODEL_KEY]["slides"] == slides
    better_where_it_learnt = {s: v + (0.4 if s in SLIDES[:3] else 0) for s, v in OLD.items()}
    evaluated(OLD, better_where_it_learnt)
    refused(
        choose(),
        "+0.000 (+0.000 to +0.000, 95 %) on 9 slides held out (3 more, that one of them learnt",
    )
    found = choose(evenIfNotBetter=True).json["comparison"]
    assert (found["slides"], found["learntSlides"], len(found["remarks"])) == (9, 3, 1)
    assert "rests on 9 slides" in found["remarks"][0]
    of_three = dict.fromkeys(SLIDES[:3], 0.9)
    for item in Item().find({f"meta.{EVALUATION_KEY}.slides": 12}):
        Item().remove(item)
    evaluated(of_three, of_three)
    refused(choose(), "with the same reference (but 3 slides that one of them learnt from); run")


def test_it_is_said_where_nobody_knows_what_a_model_learnt_from(models, evaluated, choose):
    evaluated(OLD, shifted(0.1))
    remarks = choose().json["comparison"]["remarks"]
    assert [remark.split(" learnt")[0] for remark in remarks] == [
        "Which slides of this server old.zip",
        "Which slides of this server new.zip",
    ]


def test_the_newest_evaluation_of_a_slide_counts_once(evaluated, choose):
    evaluated(OLD, shifted(-0.1))
    evaluated(OLD, shifted(0.1))
    found = choose().json["comparison"]
    assert (found["verdict"], found["slides"]) == ("better", 12)
    evaluated(OLD, shifted(-0.1), reference="cd" * 8)  # what was drawn has been changed since
    refused(choose(), "new.zip is worse", "on 12 slides")


def test_classes_count_alike_and_those_of_one_model_or_the_background_do_not(evaluated, choose):
    old = {slide: {"gland": 0.5, "stroma": 0.5, "lumen": 0.9, "background": 0.1} for slide in OLD}
    new = {slide: {"gland": 0.8, "stroma": 0.4, "background": 0.9} for slide in OLD}
    evaluated(old, new)
    found = choose().json["comparison"]
    assert found["difference"] == pytest.approx(0.1)
    changes = {each["name"]: (each["difference"], each["verdict"]) for each in found["classes"]}
    assert changes == {
        "gland": (pytest.approx(0.3), "better"),
        "stroma": (pytest.approx(-0.1), "worse"),
    }


def test_another_figure_may_decide(evaluated, choose):
    evaluated(OLD, shifted(-0.1))
    evaluated(OLD, shifted(0.1), metric="pq")
    refused(choose(), "Dice")
    answer = choose(figure="pq")
    assertStatus(answer, 200)
    assert answer.json["comparison"]["figure"] == "pq"
    assertStatus(choose(figure="mcc"), 400)


def test_only_what_the_user_may_read_is_told(
    server, admin, user, folder, models, evaluated, choose
):
    closed = Folder().createFolder(folder, "closed", creator=admin, public=False)
    Folder().setUserAccess(closed, user, None, save=True)
    evaluated(OLD, OLD)
    for model, values in zip(models, (OLD, shifted(0.1)), strict=True):
        upload(table(model, values), closed, admin, "closed.csv")
    refused(choose(), "+0.000")
    path = f"/deeplab/model/{models[1]['_id']}"
    assert [each["name"] for each in told(server, path, user)["evaluations"]] == ["new.zip.csv"]
    assert len(told(server, path, admin)["evaluations"]) == 2
    assertStatus(choose(who=admin), 200)
    hidden = upload(packed(CARD | {"trained_on": "hidden"}), closed, admin, "hidden.zip")
    assertStatus(choose(hidden, who=admin, evenIfNotBetter=True), 200)
    answer = choose(models[1])
    refused(answer, "the default now cannot be told, as that is a model which you may not read")
    assert "hidden" not in answer.json["message"]
    answer = choose(models[1], evenIfNotBetter=True)
    assertStatus(answer, 200)
    assert answer.json["comparison"] is None


def test_a_model_tells_its_evaluations(server, user, admin, folder, models):
    item = upload(table(models[0], OLD), folder, admin, "figures.CSV")
    path = f"/deeplab/model/{models[0]['_id']}"
    (found,) = told(server, path, user)["evaluations"]
    assert (found["_id"], found["slides"]) == (str(item["_id"]), len(SLIDES))
    assert found["figures"] == [
        {"class": "gland", "figure": "dice", "value": 0.5, "low": 0.4, "high": 0.6}
    ]
    (file,) = Item().childFiles(item)
    new = Upload().createUploadToFile(file, user=admin, size=4)
    Upload().handleChunk(new, io.BytesIO(b"a,b\n"), user=admin)
    assert told(server, path, user)["evaluations"] == []
    assert EVALUATION_KEY not in Item().load(item["_id"], force=True)["meta"]


def test_a_table_of_a_spreadsheet_is_one_too(server, user, admin, folder, models):
    upload(b"\xef\xbb\xbf" + table(models[0], OLD), folder, admin, "figures.csv")
    assert len(told(server, f"/deeplab/model/{models[0]['_id']}", user)["evaluations"]) == 1


def cells(**changed):
    """The row of a figure of a slide, with other cells."""
    names = (*tables.COLUMNS, *tables.IDENTITY)
    values = ("slide", "a", "gland", "", "dice", "0.5", "", "", "a" * 24, "a" * 16, "a" * 64)
    return tuple({**dict(zip(names, values, strict=True)), **changed}.values())


@pytest.mark.parametrize(
    "make",
    [
        lambda _: b"",
        lambda _: b"level,slide,class\n",
        lambda model: table(model, {}),
        lambda model: table(model, OLD)[:40],
        lambda model: table(model, OLD).replace(b",model", b",other"),
        lambda model: table(model, OLD) + b"\xff",
        lambda model: table(model, OLD).replace(SLIDES[0].encode(), b"a.svs"),
        lambda model: table(model, OLD, reference="z"),
        lambda model: table(model, OLD, more=[cells()]),
        lambda model: table(model, {SLIDES[0]: "much"}),
        lambda model: table(model, OLD, more=[cells(model="")]),
    ],
)
def test_what_is_no_table_of_one_model_on_slides_of_the_server_is_left_alone(
    admin, folder, models, make
):
    item = upload(make(models[0]), folder, admin, "figures.csv")
    assert EVALUATION_KEY not in item.get("meta", {})


def test_rows_of_slides_elsewhere_and_cells_without_a_figure_do_not_count(
    server, user, admin, folder, models
):
    more = [cells(item="", reference="", model=""), cells(value=""), cells(value="inf")]
    upload(table(models[0], OLD, more=more), folder, admin, "figures.csv")
    (found,) = told(server, f"/deeplab/model/{models[0]['_id']}", user)["evaluations"]
    assert found["slides"] == len(SLIDES)


def test_a_model_that_an_older_version_registered_is_found_by_its_file(evaluated, models, choose):
    evaluated(OLD, shifted(0.1))
    for model in models:
        facts = dict(model["meta"][MODEL_KEY])
        del facts["sha256"]
        Item().setMetadata(model, {MODEL_KEY: facts})
    assertStatus(choose(), 200)


def test_who_may_not_write_to_the_folder_promotes_nothing(user, folder, models, evaluated, choose):
    evaluated(OLD, shifted(0.1))
    Folder().setUserAccess(folder, user, AccessType.READ, save=True)
    assertStatus(choose(models[1], evenIfNotBetter=True), 403)
