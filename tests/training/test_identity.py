"""Two trainings are the same where they learn the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deeplab.config.train_request import TrainRequest
from deeplab.training.identity import agreed_settings


def settings(**changes):
    given = {"source": "slides", "classes": ("a",), "output_model": Path("m.zip")}
    return agreed_settings(TrainRequest(**{**given, **changes}))


def test_where_results_go_and_who_asks_changes_nothing():
    elsewhere = {"output_model": Path("n.zip"), "gpu": 1, "work_folder": Path("w"), "token": "t"}
    elsewhere["rematerialisation"] = True
    assert settings(**elsewhere) == settings()
    assert "t0ken" not in settings(token="t0ken")  # noqa: S106  not a token


def test_what_is_learnt_from_does():
    for change in ({"seed": 1}, {"classes": ("b",)}, {"steps": 7}, {"source": "others"}):
        assert settings(**change) != settings()


def test_a_training_of_before_there_were_several_networks_goes_on():
    added = {"network", "network_options", "untyped_layer", "initial_encoder", "recipe"}
    added |= {"freeze_encoder_steps"}
    assert not added & set(json.loads(settings()))
    assert json.loads(settings(network_options=("dropout=0",)))["network_options"] == ["dropout=0"]


@pytest.mark.parametrize("name", ["initial_model", "initial_encoder"])
def test_an_initial_model_counts_by_its_content(tmp_path, name):
    first, copy, other = (tmp_path / name for name in ("first.zip", "copy.zip", "other.zip"))
    first.write_bytes(b"weights")
    copy.write_bytes(b"weights")
    other.write_bytes(b"others")
    assert settings(**{name: first}) == settings(**{name: copy})
    assert settings(**{name: first}) != settings(**{name: other})
    assert settings(**{name: first}) != settings()


def test_what_lies_in_the_work_folder_of_the_whole_counts_by_its_place_there(tmp_path):
    def of(job, masks):
        whole = tmp_path / job
        asked = TrainRequest(
            source=str(whole / "patches"),
            classes=("a",),
            output_model=Path("m.zip"),
            label_path=whole / masks,
        )
        return agreed_settings(asked, whole)

    assert of("first", "masks") == of("second", "masks") != of("second", "others")
    assert str(tmp_path) not in of("first", "masks")
