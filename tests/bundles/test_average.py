"""The mean of models is the mean of each of their numbers, and of models alike only."""

import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from deeplab.bundles.average import average_bundles
from deeplab.bundles.learnt_appearance import LearntAppearance
from deeplab.bundles.read import read_card
from deeplab.bundles.save import save_bundle
from deeplab.config.classes import ClassList
from deeplab.config.progress import silent
from deeplab.config.requests import AverageRequest
from deeplab.errors import BundleError, ConfigError, OutputError, TrainingError
from deeplab.files import file_digest
from deeplab.training.average import average_models
from tests.bundles.tiny_models import TINY, look_facts, tiny_card, tiny_network
from tests.girder_for_tests import FOLDER, TOKEN, Shelf, fake_girder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two models of one network with other weights."""
    path = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("a.zip", "b.zip")):
        card = tiny_card(trained_on=f"{seed + 3} slides", mpp_range=(0.4 + seed / 20, 0.6))
        save_bundle(tiny_network(seed=seed), card, path / name)
    return path


def arrays(path: Path) -> dict[str, np.ndarray]:
    """The numbers of a bundle, read without the code that loads one."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        return {name: np.load(io.BytesIO(archive.read(name))) for name in names}


def average(tmp_path: Path, source: Path, **more) -> Path:
    request = AverageRequest(source=str(source), output_model=tmp_path / "mean.zip", **more)
    average_models(request, silent)
    return request.output_model


def test_the_average_of_a_model_with_itself_is_that_model(folder, tmp_path):
    model = str(folder / "a.zip")
    mean = arrays(average(tmp_path, folder / "a.zip", models=(model, model), weights=(0.1, 3, 7)))
    for name, array in arrays(folder / "a.zip").items():
        np.testing.assert_array_equal(mean[name], array)


@pytest.mark.parametrize("weights", [(), (3, 1)])
def test_each_number_is_the_weighted_mean_of_its_own_statistics_included(folder, tmp_path, weights):
    mean = arrays(average(tmp_path, folder, weights=weights))
    first, second = arrays(folder / "a.zip"), arrays(folder / "b.zip")
    assert any("moving_variance" in name for name in mean)
    for name, array in mean.items():
        pair = np.stack([first[name], second[name]]).astype(np.float64)
        expected = np.average(pair, axis=0, weights=weights or None)
        np.testing.assert_allclose(array, expected, rtol=1e-6, atol=1e-7)


def test_the_average_has_learnt_from_the_slides_of_all(tmp_path):
    for name, slides in (("a.zip", "1 2"), ("b.zip", "3 2"), ("c.zip", None)):
        training = {"steps": 1} if slides is None else {"steps": 1, "slides": slides}
        save_bundle(tiny_network(), tiny_card(training=training), tmp_path / name)
    assert read_card(average(tmp_path, tmp_path)).slides == ("1", "2", "3")


def test_the_average_knows_how_the_slides_of_all_look_where_each_model_does(tmp_path):
    facts = [look_facts(-2.0, -2.5), look_facts(-3.0), {}]
    for name, training in zip(("a.zip", "b.zip", "c.zip"), facts, strict=True):
        save_bundle(tiny_network(), tiny_card(training=training), tmp_path / name)
    known = read_card(average(tmp_path, tmp_path, models=("a.zip", "b.zip")))
    look = LearntAppearance.from_card(known)
    assert (look.slides, look.mean[0]) == (3, pytest.approx(-2.5))
    unknown = read_card(average(tmp_path, tmp_path, models=("a.zip", "c.zip")))
    assert LearntAppearance.from_card(unknown) is None


def test_the_card_says_what_was_averaged_and_claims_no_figures(folder, tmp_path):
    card = read_card(average(tmp_path, folder, models=("b.zip", "a.zip"), weights=(3, 1)))
    assert card.trained_on == "the average of 2 models"
    assert card.training == {
        "model 1": "b.zip, share 0.750, 4 slides",
        "model 2": "a.zip, share 0.250, 3 slides",
        "models": " ".join(file_digest(folder / name) for name in ("b.zip", "a.zip")),
    }
    assert card.metrics == {}
    assert card.mpp_range == pytest.approx((0.45, 0.6)), "where both may be run"
    assert card.notice == "For tests only."


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"config": dataclasses.replace(TINY, aspp_filters=16)},
            "its aspp_filters is 16, there it is 8",
        ),
        (
            {"classes": ClassList.named(["vessel", "glomerulus"])},
            "its list of classes is vessel, glomerulus, there it is glomerulus, vessel",
        ),
        ({"work_mpp": 0.45}, "its um per pixel is 0.45, there it is 0.5"),
    ],
)
def test_models_that_are_not_alike_have_no_mean(folder, tmp_path, changes, sentence):
    card = tiny_card(**changes)
    save_bundle(tiny_network(card.config), card, tmp_path / "other.zip")
    with pytest.raises(BundleError) as caught:
        average_bundles([folder / "a.zip", tmp_path / "other.zip"], [1, 1])
    assert f"cannot be averaged with a.zip: {sentence}" in str(caught.value)


def test_what_cannot_be_averaged_is_said_in_one_sentence(folder, tmp_path):
    with pytest.raises(TrainingError, match="has 1$"):
        average(tmp_path, folder / "a.zip")
    with pytest.raises(TrainingError, match=r"no model c\.zip \(there are: a\.zip, b\.zip\)"):
        average(tmp_path, folder, models=("a.zip", "c.zip"))
    with pytest.raises(ConfigError, match=r"weights must be 2, one for each of a\.zip, b\.zip"):
        average(tmp_path, folder, weights=(1, 2, 3))
    with pytest.raises(ConfigError, match="above 0 for some model"):
        average(tmp_path, folder, weights=(0, 0))
    assert not list(tmp_path.iterdir())


def test_models_of_a_girder_folder_are_averaged(folder, tmp_path):
    with fake_girder() as girder:
        shelf = Shelf(girder)
        for name in ("b.zip", "a.zip"):
            shelf.put(name, (folder / name).read_bytes())
        shelf.put("report.html", b"no model")
        output = tmp_path / "remote.zip"
        request = AverageRequest(
            source=FOLDER, output_model=output, weights=(3, 1), api_url=girder.url, token=TOKEN
        )
        assert "a.zip, share 0.750" in average_models(request, silent).summary()
    local = average(tmp_path, folder, weights=(3, 1))
    assert output.read_bytes() == local.read_bytes()


def test_the_average_does_not_take_the_place_of_one_of_the_models(folder, tmp_path):
    for name in ("mean.zip", "other.zip"):
        (tmp_path / name).write_bytes((folder / "a.zip").read_bytes())
    with pytest.raises(OutputError, match="it is read for the result"):
        average(tmp_path, tmp_path)
    assert (tmp_path / "mean.zip").read_bytes() == (folder / "a.zip").read_bytes()
