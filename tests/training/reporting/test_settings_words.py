"""Settings in words: what they say is what was asked."""

from pathlib import Path

import pytest

from deeplab.bundles.card import Card
from deeplab.config.classes import ClassList
from deeplab.config.families import network_config
from deeplab.config.train_request import TrainRequest
from deeplab.models.registry import family_of
from deeplab.training.reporting.settings_words import all_settings, settings_in_words

CLASSES = ClassList.named(["a"])


def asked(**settings):
    given = {"source": "slides", "classes": ("a",), "output_model": Path("/home/me/m.zip")}
    return TrainRequest(**given | settings)


def card_of(config, classes):
    tiling = config.tiling
    tile = tiling.side_with(tiling.halo, most=1024)
    return Card(config=config, classes=classes, work_mpp=0.5, tile=tile, halo=tiling.halo)


@pytest.mark.parametrize(
    ("settings", "heading", "said"),
    [
        ({}, "Network", "DeepLabV3+ on mobilenet_v2, output stride 16, atrous rates 6, 12, 18"),
        ({"atrous_rates": ()}, "Network", "no atrous branches"),
        ({}, "Begun with", "random weights"),
        ({"initial_model": Path("x/old.zip")}, "Begun with",
         "the weights of old.zip, without the layers of its classes"),
        ({}, "Patches", "513 × 513 pixels at 0.5 µm per pixel, 4 a step"),
        ({"wsi_downsample": (2.0, 4.0)}, "Patches", "2, 4 times the slides' full resolution"),
        ({}, "Unannotated tissue", "taken for background"),
        ({"unannotated": "ignore"}, "Unannotated tissue", "ignored"),
        ({"exhaustive_layer": "done"}, "Unannotated tissue", "“done”"),
        ({"exhaustive_layer": "done", "corrected_only": True, "api_url": "https://host/api/v1",
          "source": "5f" * 12}, "Unannotated tissue",
         "ignored elsewhere; on slides without such regions, taken for background"),
        ({"augment": 0.0}, "Changes to patches", "flips and quarter turns"),
        ({"augment": 0.0, "augment_flip": False}, "Changes to patches", "none"),
        ({"augment": 0.0, "augment_blur": 0.25}, "Changes to patches", "blur 0.25"),
        ({}, "Loss", "cross entropy + 0.5 × Dice"),
        ({"loss": "focal", "class_weights": (1.0, 3.0)}, "Loss",
         "focal (gamma 2) + 0.5 × Dice; background and classes weigh 1, 3"),
        ({"lovasz_weight": 1.0, "dice_weight": 0.0}, "Loss", "cross entropy + Lovász"),
        ({"top_k_percent_pixels": 0.25}, "Loss", "the hardest 25% of the pixels"),
        ({"steps": 12000}, "Descent", "12,000 steps of AdamW"),
        ({"precision": "mixed_bfloat16"}, "Descent", "computed in mixed_bfloat16"),
        ({"early_stopping": 3, "keep": "last"}, "Validation",
         "every 500 steps; the last model is kept; ended after 3 validations"),
    ],
)  # fmt: skip
def test_a_setting_is_said_in_words(settings, heading, said):
    request = asked(**settings)
    card = card_of(network_config(request, CLASSES), CLASSES)
    assert said in settings_in_words(request, card)[heading]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dice_weight": 0.25, "classes": ("nucleus",)},
         "np cross entropy + 0.25 × np Dice + hv squared error"
         " + hv gradient squared error (same axis); np is whether"),
        ({"classes": ("a", "b")},
         "np cross entropy + 0.5 × np Dice + tp cross entropy + 0.5 × tp Dice + hv squared error"
         " + hv gradient squared error (same axis); np is whether"),
        ({"loss": "focal", "dice_weight": 0.0, "classes": ("a", "b"),
          "class_weights": (1.0, 2.0, 3.0), "network_options": ("gradients=cross_axis",)},
         "np focal (gamma 2) + tp focal (gamma 2) + hv squared error"
         " + hv gradient squared error (cross axis); background and classes weigh 1, 2, 3"),
    ],
)  # fmt: skip
def test_the_loss_of_nuclei_is_said_term_by_term(settings, said):
    request = asked(network="hovernet", **settings)
    classes = ClassList.named(list(request.classes))
    config = network_config(request, classes)
    loss = family_of(config).loss(config, request)
    words = settings_in_words(request, card_of(config, classes))["Loss"]
    assert words == loss.describe()
    assert words.startswith(said)
    assert words.partition(";")[0].count(" + ") + 1 == len(loss.terms)


def test_every_setting_is_listed_but_the_server_and_its_token():
    request = asked(
        source="5f" * 12,
        api_url="https://host/api/v1",
        token="s3cr3t",  # noqa: S106  of no server
        aliases=("A=a", "Aa=a"),
    )
    told = all_settings(request)
    assert told["aliases"] == "A=a, Aa=a"
    assert told["output_model"] == "m.zip"
    assert told["initial_model"] == ""
    assert "s3cr3t" not in " ".join(told.values())
    assert set(TrainRequest.__dataclass_fields__) - set(told) == {"token", "api_url"}
