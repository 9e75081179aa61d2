"""A training that is given classes and hours, and chooses the rest, through its command."""

import json
import os
import subprocess
import sys
import zipfile

import pytest

from deeplab.bundles.read import read_card
from deeplab.config.plan_settings import PLANNED
from deeplab_cli.forms import read_spec
from deeplab_cli.main import main
from tests.flows.test_dry_run import MAIN
from tests.small_runs import make_inputs

pytestmark = pytest.mark.slow

TINY_HOURS = "0.0001"  # of the fewest steps on any machine


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Three slides with a square lesion of some 35 um each."""
    folder = tmp_path_factory.mktemp("plan")
    make_inputs(folder)
    return folder / "learn"


def words(slides, model, *more):
    return ["train", str(slides), str(model), "--classes", "lesion", "--GPU", "-1", *more]


def dry_run(slides, *more):
    """The lines of a plan by setting, of a dry run without TensorFlow."""
    asked = words(slides, slides / "never.zip", "--dry-run", *more)
    answer = subprocess.run(
        [sys.executable, "-c", MAIN, *asked],
        capture_output=True, text=True, timeout=300, check=False, env=os.environ.copy(),
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    census, _, plan = answer.stdout.partition("\n\nthe plan for ")
    assert "3 slides" in census or "2 slides to learn from, 1 held out" in census
    return {line.split()[0]: line.split(None, 2)[1:] for line in plan.splitlines()[1:]}


def test_a_dry_run_shows_the_plan_and_loads_no_network(slides):
    before = sorted(slides.rglob("*"))
    plan = dry_run(slides, "--hours", "2")
    assert list(plan) == list(PLANNED)
    assert plan["work_mpp"] == ["0.5", "the median lesion is 42.2 um across, so 84.4 pixels"]
    assert plan["patch_size"] == ["128", "slides have 200 pixels"]
    assert plan["network"][0] == "deeplabv3plus"
    assert sorted(slides.rglob("*")) == before
    assert dry_run(slides, "--patch_size", "65") == {}, "without hours there is no plan"


def test_a_flag_that_is_given_is_kept_and_named_also_where_it_says_the_default(slides, tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text("batch_size = 4\n")
    plan = dry_run(
        slides, "--hours", "2", "--steps", "5000", "--patch_size", "96", "--config", str(settings)
    )
    given = {name for name, (_, reason) in plan.items() if reason == "as it was given"}
    assert given == {"steps", "patch_size", "batch_size"}
    assert (plan["steps"][0], plan["patch_size"][0], plan["batch_size"][0]) == ("5000", "96", "4")


def test_in_histomicsui_what_is_as_by_default_is_planned_unless_it_is_named(slides):
    """Its form gives every parameter that has a default, as this line does."""
    filled = {p.name: p.default for p in read_spec("TrainNetwork").parameters if p.default}
    filled |= {"hours": "2", "GPU": "-1", "steps": "700", "girderApiUrl": "", "girderToken": ""}
    filled["dry_run"] = "true"
    form = [word for name, value in filled.items() for word in (f"--{name}", value)]
    plan = dry_run(slides, *form)
    assert {name for name, (_, reason) in plan.items() if reason == "as it was given"} == {"steps"}
    plan = dry_run(slides, *form, "--fixed", "work_mpp,batch_size")
    given = {name for name, (_, reason) in plan.items() if reason == "as it was given"}
    assert given == {"steps", "work_mpp", "batch_size"}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--hours", "-1"], "hours must be at least 0, but is -1.0"),
        (["--hours", "soon"], "hours must be a number, but is 'soon'"),
        (["--hours", "1", "--fixed", "speed"], "fixed must be some of network, backbone,"),
        (["--hours", "1", "--network", "patch_classifier"], "0 for a network that classifies"),
        (["--hours", "1", "--workers", "a:1,b:1"], "0 where several machines train"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_one_sentence(slides, capsys, more, sentence):
    assert main(words(slides, slides / "never.zip", *more)) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert sentence in line


def test_a_training_of_classes_and_hours_alone_keeps_its_plan_in_the_model_and_the_report(
    slides, tmp_path, capsys
):
    model, page = tmp_path / "m.zip", tmp_path / "report.html"
    report = ["--output_report", str(page)]
    assert main(words(slides, model, "--hours", TINY_HOURS, *report)) == 0
    card = read_card(model)
    assert (card.work_mpp, card.training["steps"], card.config.crop_size) == (0.5, 20, 129)
    assert card.training["plan hours"] == float(TINY_HOURS)
    assert {f"plan {name}" for name in PLANNED} < card.training.keys()
    assert card.training["plan patch_size"] == "128: slides have 200 pixels"
    with zipfile.ZipFile(model) as bundle:  # facts of the training, as in every card
        told = json.loads(bundle.read("card.json"))["training"]
    assert not any(isinstance(value, dict | list) for value in told.values())
    said = page.read_text(encoding="utf-8")
    assert "The plan for 0.0001 hours" in said
    assert "slides have 200 pixels" in said
    shown = capsys.readouterr().err
    assert "INFO: the plan for 0.0001 hours:" in shown
